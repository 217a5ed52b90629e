"""How those who call hosts get people's tokens for them: `cmd.gateway.host_token`."""

from __future__ import annotations

import msgspec


class HostTokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token with which this user calls this host."""

    user: str
    """Empty: nobody's call, but a look at the tools of an operator's host."""
    host: str
    url: str
    """Where the host is: a token is for that place alone."""
    stale: str = ""
    """SHA-256 of a token that the host has refused."""


class HostToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token, sealed for whoever has the master key."""

    sealed: bytes
    lasts_s: float = 10.0
    """How long it may be used before it is asked for again, in seconds."""
