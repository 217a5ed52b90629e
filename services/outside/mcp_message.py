"""One JSON-RPC message on its way in, however it comes: bounded, whatever a server sends.

Small ones stay in memory; longer ones go to whoever keeps big messages; of the rest only the ends
are looked at, for the id of the call that they answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import msgspec

TOO_LARGE = -32019
"""JSON-RPC code put in the place of an answer that is over the limit, or can't be kept."""
_EDGE = 4096


class TooLong(ValueError):
    """A message is over the limit; the text says how far."""

    def __init__(self, text: str, head: bytes, end: bytes) -> None:
        super().__init__(text)
        self.head = head
        self.end = end


class Overflow(Protocol):
    """Takes the bytes of one message that is too long for memory."""

    def write(self, data: bytes) -> None:
        """Add bytes."""

    def close(self) -> None:
        """Forget them."""


class BigMessages(Protocol):
    """Takes messages that are too long for memory."""

    @property
    def in_memory(self) -> int:
        """Bytes up to which a message stays in memory."""

    def begin(self) -> Overflow:
        """Take a message in parts."""


class Long(NamedTuple):
    """A message that is too long for memory, and its beginning."""

    overflow: Overflow
    head: bytes

    def close(self) -> None:
        """Forget it."""
        self.overflow.close()


class Incoming:
    """Collects one message after the other."""

    def __init__(self, limit: int, big: BigMessages | None = None) -> None:
        """`limit`: bytes of the longest message; without `big` they are held in memory."""
        self.limit = limit
        self._big = big
        self._in_memory = limit if big is None else min(limit, big.in_memory)
        self._begin()

    def _begin(self) -> None:
        self._parts: list[bytes] = []
        self._head = b""
        self._end = b""
        self._overflow: Overflow | None = None
        self.size = 0

    @property
    def over(self) -> bool:
        """The message is too long already."""
        return self.size > self.limit

    @property
    def why(self) -> str:
        """What is wrong with one that is too long."""
        return f"the answer has more than {self.limit} bytes"

    def add(self, part: bytes) -> None:
        """Take the next bytes of the message."""
        self.size += len(part)
        if self.size <= self._in_memory:
            self._parts.append(part)
            return
        if not self._head:
            kept = b"".join(self._parts)
            self._parts.clear()
            self._head = (kept + part)[:_EDGE]
            if self._big is not None and self.size <= self.limit:
                self._overflow = self._big.begin()
                self._overflow.write(kept)
        self._end = (self._end + part)[-_EDGE:]
        if self._overflow is not None:
            if self.size <= self.limit:
                self._overflow.write(part)
            else:
                self._overflow.close()
                self._overflow = None

    def blank(self) -> bool:
        """Whether there is nothing but white space, which is then forgotten."""
        if self._head or any(part.strip() for part in self._parts):
            return False
        self._begin()
        return True

    def take(self) -> bytes | Long:
        """Return the message, which is the caller's to close if it is long, and begin anew.

        Raises TooLong.
        """
        whole, size, head, end = b"".join(self._parts), self.size, self._head, self._end
        overflow, self._overflow = self._overflow, None
        self._begin()
        if size > self.limit:
            raise TooLong(f"the answer has {size} bytes, more than {self.limit}", head, end)
        return whole if overflow is None else Long(overflow, head)

    def close(self) -> None:
        """Forget a message that will not be completed."""
        if self._overflow is not None:
            self._overflow.close()
        self._begin()


def error(id_: int | str, code: int, message: str, data: Any = None) -> bytes:
    """Return a JSON-RPC error."""
    fields = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id_, "error": fields})
