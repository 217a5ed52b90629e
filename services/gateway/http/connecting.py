"""The route that says how other programs come in here, ready to be copied."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.params import QueryParameter

from contracts import scopes
from contracts.errors import Reason, Rejected
from services.foreign.pieces import TOKEN, Auth, ClientDoor, Piece, pieces
from services.gateway.http.parts import Asking, Envelope, Wired, ok
from services.gateway.mcp.address import LONGEST_PATTERN
from services.gateway.mcp.selection import MOST_HOSTS
from services.gateway.openapi.document import described
from services.gateway.refusals import MCP

_ORIGIN = re.compile(
    r"https?://[A-Za-z0-9.-]{1,253}(?::\d{1,5})?|https?://\[[0-9a-fA-F:.]+\](?::\d{1,5})?"
)
_HOST = re.compile(r"[A-Za-z0-9_*/-]+")
_PROFILE = re.compile(r"[A-Za-z0-9_-]{1,64}")

Hosts = Annotated[
    str | None, QueryParameter(description="Ids of hosts, with `*` and commas; none: all.")
]
ProfileName = Annotated[str | None, QueryParameter(description="A profile in place of hosts.")]
Search = Annotated[bool, QueryParameter(description="Tools are searched for, not listed.")]
How = Annotated[
    Auth, QueryParameter(description="By a token, or `oauth`: the client signs its user in.")
]
Origin = Annotated[
    str | None,
    QueryParameter(
        max_length=300,
        description="Where the one that asks has reached this gateway, where it has no"
        " `public_url`; none: as this request did.",
    ),
]


class Connect(msgspec.Struct, frozen=True):
    """How other programs come in."""

    mcp: str
    """The address of the MCP server."""
    token: str
    """What stands in the texts where a token goes."""
    pieces: tuple[Piece, ...]


@get("/api/connect", opt=described(scope=scopes.HOSTS_READ, errors=(400,)), sync_to_thread=False)
def show_connect(
    request: Request[Any, Any, Any],
    parts: Wired,
    principal: Asking,
    hosts: Hosts = None,
    profile: ProfileName = None,
    search: Search = False,
    auth: How = "token",
    origin: Origin = None,
) -> Envelope[Connect]:
    """Say what to write into other programs so that they come in here. No token is in it."""
    base = parts.settings.public_url or origin or str(request.base_url)
    base = base.rstrip("/")
    if origin is not None and not _ORIGIN.fullmatch(origin):
        raise Rejected(Reason.BAD_REQUEST, "origin: expected an address such as https://a.example")
    named = tuple(filter(None, (hosts or "").split(",")))
    _check(named, profile)
    door = ClientDoor(base, profile or "", named, search, auth)
    return ok(Connect(door.mcp, TOKEN, tuple(pieces(door))))


def _check(hosts: tuple[str, ...], profile: str | None) -> None:
    """Raises Rejected for what `/mcp` would not take."""
    if hosts and profile:
        raise Rejected(Reason.BAD_REQUEST, f"{MCP} takes hosts or a profile, not both")
    if profile is not None and not _PROFILE.fullmatch(profile):
        raise Rejected(Reason.BAD_REQUEST, "profile: expected a name, see `metamcp profiles`")
    if len(hosts) > MOST_HOSTS:
        raise Rejected(Reason.BAD_REQUEST, f"hosts: at most {MOST_HOSTS}")
    if wrong := [one for one in hosts if len(one) > LONGEST_PATTERN or not _HOST.fullmatch(one)]:
        text = f"hosts: {wrong[0][:80]!r} is no id of a host"
        raise Rejected(Reason.BAD_REQUEST, f"{text}, with `*` or without")


ROUTES = (show_connect,)
EXAMPLES: tuple[msgspec.Struct, ...] = (
    Connect(
        "https://tasks.example.com/mcp?hosts=git",
        TOKEN,
        tuple(pieces(ClientDoor("https://tasks.example.com", hosts=("git",)))[:1]),
    ),
)
