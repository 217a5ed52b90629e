"""nats-py's parser with a short way for messages: found by position, handed on without a coroutine.

nats-py tries up to seven regular expressions a message and awaits each; that was the largest part
of what receiving a fact cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nats.errors import ProtocolError
from nats.protocol.parser import MAX_CONTROL_LINE_SIZE, Parser

_LINE = len("NATS/1.0")


class Message(NamedTuple):
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


def direct(nc: Any, sid: int) -> Handler | None:
    """The handler of a direct subscription; None for any other, and for one that is gone."""
    return getattr(getattr(nc._subs.get(sid), "_cb", None), "direct", None)


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
            stop = data.find(b"\r\n", at)
            if stop < 0:
                if end - at > MAX_CONTROL_LINE_SIZE:
                    raise ProtocolError("nats: a line without an end")
                self._wanted = 0
                return at
            if data.startswith((b"MSG ", b"HMSG "), at):
                after = self._message(data, at, stop)
                if after > end:
                    self._wanted = after - at
                    return at
                if after == 0:
                    after = await self._queued(data, at, stop)
            else:
                after = stop + 2
                await super().parse(data[at:after])
            at = after
        return at

    def _message(self, data: bytes, at: int, stop: int) -> int:
        """Where this message ends; 0 when it is whole, but not for a direct subscription."""
        words = data[at:stop].split()
        body = stop + 2
        if len(words) - (words[0] == b"HMSG") not in (4, 5):
            raise ProtocolError("nats: malformed MSG")
        try:
            size = int(words[-1])
            after = body + size + 2
            if after > len(data):
                return after
            handler = direct(self.nc, int(words[2]))
            if handler is None:
                return 0
            if words[0] == b"MSG":
                head, reply = b"", words[3] if len(words) == 5 else b""
            else:
                length = int(words[-2])
                head, reply = data[body : body + length], words[3] if len(words) == 6 else b""
        except (ValueError, IndexError):
            raise ProtocolError("nats: malformed MSG") from None
        text = data[body + len(head) : after - 2]
        handler(Message(words[1].decode(), reply.decode(), text, head))
        self.nc.stats["in_msgs"] += 1
        self.nc.stats["in_bytes"] += size
        return after

    async def _queued(self, data: bytes, at: int, stop: int) -> int:
        """Give one whole message to nats-py; return where it ends."""
        after = stop + 2 + int(data[at:stop].rpartition(b" ")[2]) + 2
        await super().parse(data[at:after])
        return after
