"""MCP servers behind streamable HTTP: what stands between the SDK's client and the network.

The SDK gives up a whole session when one request does not get through, and says little about why.
Here such requests are answered with errors of our own; long answers are kept out of memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
from mcp.client.streamable_http import streamable_http_client

from contracts.host import StreamableHttp
from services.outside import addresses, site
from services.outside.mcp_message import BigMessages, Incoming, error
from services.process.timeouts import timeout

NOT_SENT = -32070
"""JSON-RPC code of a request that has not reached the server."""
LOST = -32071
"""… of one that may have reached it, and whose answer did not come."""
STATUS = -32072
"""… of one that the server refused with an HTTP status, which the message begins with."""
GONE = -32073
"""… of one refused because the server does not know the session any more."""
CONNECT_S = 10.0
WRITE_S = 30.0
_EVENT = 8 * 1024 * 1024
_REFUSAL = 64 * 1024
_FIELD = 64 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_CLOSED = frozenset({"content-length", "content-encoding", "transfer-encoding"})


class _Request(msgspec.Struct):
    """The part of a JSON-RPC message that tells whether it wants an answer."""

    id: int | str | msgspec.UnsetType = msgspec.UNSET
    method: str = ""


_request: msgspec.json.Decoder[_Request] = msgspec.json.Decoder(_Request)


class Web:
    """The way to one server; see `mcp_session.Line`."""

    def __init__(
        self,
        endpoint: StreamableHttp,
        *,
        spaces: str,
        public_only: bool,
        bearer: str | None,
        limit: int,
        patience_s: float,
        big: BigMessages | None = None,
    ) -> None:
        """`limit`: bytes of an answer. `patience_s`: how long a server may say that it is busy.

        Raises AddressRefused.
        """
        self._url = addresses.resolve(endpoint.url, spaces=spaces, mcp=True)
        self._headers = {"accept-encoding": "identity", **endpoint.headers}
        if bearer is not None:
            self._headers["authorization"] = f"Bearer {bearer}"
        self._wire = HttpWire(addresses.transport(public_only=public_only), limit, patience_s, big)
        self.gone = asyncio.Event()
        """Never set: whether a URL still answers shows only when it is asked."""

    @property
    def status(self) -> int:
        """The last HTTP status of an answer to a message; 0: there was none."""
        return self._wire.status

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """Streams of messages from and to the server."""
        timeout = httpx2.Timeout(None, connect=CONNECT_S, write=WRITE_S)
        # A sick server may not hold us up when we say goodbye: that request has a limit of its own.
        async with (
            httpx2.AsyncClient(
                transport=self._wire, headers=self._headers, timeout=timeout, trust_env=False
            ) as client,
            streamable_http_client(
                self._url, http_client=client, max_sse_event_size=_EVENT
            ) as streams,
        ):
            yield streams

    async def stop(self, *, kindly: bool) -> str:
        """Nothing is left to be done: the client has closed its connections."""
        return ""

    def last_words(self, count: int = 5) -> str:
        """A URL says nothing beside its answers."""
        return ""


class HttpWire(httpx2.AsyncBaseTransport):
    """Sends what the SDK's client sends; what goes wrong comes back as an answer."""

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        limit: int,
        patience_s: float,
        big: BigMessages | None = None,
    ) -> None:
        self._inner = inner
        self._limit = limit
        self._patience_s = patience_s
        self._big = big
        self.status = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one HTTP request."""
        if request.method == "DELETE":
            return await self._goodbye(request)
        id_ = _id_of(request)
        try:
            response = await self._send(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as failure:
            return self._own(request, id_, NOT_SENT, f"no connection: {_said(failure)}")
        except httpx2.TransportError as failure:
            return self._own(request, id_, LOST, f"the connection was lost: {_said(failure)}")
        if id_ is not None and response.status_code >= 400:
            return await self._refusal(request, response, id_)
        return await self._bounded(request, response, id_)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        """Send; while the server says that it is busy, again, for a limited time."""
        until = time.monotonic() + self._patience_s
        waits = site.pauses()
        while True:
            try:
                response = await self._inner.handle_async_request(request)
            except httpx2.TransportError:
                self.status = 0
                raise
            if request.method == "POST":
                self.status = response.status_code
            wait = site.wait_s(_retry_after(response), next(waits))
            if response.status_code not in site.BUSY or time.monotonic() + wait > until:
                return response
            await response.aclose()
            await asyncio.sleep(wait)

    async def _goodbye(self, request: httpx2.Request) -> httpx2.Response:
        with contextlib.suppress(httpx2.TransportError, TimeoutError):
            async with timeout(1.0):
                response = await self._inner.handle_async_request(request)
                await response.aclose()
        return httpx2.Response(204, request=request)

    async def _refusal(
        self, request: httpx2.Request, response: httpx2.Response, id_: int | str
    ) -> httpx2.Response:
        """Pass a JSON-RPC error on; put any other refusal into one."""
        body = await _beginning(response)
        if response.status_code == 404 and "mcp-session-id" in request.headers:
            return self._own(request, id_, GONE, "the server does not know the session any more")
        if (passed := _json_rpc_error(body, id_)) is not None:
            return _answer(request, passed)
        text = _CONTROL.sub(" ", body.decode("utf-8", "replace")).strip()[:300]
        message = f"{response.status_code} {response.reason_phrase}".strip()
        return self._own(request, id_, STATUS, f"{message}: {text}" if text else message)

    def _own(
        self, request: httpx2.Request, id_: int | str | None, code: int, message: str
    ) -> httpx2.Response:
        """Answer a request in the server's place; nobody waits for the answer of anything else."""
        if id_ is None:
            return httpx2.Response(202 if request.method == "POST" else 503, request=request)
        return _answer(request, error(id_, code, message))

    async def _bounded(
        self, request: httpx2.Request, response: httpx2.Response, id_: int | str | None
    ) -> httpx2.Response:
        """The same response, its messages no longer than they may be."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("application/json", "text/event-stream"):
            return response
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            text = "the server compresses its answers although it is asked not to"
            return self._own(request, id_, STATUS, text)
        incoming = Incoming(self._limit, self._big)
        body: httpx2.AsyncByteStream = (
            _Events(response, incoming)
            if kind == "text/event-stream"
            else _Json(response, incoming, id_)
        )
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name.lower() not in _CLOSED
        ]
        return httpx2.Response(
            response.status_code, headers=headers, stream=body, extensions=response.extensions
        )


class _Json(httpx2.AsyncByteStream):
    """A body that is one message."""

    def __init__(
        self, response: httpx2.Response, incoming: Incoming, id_: int | str | None
    ) -> None:
        self._response = response
        self._incoming = incoming
        self._id = id_

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in _body(self._response):
                self._incoming.add(part)
            yield await self._incoming.take()
        except httpx2.TransportError as failure:
            if self._id is None:
                raise
            yield error(self._id, LOST, f"the connection was lost: {_said(failure)}")
        except ValueError as failure:
            yield error(self._id if self._id is not None else 0, STATUS, str(failure))

    async def aclose(self) -> None:
        self._incoming.close()
        await self._response.aclose()


class _Events(httpx2.AsyncByteStream):
    """Server-sent events, each with one message in its data."""

    def __init__(self, response: httpx2.Response, incoming: Incoming) -> None:
        self._response = response
        self._incoming = incoming
        self._field = b""
        """Beginning of a line that is not data, or not known yet to be."""
        self._in_data = False
        self._some = False
        """The event has data."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in _body(self._response):
            *whole, rest = chunk.split(b"\n")
            for part in whole:
                self._part(part)
                if out := await self._line_end():
                    yield out
            self._part(rest)

    async def aclose(self) -> None:
        self._incoming.close()
        await self._response.aclose()

    def _part(self, part: bytes) -> None:
        """Take a piece of a line."""
        if self._in_data:
            self._incoming.add(part)
            return
        self._field = (self._field + part)[: max(_FIELD, len(part))]
        if self._field.startswith(b"data:"):
            data, self._field = self._field[5:], b""
            self._in_data = True
            if self._some:
                self._incoming.add(b"\n")
            self._some = True
            self._incoming.add(data)

    async def _line_end(self) -> bytes:
        """Give what is complete now: a line that is not data, or the event's data at its end."""
        if self._in_data:
            self._in_data = False
            return b""
        field, self._field = self._field.rstrip(b"\r"), b""
        if field or not self._some:
            return field + b"\n"
        self._some = False
        try:
            message = (await self._incoming.take()).strip()
        except ValueError:
            # Nobody knows whose answer it was; its call ends with the stream or its time.
            return b"\n"
        return b"data: " + message.replace(b"\r", b"").replace(b"\n", b"\ndata: ") + b"\n\n"


