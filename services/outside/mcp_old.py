"""Servers of 2024, with one stream for all that they say and another address for what they hear.

Whoever asks them sees streamable HTTP: each answer comes as the answer of its own request.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import httpx2

from services.outside.mcp_body import LOST, EventBody, event
from services.outside.mcp_errors import Id
from services.outside.mcp_message import Incoming, error
from services.outside.mcp_reading import McpReader, RpcMessage, id_of, key, opened
from services.outside.noise import PROGRAM, Noise
from services.process.timeouts import timeout

FOUND_S = 10.0
"""How long such a server may take to say where it hears."""
_KEPT = frozenset({"content-length", "content-type", "accept"})
_OVER = "its stream of answers is over"


class StreamOver(Exception):
    """Nothing that is sent would be answered: a new session is needed."""


class OldServer:
    """One session with such a server."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, limit: int, reader: McpReader) -> None:
        """`limit`: bytes of one answer."""
        self._inner = inner
        self._limit = limit
        self._reader = reader
        self._waiting: dict[Id, asyncio.Queue[tuple[bytes, bool]]] = {}
        self._place: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._url = httpx2.URL()
        self._following: asyncio.Task[None] | None = None

    async def found(self, refused: httpx2.Request) -> bool:
        """Whether the server that has refused this is one of those; it is met then."""
        headers = {name: value for name, value in refused.headers.items() if name not in _KEPT}
        headers["accept"] = "text/event-stream"
        asking = httpx2.Request("GET", refused.url, headers=headers, extensions=refused.extensions)
        with contextlib.suppress(httpx2.TransportError, TimeoutError, httpx2.InvalidURL):
            async with timeout(FOUND_S):
                response = await self._inner.handle_async_request(asking)
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if response.status_code != 200 or kind != "text/event-stream":
                    await response.aclose()
                    return False
                self._following = asyncio.create_task(self._follow(response))
                url = refused.url.join(await self._place)
                if (url.scheme, url.netloc) == (refused.url.scheme, refused.url.netloc):
                    self._url = url
                    return True
        await self.close()
        return False

    async def send(self, request: httpx2.Request, id_: Id | None) -> httpx2.Response:
        """Send a message; a refusal comes back as it is. Raises StreamOver, TransportError."""
        if self._following is None or self._following.done():
            raise StreamOver(_OVER)
        queue: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
        if id_ is not None:
            self._waiting[key(id_)] = queue
        try:
            response = await self._inner.handle_async_request(
                httpx2.Request(
                    "POST",
                    self._url,
                    headers=request.headers,
                    content=request.content,
                    extensions=request.extensions,
                )
            )
        except BaseException:
            self.forget(id_)
            raise
        if response.status_code >= 300:
            self.forget(id_)
            return response
        await response.aclose()
        if id_ is None:
            return httpx2.Response(202, request=request)
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=Awaited(self, queue, id_))

    async def close(self) -> None:
        """Leave it."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    def deliver(self, message: bytes) -> None:
        """Hand a message to whoever waits for it; what is for all goes to the newest."""
        envelope = opened(message)
        assert isinstance(envelope, RpcMessage)
        if not envelope.answer:
            for queue in list(self._waiting.values())[-1:]:
                queue.put_nowait((message, False))
            return
        id_ = id_of(envelope)
        waits = self._waiting.pop(key(id_), None) if id_ is not None else None
        if waits is not None:
            waits.put_nowait((message, True))

    def heard_at(self, place: str) -> None:
        """It has said where it hears."""
        if not self._place.done():
            self._place.set_result(place)

    def forget(self, id_: Id | None) -> None:
        """Nobody waits for this answer any more."""
        if id_ is not None:
            self._waiting.pop(key(id_), None)
            self._reader.given_up(id_)

    async def _follow(self, response: httpx2.Response) -> None:
        incoming = Incoming(self._limit, self._reader.big)
        stream = _Stream(self, response, incoming, self._reader)
        try:
            with contextlib.suppress(httpx2.TransportError):
                async for _ in stream:
                    pass
        finally:
            self._place.cancel()
            for id_, queue in self._waiting.items():
                queue.put_nowait((error(id_, LOST, _OVER), True))
            self._waiting.clear()
            with contextlib.suppress(httpx2.TransportError):
                await stream.aclose()


class Awaited(httpx2.AsyncByteStream):
    """The answer of one request."""

    def __init__(
        self, server: OldServer, queue: asyncio.Queue[tuple[bytes, bool]], id_: Id
    ) -> None:
        self._server = server
        self._queue = queue
        self._id = id_

    async def __aiter__(self) -> AsyncIterator[bytes]:
        last = False
        while not last:
            message, last = await self._queue.get()
            yield event(message)

    async def aclose(self) -> None:
        """Nobody waits any more."""
        self._server.forget(self._id)


class _Stream(EventBody):
    """The one stream of such a server."""

    def __init__(
        self, server: OldServer, response: httpx2.Response, incoming: Incoming, reader: McpReader
    ) -> None:
        super().__init__(response, incoming, reader, None)
        self._server = server
        self._noise = Noise(time.monotonic(), PROGRAM)

    async def _messages(self, name: bytes) -> list[bytes]:
        if name == b"endpoint":
            whole = self._incoming.take()
            if isinstance(whole, bytes):
                self._server.heard_at(whole.decode("utf-8", "replace").strip())
            return []
        for message in await super()._messages(name):
            if message:
                self._server.deliver(message)
        return []
