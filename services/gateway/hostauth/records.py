"""What lies in the bucket of people about sign-in at hosts; tokens and secrets sealed."""

from __future__ import annotations

import msgspec

from services.gateway.hostauth.metadata import AuthorizationServer


class HostLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`host_link.<digest of user and host>`: somebody has signed in at a host."""

    user: str
    host: str
    url: str
    """Of the host, then: its tokens go nowhere else."""
    resource: str
    server: AuthorizationServer
    client: str
    how: str
    """How the client proves who it is: none, basic or post."""
    open_: bool = msgspec.field(name="open", default=False)
    """Its authorization server may lie anywhere, as the operator's hosts may."""
    access: bytes
    """Sealed."""
    refresh: bytes = b""
    """Sealed; empty: there is none."""
    scopes: tuple[str, ...] = ()
    made: float
    """When the token was made, in seconds since the epoch."""
    ends: float | None = None
    linked: float
    shared: bool = False
    """An administrator has linked it: the host's tools are listed with it, too."""
    leased: float = 0.0
    """Until then a gateway renews it."""
    broken: str = ""
    """Why it is of no use any more."""


class HostLogin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`host_login.<digest of its state>`: a browser was sent to a host's authorization server."""

    user: str
    host: str
    url: str
    resource: str
    server: AuthorizationServer
    client: str
    how: str
    open_: bool = msgspec.field(name="open", default=False)
    redirect: str
    verifier: bytes
    """Of PKCE, sealed."""
    scopes: tuple[str, ...] = ()
    shared: bool = False
    expires: float
    used: bool = False


class RegisteredClient(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`host_client.<digest of issuer and redirect>`: how an authorization server knows us."""

    issuer: str
    client: str
    secret: bytes = b""
    """Sealed; empty: there is none."""
    how: str = "none"
    expires: float | None = None
