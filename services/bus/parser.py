"""nats-py's parser with a short way for messages: found by position, handed on without a coroutine.

nats-py tries up to seven regular expressions a message and awaits each; that was the largest part
of what receiving a fact cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from nats.errors import ProtocolError
from nats.protocol.parser import MAX_CONTROL_LINE_SIZE, Parser

_LINE = len("NATS/1.0")


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as it came off the socket."""

    subject: str
    reply: str
    data: bytes
    head: bytes
    """The raw header block, empty if there is none."""

    @property
    def status(self) -> str:
        """Inline status such as `404`, empty for an ordinary message."""
        return (
            self.head[_LINE + 1 : _LINE + 4].decode()
            if self.head[_LINE : _LINE + 1] == b" "
            else ""
        )

    @property
    def description(self) -> str:
        """The words behind an inline status."""
        return self.head.split(b"\r\n", 1)[0][_LINE + 5 :].decode() if self.status else ""

    def header(self, name: bytes) -> bytes:
        """Return one header's value without parsing the others; empty if it is not there."""
        start = self.head.find(b"\r\n" + name + b": ")
        if start < 0:
            return b""
        start += len(name) + 4
        return self.head[start : self.head.index(b"\r\n", start)]

    def headers(self) -> dict[str, str]:
        """Parse the header block."""
        lines = self.head.decode("utf-8", "replace").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        return {name: value.strip() for name, _, value in pairs}


Handler = Callable[[Message], None]


class DirectParser(Parser):
    """Gives messages of direct subscriptions to their handlers, all else to nats-py."""

    def __init__(self, nc: Any) -> None:
        self._resets = 0
        self._wanted = 0
        super().__init__(nc)

    def reset(self) -> None:
        """Forget what was received: another connection follows."""
        super().reset()
        self._resets += 1
        self._wanted = 0

    async def parse(self, data: bytes = b"") -> None:
        """Take what the socket gave. Raises ProtocolError."""
        if self.buf:
            self.buf.extend(data)
            if len(self.buf) < self._wanted:
                return
            data = bytes(self.buf)
            self.buf.clear()
        resets = self._resets
        at = await self._messages(data)
        if resets == self._resets:
            self.buf.extend(memoryview(data)[at:])

    async def _messages(self, data: bytes) -> int:
        """Handle all that is whole; return where the rest begins."""
        at, end, resets = 0, len(data), self._resets
        while at < end and resets == self._resets:
            at = self._direct(data, at)
            stop = data.find(b"\r\n", at)
            if stop < 0:
                if end - at > MAX_CONTROL_LINE_SIZE:
                    raise ProtocolError("nats: a line without an end")
                self._wanted = 0
                return at
            after = stop + 2
            if data.startswith((b"MSG ", b"HMSG "), at):
                after += _line(data[at:stop].split())[-1] + 2
                if after > end:
                    self._wanted = after - at
                    return at
            await super().parse(data[at:after])
            at = after
        return at

    def _direct(self, data: bytes, at: int) -> int:
        """Hand on whole direct messages while one follows the other; return where others begin."""
        subscriptions, stats = self.nc._subs, self.nc.stats
        while data.startswith((b"MSG ", b"HMSG "), at):
            stop = data.find(b"\r\n", at)
            if stop < 0:
                break
            words = data[at:stop].split()
            sid, reply, head, size = _line(words)
            handler = _handler(subscriptions.get(sid))
            body = stop + 2
            after = body + size + 2
            if handler is None or after > len(data):
                break
            text = body + head
            handler(
                Message(words[1].decode(), reply.decode(), data[text : after - 2], data[body:text])
            )
            stats["in_msgs"] += 1
            stats["in_bytes"] += size
            at = after
        return at


def _line(words: list[bytes]) -> tuple[int, bytes, int, int]:
    """A message's first line: subscription, reply, bytes of the header block and of all.

    Raises ProtocolError.
    """
    try:
        match words:
            case [b"MSG", _, sid, size]:
                return int(sid), b"", 0, int(size)
            case [b"MSG", _, sid, reply, size]:
                return int(sid), reply, 0, int(size)
            case [b"HMSG", _, sid, head, size]:
                return int(sid), b"", int(head), int(size)
            case [b"HMSG", _, sid, reply, head, size]:
                return int(sid), reply, int(head), int(size)
    except ValueError:
        pass
    raise ProtocolError("nats: malformed MSG")


def _handler(subscription: Any) -> Handler | None:
    """The handler of a direct subscription; None for any other, and for one that is gone."""
    return getattr(getattr(subscription, "_cb", None), "direct", None)
