"""What gateways ask in hosts' sessions that is no call of a tool: prompts, resources, completion.

Each is a call on the host's pooled session, with its limits, breaker and secrets, and no task.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from pathlib import Path
from typing import Any, Protocol

import msgspec
from mcp import ClientSession

from contracts.errors import Reason, Rejected
from contracts.facts import FailureKind
from contracts.host import Host, Stdio, StreamableHttp
from contracts.message import bounded
from contracts.reads import (
    LONGEST_READ_S,
    METHODS,
    MOST_READ_BYTES,
    MOST_READ_PACKED,
    ReadAnswer,
    ReadRequest,
    RpcSaid,
)
from services.executor.attempt.call import Call, HostError, Spooled, own_meta
from services.executor.attempt.plan import AttemptPlan, HostRead, KnownHost
from services.executor.attempt.workspace import Workspace
from services.executor.hosts.news import Subscribed
from services.outside.apart.pool import is_apart

VIEW_S = 3.0
"""How long a registration may take to be known here."""
PLAIN_BYTES = 64 * 1024
"""What is longer goes packed."""
MOST_DATA = 4096
"""Bytes of the data of a host's error; more is left out."""
_READ = "mcp.read"
_ABOUT = frozenset({"resultType", "ttlMs", "cacheScope", "_meta"})
"""Fields of a result that are about the answer, not about what was asked for."""


class ReadHosts(Protocol):
    """The hosts, as far as this executor knows them."""

    async def reached(self, seq: int, timeout_s: float) -> bool:
        """Wait until they are known through `seq`."""

    def get(self, host: str) -> KnownHost | None:
        """The host as it is now."""


class ReadPool(Protocol):
    """The sessions of hosts."""

    async def call(self, known: KnownHost, call: Call) -> dict[str, Any] | Spooled:
        """Carry out a call on this host. Raises HostError."""


class ReadDesk:
    """Serves `cmd.executor.read`."""

    def __init__(self, pool: ReadPool, hosts: ReadHosts) -> None:
        self._pool = pool
        self._hosts = hosts

    async def read(self, payload: bytes) -> bytes:
        """Return a `ReadAnswer`. Raises Rejected: the host was not asked, or has not answered."""
        try:
            request = msgspec.json.decode(payload, type=ReadRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejected(Reason.BAD_REQUEST, f"this is no ReadRequest: {error}") from None
        known = await self._known(request)
        within_s = min(request.within_s, LONGEST_READ_S)
        call = _call(known.host, request)
        call.deadline = time.monotonic() + within_s
        try:
            async with asyncio.timeout(within_s):
                found = await self._pool.call(known, call)
        except TimeoutError:
            text = f"host {request.host} has not answered {request.method} within {within_s:g} s"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        except HostError as error:
            raise Rejected(Reason.UNAVAILABLE, error.message) from None
        return await asyncio.to_thread(_answer, found, request)

    async def _known(self, request: ReadRequest) -> KnownHost:
        reached = await self._hosts.reached(request.seq, VIEW_S)
        known = self._hosts.get(request.host) if reached else None
        if known is None or known.host.owner not in (None, request.user) or not known.host.enabled:
            raise Rejected(Reason.NOT_FOUND, f"there is no host {request.host} to ask")
        if not isinstance(known.host.endpoint, Stdio | StreamableHttp):
            raise Rejected(Reason.BAD_REQUEST, f"host {request.host} is no MCP server")
        if request.method not in METHODS:
            raise Rejected(Reason.FORBIDDEN, f"{request.method} is not asked so")
        if request.method == "resources/subscribe" and is_apart(known.host):
            text = f"host {request.host} is asked in a process apart, which tells of no changes"
            raise Rejected(Reason.BAD_REQUEST, text)
        if request.method == "resources/read" and known.host.path_arguments:
            _check_confined(request)
        return known


def _check_confined(request: ReadRequest) -> None:
    """Refuse to name a file to a host whose tools may name those in some folders only. Raises
    Rejected(FORBIDDEN)."""
    uri = msgspec.json.decode(request.params).get("uri")
    if str(uri).strip().lower().startswith("file:"):
        text = f"the paths of host {request.host} are confined: files are not read as resources"
        raise Rejected(Reason.FORBIDDEN, text)


def _call(host: Host, request: ReadRequest) -> Call:
    plan = AttemptPlan(
        user=request.user,
        task="",
        attempt=0,
        type=_READ,
        host=host,
        raw=b"{}",
        input={},
        required=(),
        steps=(),
        literal=True,
        permit="",
        timeout_s=request.within_s,
        read=HostRead(request.method, bytes(request.params)),
    )
    return Call(plan, Workspace(Path(), request.user, "", 0), _unheard, _ours)


async def _unheard(progress: float, total: float | None, message: str) -> None:
    """Nobody waits for progress."""


async def _ours() -> bool:
    return True


async def asked(client: Any, read: HostRead, subscribed: Subscribed) -> dict[str, Any]:
    """The server's result as it is on the wire, but for what is about the answer itself. Raises
    MCPError, HostError."""
    params = msgspec.json.decode(read.params, type=dict[str, Any])
    if read.method == "resources/subscribe":
        return await subscribed.add(client, params["uri"])
    if read.method == "resources/unsubscribe":
        return await subscribed.remove(client, params["uri"])
    session: ClientSession = client.session
    data: dict[str, Any] = {"method": read.method, "params": params}
    options: Any = {}
    # As the SDK's own requests, but their results go through its models, which leave things out.
    session._stamp(data, options)
    line = session._dispatcher
    raw = dict(await line.send_raw_request(read.method, data["params"], options))
    if raw.get("resultType") == "input_required":
        text = f"{read.method} asks for more input, which can't be given here"
        raise HostError(FailureKind.PROTOCOL, text, called=True, callers=True)
    meta = own_meta(raw.get("_meta"))
    found = {name: value for name, value in raw.items() if name not in _ABOUT}
    return found if meta is None else found | {"_meta": meta}


def _answer(found: dict[str, Any] | Spooled, request: ReadRequest) -> bytes:
    """What goes over NATS. Raises Rejected(TOO_LARGE)."""
    if isinstance(found, Spooled):
        found = _taken(found, request)
    if (error := found.get("error")) is not None:
        data = b"" if error["data"] is None else msgspec.json.encode(error["data"])
        data = data if len(data) <= MOST_DATA else b""
        said = RpcSaid(error["code"], bounded(error["message"]), data)
        return msgspec.msgpack.encode(ReadAnswer(error=said))
    result = msgspec.json.encode(found["result"])
    _check(len(result), MOST_READ_BYTES, request)
    if len(result) <= PLAIN_BYTES:
        return msgspec.msgpack.encode(ReadAnswer(result))
    packed = zlib.compress(result, 1)
    _check(len(packed), MOST_READ_PACKED, request)
    return msgspec.msgpack.encode(ReadAnswer(packed, packed=True))


def _taken(found: Spooled, request: ReadRequest) -> dict[str, Any]:
    try:
        _check(found.size, MOST_READ_BYTES, request)
        return msgspec.json.decode(found.path.read_bytes(), type=dict[str, Any])
    finally:
        found.remove()


def _check(size: int, most: int, request: ReadRequest) -> None:
    if size > most:
        text = f"the answer of host {request.host} to {request.method} is too long: {size} bytes"
        raise Rejected(Reason.TOO_LARGE, f"{text}, more than {most}")
