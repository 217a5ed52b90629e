"""What an MCP server and its authorization server say of themselves, and what of it is believed.

Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from services.gateway.people.providers.settings import is_loopback
from services.outside.challenge import parameters

PRM = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
LONGEST_SCOPE = 1024
MOST_SCOPES = 50
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


class BadMetadata(Exception):
    """What somebody says of himself can't be used; the message says why."""


class HostChallenge(msgspec.Struct, frozen=True):
    """What a host's refusal says (`WWW-Authenticate`, RFC 9728 and 6750)."""

    metadata: str = ""
    scopes: tuple[str, ...] = ()
    error: str = ""


class Resource(msgspec.Struct, frozen=True):
    """What a host says of itself."""

    resource: str
    servers: tuple[str, ...]
    scopes: tuple[str, ...] = ()


class AuthorizationServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where people let somebody in, as it says itself."""

    issuer: str
    authorize: str
    token: str
    register: str = ""
    revoke: str = ""
    names_itself: bool = False
    """Its answers have `iss` (RFC 9207)."""
    documents: bool = False
    """It knows clients by their descriptions."""
    methods: tuple[str, ...] = ()
    """How clients prove who they are; empty: it does not say."""
    scopes: tuple[str, ...] = ()


def challenge_in(headers: Sequence[str]) -> HostChallenge:
    """Read what a 401 or 403 says, of however many schemes it names."""
    found = parameters(headers)
    return HostChallenge(
        found.get("resource_metadata", ""),
        scopes_in(found.get("scope", "")),
        found.get("error", ""),
    )


def scopes_in(said: Any) -> tuple[str, ...]:
    """The scopes in a text or a list; what can be none is left out."""
    every = said.split() if isinstance(said, str) else said if isinstance(said, list) else ()
    fit = [one for one in every if isinstance(one, str) and _SCOPE.fullmatch(one)]
    kept = dict.fromkeys(one for one in fit if len(one) <= LONGEST_SCOPE)
    return tuple(kept)[:MOST_SCOPES]


def resource_places(url: str, challenge: HostChallenge) -> tuple[str, ...]:
    """Where the metadata of a host may be, in the order in which to look (RFC 9728, 3.1 and 5.1).

    What the host has named is the only place then.
    """
    if challenge.metadata:
        return (challenge.metadata,)
    origin, path = _split(url)
    return tuple(dict.fromkeys(origin + PRM + tail for tail in (path, "")))


def server_places(issuer: str) -> tuple[str, ...]:
    """Where the metadata of an authorization server may be (RFC 8414, 3.1; OpenID Discovery)."""
    origin, path = _split(issuer)
    if not path:
        return origin + SERVER, origin + OPENID
    return origin + SERVER + path, origin + OPENID + path, origin + path + OPENID


def resource_of(said: Mapping[str, Any], url: str) -> Resource:
    """What a host says of itself, if it speaks of this URL. Raises BadMetadata."""
    resource = said.get("resource")
    if not isinstance(resource, str) or not _covers(resource, url):
        raise BadMetadata("its metadata speaks of another `resource` than its address")
    servers = said.get("authorization_servers")
    named = [one for one in servers if isinstance(one, str)] if isinstance(servers, list) else []
    if not named:
        raise BadMetadata("its metadata names no `authorization_servers`")
    return Resource(resource, tuple(named), scopes_in(said.get("scopes_supported")))


def server_of(said: Mapping[str, Any], issuer: str) -> AuthorizationServer:
    """What an authorization server says of itself, if it is this one. Raises BadMetadata."""

    def text(name: str) -> str:
        value = said.get(name)
        return value if isinstance(value, str) else ""

    if not same_issuer(text("issuer"), issuer):
        raise BadMetadata("it calls itself another `issuer` than it is asked as")
    if "S256" not in _texts(said.get("code_challenge_methods_supported")):
        raise BadMetadata("it does not say that it takes PKCE with S256")
    for name in ("authorization_endpoint", "token_endpoint"):
        if not secure(text(name)):
            raise BadMetadata(f"its {name} is no https:// address")
    optional = {name: text(f"{name}_endpoint") for name in ("registration", "revocation")}
    return AuthorizationServer(
        issuer=text("issuer"),
        authorize=text("authorization_endpoint"),
        token=text("token_endpoint"),
        register=optional["registration"] if secure(optional["registration"]) else "",
        revoke=optional["revocation"] if secure(optional["revocation"]) else "",
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
        documents=said.get("client_id_metadata_document_supported") is True,
        methods=_texts(said.get("token_endpoint_auth_methods_supported")),
        scopes=scopes_in(said.get("scopes_supported")),
    )


def wanted_scopes(
    challenge: HostChallenge,
    resource: Resource | None,
    server: AuthorizationServer,
    asked: Sequence[str] = (),
) -> tuple[str, ...]:
    """What to ask for: what the host's refusal names, else all that it knows; and what somebody
    has asked for besides. `offline_access` where a token can't be renewed without."""
    base = challenge.scopes or (resource.scopes if resource is not None else ())
    more = ("offline_access",) if "offline_access" in server.scopes else ()
    return tuple(dict.fromkeys((*base, *asked, *more)))[:MOST_SCOPES]


def came_from(server: AuthorizationServer, issuer: str | None) -> bool:
    """Whether the answer that a browser brings may be this server's (RFC 9207)."""
    if issuer is None:
        return not server.names_itself
    # Character by character: what looks alike may be another's.
    return issuer == server.issuer


def same_issuer(one: str, other: str) -> bool:
    """Whether both are one issuer; some write a bare origin with a slash, and some without."""
    return bool(one) and one.removesuffix("/") == other.removesuffix("/")


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    return _split(url)[0]


def secure(url: str) -> bool:
    """Whether credentials may travel there: https, or to this machine itself."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not url.isprintable():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def _covers(resource: str, url: str) -> bool:
    """Whether a resource is this URL, or what it lies below."""
    try:
        (origin, path), (at, below) = _split(resource), _split(url)
    except ValueError:
        return False
    return origin == at and f"{below}/".startswith(f"{path}/")


def _split(url: str) -> tuple[str, str]:
    """Origin and path of a URL, the path without a slash at its end."""
    parts = urlsplit(url)
    port = {"https": 443, "http": 80}.get(parts.scheme)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    where = host if parts.port in (None, port) else f"{host}:{parts.port}"
    return f"{parts.scheme}://{where}", parts.path.rstrip("/")


def _texts(value: Any) -> tuple[str, ...]:
    every = value if isinstance(value, list) else ()
    return tuple(one for one in every if isinstance(one, str))
