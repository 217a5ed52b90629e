"""What a server behind a URL answers, read as it comes: one message, or events with one in each.

What goes wrong on the way is put into an answer, with a code of our own.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import time
from collections.abc import AsyncIterator

import httpx2

from services.outside import site
from services.outside.mcp_errors import BadMessage
from services.outside.mcp_message import TOO_LARGE, Incoming, error
from services.outside.mcp_reading import McpReader, opened, unreadable
from services.outside.mcp_session import root
from services.outside.noise import TOO_MUCH, Noise

NOT_SENT = -32070
"""JSON-RPC code of a request that has not reached the server."""
LOST = -32071
"""… of one that may have reached it, and whose answer did not come."""
STATUS = -32072
"""… of one that the server refused with an HTTP status, which the message begins with."""
GONE = -32073
"""… of one refused because the server does not know the session any more."""
DOUBTED = -32074
"""… of one refused in a way that may mean the same. Its data has the `status` in words, and the
`error` of the server if there was one."""
_AT_ONCE = 4
"""Parts of an answer that are gone through before others get their turn."""
_FIELD = 64 * 1024
_REFUSAL = 64 * 1024


class JsonBody(httpx2.AsyncByteStream):
    """A body that is one message."""

    def __init__(
        self,
        response: httpx2.Response,
        incoming: Incoming,
        reader: McpReader,
        id_: int | str | None,
    ) -> None:
        """`id_`: of the request that this is the answer to; None: nobody waits for one."""
        self._response = response
        self._incoming = incoming
        self._reader = reader
        self._id = id_

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._id is None:
            return
        try:
            async for part in parts(self._response):
                self._incoming.add(part)
                if self._incoming.over:
                    yield error(self._id, TOO_LARGE, self._incoming.why)
                    return
            yield (await self._reader.read(self._incoming, self._id, sole=True))[0]
        except BadMessage as why:
            yield unreadable(self._id, str(why))
        except httpx2.TransportError as failure:
            yield error(self._id, LOST, f"the connection was lost: {said(failure)}")

    async def aclose(self) -> None:
        if self._id is not None:
            self._reader.given_up(self._id)
        self._incoming.close()
        await self._response.aclose()


class EventBody(httpx2.AsyncByteStream):
    """Server-sent events, each with one message in its data."""

    def __init__(
        self,
        response: httpx2.Response,
        incoming: Incoming,
        reader: McpReader,
        id_: int | str | None,
    ) -> None:
        self._response = response
        self._incoming = incoming
        self._reader = reader
        self._id = id_
        """Of the request that this is the answer to; None: the server speaks by itself."""
        self._noise = Noise(time.monotonic())
        self._last = 0
        """Bytes of the last message, which was no answer if more comes."""
        self._field = b""
        """Beginning of a line that is not data, or not known yet to be."""
        self._in_data = False
        self._some = False
        """The event has data."""
        self._cr = False
        """The last byte was a carriage return, whose line feed may follow."""
        self._name = b""
        self._answered = self._resumable = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = 0
        async for chunk in parts(self._response):
            *whole, rest = self._lines(chunk, first=chunks == 0)
            for part in whole:
                self._part(part)
                if out := await self._line_end():
                    yield out
            self._part(rest)
            if why := self._too_much():
                if self._id is not None:
                    yield b"data: " + error(self._id, TOO_LARGE, why) + b"\n\n"
                return
            chunks += 1
            if chunks % _AT_ONCE == 0:
                # What has come already would be gone through without a turn for anybody else.
                await asyncio.sleep(0)
        # Whoever forgets the last empty line has answered all the same.
        yield await self._line_end() + await self._line_end()
        if self._id is not None and not (self._answered or self._resumable):
            why = "the stream of its answer ended without one"
            yield b"data: " + error(self._id, LOST, why) + b"\n\n"

    async def aclose(self) -> None:
        if self._id is not None and not self._resumable:
            self._reader.given_up(self._id)
        self._incoming.close()
        await self._response.aclose()

    def _lines(self, chunk: bytes, *, first: bool) -> list[bytes]:
        """Split what came into lines, which end in one of three ways."""
        if first:
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
        if self._cr:
            chunk = chunk.removeprefix(b"\n")
        self._cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk.split(b"\n")

    def _too_much(self) -> str:
        """Why no more is read; empty: it is."""
        if self._incoming.over:
            return self._incoming.why
        return TOO_MUCH if self._noise.over(time.monotonic()) else ""

    def _part(self, part: bytes) -> None:
        """Take a piece of a line."""
        if self._in_data:
            self._incoming.add(part)
            return
        if len(self._field) >= _FIELD:
            self._noise.line(len(part))
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
        field, self._field = self._field, b""
        self._noise.line(len(field) + 1)
        if field.startswith(b"event:"):
            # Its name says nothing to the SDK: the message in it does.
            self._name = field[6:].strip()
            return b""
        if field or not self._some:
            self._resumable = self._resumable or field.startswith(b"id:")
            return field + b"\n"
        self._some = False
        name, self._name = self._name, b""
        if self._last:
            self._noise.message(self._last)
        self._last = self._incoming.size
        return b"".join([event(message) for message in await self._messages(name)])

    async def _messages(self, name: bytes) -> list[bytes]:
        """What is in an event of this name."""
        if self._incoming.blank():
            return [b""]
        try:
            messages = await self._reader.read(self._incoming, self._id)
        except ValueError:
            # Nobody waits for it: whose answer it was would be known.
            return []
        return [message for message in messages if self._fits(message)]

    def _fits(self, message: bytes) -> bool:
        """Whether it is handed on: with the first request too many, the answer is soon over."""
        envelope = opened(message)
        assert not isinstance(envelope, list)
        self._answered = self._answered or envelope.answer
        if envelope.answer or not envelope.asks:
            return True
        return self._noise.request(time.monotonic())


def event(message: bytes) -> bytes:
    """A message as it is sent in a stream of them."""
    return b"data: " + message + b"\n\n"


async def parts(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The bytes of an answer as they come."""
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    async for part in response.stream:
        yield part


async def beginning(response: httpx2.Response) -> bytes:
    """The first of what is said with a refusal; then it is closed."""
    data = b""
    with contextlib.suppress(httpx2.TransportError):
        async for part in parts(response):
            data += part
            if len(data) > _REFUSAL:
                break
    await response.aclose()
    return data[:_REFUSAL]


def said(failure: Exception) -> str:
    """What kind of trouble it was; the system's own words have addresses in them."""
    if (found := _root(failure)) is not None:
        return site.cause(found)
    if isinstance(failure, httpx2.RemoteProtocolError):
        return site.plain(str(failure))
    return type(failure).__name__


def _root(failure: BaseException) -> OSError | None:
    """The system's error that this one began with: the innermost that has a number or is ours."""
    found: OSError | None = None
    error: BaseException | None = failure
    while error is not None:
        if isinstance(error, OSError):
            found = error
        before = error.__cause__ or error.__context__
        error = None if before is None else root(before)
    return found
