"""One JSON-RPC message on its way in, however it comes: bounded, whatever a server sends.

Small ones stay in memory; longer ones go to whoever keeps big messages; of the rest only the ends
are looked at, and an error is put in their place, so that the call they answer learns of it.
"""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

TOO_LARGE = -32019
"""JSON-RPC code put in the place of an answer that is over the limit, or can't be kept."""
_EDGE = 4096
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{1,100}")')


class Overflow(Protocol):
    """Takes the bytes of one message that is too long for memory."""

    def write(self, data: bytes) -> None:
        """Add bytes."""

    def close(self) -> None:
        """Forget them."""


class BigMessages(Protocol):
    """Keeps messages that are too long for memory."""

    in_memory: int
    """Bytes up to which a message stays in memory."""

    def begin(self) -> Overflow:
        """Take a message in parts."""

    async def end(self, overflow: Overflow) -> bytes:
        """Return the message that stands for it. Raises ValueError if it is no answer."""


class Incoming:
    """Collects one message after the other."""

    def __init__(self, limit: int, big: BigMessages | None = None) -> None:
        """`limit`: bytes of the longest message; without `big` they are held in memory."""
        self._limit = limit
        self._big = big
        self._in_memory = limit if big is None else min(limit, big.in_memory)
        self._begin()

    def _begin(self) -> None:
        self._parts: list[bytes] = []
        self._head = b""
        self._end = b""
        self._overflow: Overflow | None = None
        self.size = 0

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
            if self._big is not None:
                self._overflow = self._big.begin()
                self._overflow.write(kept)
        self._end = (self._end + part)[-_EDGE:]
        if self._overflow is not None:
            if self.size <= self._limit:
                self._overflow.write(part)
            else:
                self._overflow.close()
                self._overflow = None

    async def take(self) -> bytes:
        """Return the message, or what stands for it, and begin anew.

        Raises ValueError for one that is too long and names no request.
        """
        whole, size, head, end = b"".join(self._parts), self.size, self._head, self._end
        overflow, self._overflow = self._overflow, None
        self._begin()
        if overflow is not None and self._big is not None:
            try:
                return await self._big.end(overflow)
            except ValueError as error:
                return _refused(head, end, f"the answer has {size} bytes, and {error}")
            finally:
                overflow.close()
        if size > self._limit:
            return _refused(head, end, f"the answer has {size} bytes, more than {self._limit}")
        return whole

    def close(self) -> None:
        """Forget a message that will not be completed."""
        if self._overflow is not None:
            self._overflow.close()
        self._begin()


def error(id_: int | str, code: int, message: str) -> bytes:
    """Return a JSON-RPC error."""
    body = {"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": message}}
    return msgspec.json.encode(body)


def _refused(head: bytes, end: bytes, message: str) -> bytes:
    """Put an error in the place of an answer; the id stands at one of the ends of the message."""
    ids = _ID.findall(head[:200]) or _ID.findall(end[-200:])
    if not ids:
        raise ValueError(message)
    return error(msgspec.json.decode(ids[-1]), TOO_LARGE, message)
