"""Sessions of the older era that this gateway does not know: of before its restart, or ended idle.

By the protocol they are answered 404 and clients begin anew; few do, and an agent would be left
without tools. What a session holds is little: so it is begun again under its name, by the handshake
that its client has made before. What the client said of itself then is not known any more.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types import DEFAULT_NEGOTIATED_VERSION
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from services.process.version import SHORT, version

MOST_ENDED = 4096
"""Sessions remembered that their clients have ended, or whose token was revoked."""
_OURS = re.compile(r"[0-9a-f]{32}")
_SESSION = MCP_SESSION_ID_HEADER.encode()
_VERSION = MCP_PROTOCOL_VERSION_HEADER.encode()
_JSON = (b"content-type", b"application/json")
_ACCEPT = (b"accept", b"application/json, text/event-stream")


class EndedSessions:
    """Sessions that are over for good; the oldest are forgotten."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def add(self, session: str) -> None:
        """This one was ended."""
        self._ids[session] = None
        if len(self._ids) > MOST_ENDED:
            del self._ids[next(iter(self._ids))]

    def may_begin_again(self, session: str) -> bool:
        """Whether it may be one of ours that was lost."""
        return session not in self._ids and _OURS.fullmatch(session) is not None


def named(scope: Any) -> str | None:
    """The session that a request names."""
    return _header(scope, _SESSION)


def handshake(scope: Any, session: str) -> Iterable[tuple[Any, Any]]:
    """What a client of that session would send first, to begin it: scopes and what is received.

    `scope` is of a request in it.
    """
    spoken = _header(scope, _VERSION)
    if spoken not in HANDSHAKE_PROTOCOL_VERSIONS:
        spoken = DEFAULT_NEGOTIATED_VERSION
    hello = {
        "protocolVersion": spoken,
        "capabilities": {},
        "clientInfo": {"name": SHORT, "version": version()},
    }
    begin = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
    headers = [_JSON, _ACCEPT, (_SESSION, session.encode()), (_VERSION, spoken.encode())]
    for message in (begin, {"jsonrpc": "2.0", "method": "notifications/initialized"}):
        asked = scope | {"method": "POST", "headers": headers, "query_string": b""}
        yield asked, _receiving(msgspec.json.encode(message))


async def unheard(_: Any) -> None:
    """Its answers are for nobody."""


def _receiving(body: bytes) -> Any:
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Any:
        # After that nothing comes, and nobody leaves.
        return given.pop() if given else await asyncio.Event().wait()

    return received


def _header(scope: Any, wanted: bytes) -> str | None:
    found = (value.decode("latin-1") for name, value in scope["headers"] if name == wanted)
    return next(found, None)
