"""Copies of views in NATS, so that a service that has lost its own need not read the whole log.

They are bytes here. Whoever takes one holds its checkpoint against the log, as with a file of its
own; a copy that is damaged, half written or of another version is none.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from contracts.subjects import VIEWS_BUCKET
from services.bus.bus import Bus
from services.bus.room import SHARE_OF_VALUES, share
from services.store.kv import MIB, bucket_config
from services.store.stream import StoreError, Stream

PART = 512 * 1024
"""Bytes of a copy in one message."""
MOST_COPY = 32 * MIB
"""Bytes of a copy; a bigger one is not kept."""
SLOTS = 2
"""A new copy is written beside the last one."""


class _Head(msgspec.Struct, frozen=True):
    """What is said of the newest copy, once all of it is there."""

    version: int
    slot: int
    parts: int
    sha256: str


class ViewCopies:
    """The copies of one kind of service: the newest, and what the next is written over."""

    def __init__(self, bus: Bus, service: str) -> None:
        self._stream = Stream(bus, f"KV_{VIEWS_BUCKET}")
        self._prefix = f"$KV.{VIEWS_BUCKET}.{service}."

    async def put(self, version: int, data: bytes) -> None:
        """Keep a copy of this version of the view instead of the last one.

        Raises StoreError, also for one that is too big.
        """
        if len(data) > MOST_COPY:
            raise StoreError(f"a copy has at most {MOST_COPY:,} bytes, not {len(data):,}")
        last = await self._head()
        slot = 0 if last is None else (last.slot + 1) % SLOTS
        parts = range(0, len(data), PART)
        for number, start in enumerate(parts):
            await self._stream.publish(self._part(slot, number), data[start : start + PART])
        head = _Head(version, slot, len(parts), hashlib.sha256(data).hexdigest())
        await self._stream.publish(self._prefix + "head", msgspec.json.encode(head))

    async def get(self, version: int) -> bytes | None:
        """The newest copy, if it is of this version of the view and whole. Raises StoreError."""
        head = await self._head()
        if head is None or head.version != version or head.parts * PART > MOST_COPY + PART:
            return None
        data = bytearray()
        for number in range(head.parts):
            if (part := await self._stream.last(self._part(head.slot, number))) is not None:
                data += part.data
        return bytes(data) if hashlib.sha256(data).hexdigest() == head.sha256 else None

    async def _head(self) -> _Head | None:
        found = await self._stream.last(self._prefix + "head")
        try:
            return None if found is None else msgspec.json.decode(found.data, type=_Head)
        except msgspec.MsgspecError:
            return None

    def _part(self, slot: int, number: int) -> str:
        return f"{self._prefix}{slot}-{number}"


def views_config(limit: int | None = None) -> dict[str, Any]:
    """The bucket of copies; created by the operator. `limit`: bytes of all streams, if known."""
    most = share(limit, SHARE_OF_VALUES, SLOTS * MOST_COPY + MIB)
    return bucket_config(VIEWS_BUCKET, max_msg_size=PART + 1024, max_bytes=most)