async def _body(response: httpx2.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    async for part in response.stream:
        yield part


async def _beginning(response: httpx2.Response) -> bytes:
    data = b""
    with contextlib.suppress(httpx2.TransportError):
        async for part in _body(response):
            data += part
            if len(data) > _REFUSAL:
                break
    await response.aclose()
    return data[:_REFUSAL]


def _json_rpc_error(body: bytes, id_: int | str) -> bytes | None:
    """The body, if it is a JSON-RPC error: as the answer to this request, whatever id it names."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None
    inner = fields.get("error")
    if not isinstance(inner, dict) or "code" not in inner:
        return None
    return msgspec.json.encode(fields | {"id": id_})


def _answer(request: httpx2.Request, content: bytes) -> httpx2.Response:
    headers = {"content-type": "application/json"}
    return httpx2.Response(200, headers=headers, content=content, request=request)


def _id_of(request: httpx2.Request) -> int | str | None:
    """The id of the JSON-RPC request in an HTTP request; None if it wants no answer."""
    if request.method != "POST":
        return None
    try:
        found = _request.decode(request.content)
    except msgspec.MsgspecError:
        return None
    return None if isinstance(found.id, msgspec.UnsetType) or not found.method else found.id


def _retry_after(response: httpx2.Response) -> float | None:
    given = response.headers.get("retry-after", "")
    return float(given) if given.isascii() and given.isdigit() else None


def _said(failure: Exception) -> str:
    return _CONTROL.sub(" ", str(failure))[:300] or type(failure).__name__
