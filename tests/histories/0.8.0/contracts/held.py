"""How a registry probes a host in the session in which an executor makes its calls."""

from __future__ import annotations

from enum import StrEnum

import msgspec

MOST_BYTES = 900 * 1024
"""Of what goes over NATS in one answer, packed if need be."""


class HolderRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.executor.holder`: who has a session with this host, or would begin one."""

    host: str
    seq: int
    """Sequence of the `mcp.registered` fact that the registry knows, at least."""


class Holder(msgspec.Struct, frozen=True):
    """Answer to a `HolderRequest`."""

    instance: str
    open: bool = False
    """There is a session."""
    leaving: bool = False
    """The executor stops, and its sessions end."""


class SessionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.executor.look.<instance>`: begin a session or find it; with `session` and `method`, make
    this request in it; with `session` alone, say why it is silent."""

    host: str
    seq: int
    session: str = ""
    """As an earlier answer has called it."""
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    within_s: float = 5.0
    """How long the answer may take."""


class SessionState(StrEnum):
    """What has become of a request."""

    OPEN = "open"
    STARTING = "starting"
    LATE = "late"
    """Its start has taken longer than it may."""
    UNSTARTABLE = "unstartable"
    """There is no program to start, or no secret for it."""
    ENDED = "ended"
    """The server has ended, of itself."""
    GONE = "gone"
    """The session is over, which is no fault of the server: begin another."""
    BUSY = "busy"
    """It is silent, and a call is at work in it."""
    SILENT = "silent"
    RESULT = "result"
    ERROR = "error"


class SessionAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to a `SessionRequest`."""

    state: SessionState
    session: str = ""
    modern: bool = False
    """Of the protocol's newer era, whose servers are not greeted by `initialize`."""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    """The server's greeting, its result or its error, as JSON-RPC has it."""
    packed: bytes = b""
    """The same with zlib, if it is long."""
    text: str = ""
    """How it ended, or why it does not start."""
    said: str = ""
    """Its last words."""
