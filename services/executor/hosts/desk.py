"""Where the registry probes hosts: in the sessions in which their calls are made.

Health is then what calls see, and a server is one process. Nothing but what a probe asks is passed
on: the list of tools, and the call that the host's own description declares.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
import zlib
from typing import Any, NamedTuple, Protocol

import msgspec
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED

from contracts.errors import Reason, Rejected
from contracts.held import (
    MOST_BYTES,
    Holder,
    HolderRequest,
    SessionAnswer,
    SessionRequest,
    SessionState,
)
from contracts.host import Host, Stdio
from services.executor.attempt.call import HostError
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.door import SessionRoom
from services.executor.hosts.mcp import McpHostSession
from services.executor.hosts.pool import Pool
from services.executor.hosts.tool_session import ToolSession
from services.outside.mcp_child import STARTED_LINES
from services.outside.mcp_errors import theirs
from services.outside.mcp_message import TOO_LARGE
from services.outside.mcp_reading import UNREADABLE
from services.outside.mcp_session import TooLate, root

VIEW_S = 3.0
"""How long a registration may take to be known here."""
LONGEST_S = 60.0
"""The longest that an answer may take: only so long may one be sent."""
PLAIN_BYTES = 64 * 1024
"""What is longer goes packed."""
LIST, CALL = "tools/list", "tools/call"


class ShownHosts(Protocol):
    """The hosts, as far as this executor knows them."""

    async def reached(self, seq: int, timeout_s: float) -> bool:
        """Wait until they are known through `seq`."""

    def get(self, host: str) -> KnownHost | None:
        """The host as it is now."""


class _Opened(NamedTuple):
    name: str
    room: SessionRoom
    session: ToolSession


class ProbeDesk:
    """Serves `cmd.executor.holder` and `cmd.executor.look.<instance>`."""

    def __init__(self, pool: Pool, hosts: ShownHosts, instance: str) -> None:
        self._pool = pool
        self._hosts = hosts
        self._instance = instance
        self._opened: dict[str, _Opened] = {}
        self._closed = False

    async def close(self) -> None:
        """This executor stops: it has nothing to show from now on."""
        self._closed = True

    async def holder(self, payload: bytes) -> bytes:
        """Return a `Holder`. Raises Rejected: this executor has no session, and begins none."""
        request = _decoded(payload, HolderRequest)
        if self._closed:
            return msgspec.json.encode(Holder(self._instance, leaving=True))
        known = await self._known(request.host, request.seq)
        has = self._pool.has(known)
        if not has and not self._pool.spare(known):
            raise Rejected(Reason.UNAVAILABLE, "there is no place for a process more")
        return msgspec.json.encode(Holder(self._instance, has))

    async def look(self, payload: bytes) -> bytes:
        """Return a `SessionAnswer`. Raises Rejected as `holder` does."""
        request = _decoded(payload, SessionRequest)
        known = await self._known(request.host, request.seq)
        within_s = min(request.within_s, LONGEST_S)
        if not request.session:
            return msgspec.json.encode(await self._open(known, within_s))
        opened = self._opened.get(request.host)
        if opened is None or opened.name != request.session or opened.session.dying:
            return msgspec.json.encode(SessionAnswer(SessionState.GONE))
        if not self._pool.may_look(known, opened.room):
            return msgspec.json.encode(SessionAnswer(SessionState.GONE))
        if not request.method:
            return msgspec.json.encode(await _silence(opened, within_s))
        return msgspec.json.encode(await _asked(known, opened, request, within_s))

    async def _known(self, host: str, seq: int) -> KnownHost:
        reached = not self._closed and await self._hosts.reached(seq, VIEW_S)
        known = self._hosts.get(host) if reached else None
        if known is None or not _kept(known.host):
            raise Rejected(Reason.NOT_FOUND, f"this executor has no session with {host} to show")
        return known

    async def _open(self, known: KnownHost, within_s: float) -> SessionAnswer:
        try:
            room = await self._pool.looked_at(known)
            if room is None:
                raise Rejected(Reason.UNAVAILABLE, "there is no place for a process more")
        except HostError as error:
            return SessionAnswer(SessionState.UNSTARTABLE, text=error.message)
        try:
            assert isinstance(room.session, McpHostSession)
            async with asyncio.timeout(within_s):
                session = await room.session.current()
                await session.settled.wait()
        except TimeoutError:
            return SessionAnswer(SessionState.STARTING)
        except HostError:
            return SessionAnswer(SessionState.GONE)
        if session.client is None:
            return await _unstarted(session)
        held = {host: one for host, one in self._opened.items() if not one.session.over.is_set()}
        self._opened = held | {known.host.id: _Opened(uuid.uuid4().hex, room, session)}
        modern, greeting = await _greeting(session)
        name = self._opened[known.host.id].name
        return await _filled(SessionAnswer(SessionState.OPEN, name, modern), greeting)


def _kept(host: Host) -> bool:
    """Whether a process of this host outlasts a call."""
    return host.enabled and host.sessions != "task" and isinstance(host.endpoint, Stdio)


async def _unstarted(session: ToolSession) -> SessionAnswer:
    """Why a session has not begun, as whoever started the process himself would find it."""
    said = session.last_words(STARTED_LINES)
    if isinstance(session.failure, TooLate):
        return SessionAnswer(SessionState.LATE, said=said)
    error = root(session.failure) if session.failure is not None else None
    if isinstance(error, MCPError) and theirs(error):
        return _error(error.code, error.message)
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        return SessionAnswer(SessionState.UNSTARTABLE, text=str(error))
    return SessionAnswer(SessionState.ENDED, text=session.how, said=said)


async def _greeting(session: ToolSession) -> tuple[bool, Any]:
    """Whether the session is of the newer era, and what the server said of itself."""
    assert session.client is not None
    inner = session.client.session
    if inner.initialize_result is not None:
        return False, inner.initialize_result.model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
    if inner.server_info is None:
        # It was not asked: which version it speaks was known.
        with contextlib.suppress(MCPError):
            return True, await inner.send_discover(str(inner.protocol_version))
    assert inner.discover_result is not None
    return True, inner.discover_result.model_dump(mode="json", by_alias=True, exclude_none=True)


async def _silence(opened: _Opened, within_s: float) -> SessionAnswer:
    """A probe has got no answer: a call may be at work in there, else the session is over."""
    if opened.room.inside or time.monotonic() - opened.room.worked_at < within_s:
        return SessionAnswer(SessionState.BUSY)
    await opened.session.condemn(f"did not answer a probe for {within_s:g} s")
    return SessionAnswer(SessionState.SILENT)


async def _asked(
    known: KnownHost, opened: _Opened, request: SessionRequest, within_s: float
) -> SessionAnswer:
    """Make a request of a probe."""
    session, params = opened.session, msgspec.json.decode(request.params, type=dict[str, Any])
    if not _is_probe(known, request.method, params):
        raise Rejected(Reason.FORBIDDEN, f"{request.method} is no part of a probe of this host")
    try:
        async with asyncio.timeout(within_s):
            result = await _passed(session, request.method, params)
    except TimeoutError:
        return SessionAnswer(SessionState.SILENT)
    except HostError as error:
        return _error(0, error.message)
    except MCPError as error:
        if theirs(error) or error.code != CONNECTION_CLOSED:
            return _error(error.code, error.message)
        session.end()
        await session.over.wait()
        if session.dismissed:
            return SessionAnswer(SessionState.GONE)
        return SessionAnswer(SessionState.ENDED, text=session.how, said=session.last_words())
    return await _filled(SessionAnswer(SessionState.RESULT), result)


def _is_probe(known: KnownHost, method: str, params: dict[str, Any]) -> bool:
    if method == LIST:
        return True
    probe = known.host.probe
    declared = (probe.tool, probe.arguments)
    return method == CALL and (params.get("name"), params.get("arguments") or {}) == declared


async def _passed(session: ToolSession, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The server's result, as it is on the wire. Raises MCPError, HostError."""
    assert session.client is not None
    line = session.client.session._dispatcher
    # Of the class: that of this one leaves out what it can't read, and whoever asks says so.
    with session.inside.beside(method):
        raw = await type(line).send_raw_request(line, method, params)
    if method != CALL or "_meta" not in raw:
        return dict(raw)
    answer = session.bulk.take(raw.pop("_meta"))
    if answer.spooled is not None:
        answer.spooled.remove()
    result = {**raw, "content": answer.content, "isError": answer.is_error}
    if answer.structured is not None:
        result["structuredContent"] = answer.structured
    return result


async def _filled(answer: SessionAnswer, data: Any) -> SessionAnswer:
    """The answer with this in it, unless that is too much even when it is packed."""
    try:
        raw = msgspec.json.encode(data)
    except RecursionError:
        return _error(UNREADABLE, "the answer is nested too deep")
    if len(raw) <= PLAIN_BYTES:
        return msgspec.structs.replace(answer, data=msgspec.Raw(raw))
    packed = await asyncio.to_thread(zlib.compress, raw, 1)
    # In JSON bytes take a third more.
    if len(packed) * 4 // 3 <= MOST_BYTES:
        return msgspec.structs.replace(answer, packed=packed)
    return _error(TOO_LARGE, f"the answer has {len(raw)} bytes")


def _error(code: int, message: str) -> SessionAnswer:
    said = msgspec.json.encode({"code": code, "message": message})
    return SessionAnswer(SessionState.ERROR, data=msgspec.Raw(said))


def _decoded(payload: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Reason.BAD_REQUEST, f"this is no {kind.__name__}: {error}") from None
