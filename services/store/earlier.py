"""The bucket in which releases before 0.5 kept blobs: they are read, listed, moved and deleted.

Chunks of one blob share a subject there and go by a rollup; whoever may write here can empty it.
That is the results service alone, and it ends once all has been moved.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from contracts.subjects import BLOBS_BUCKET
from services.bus.bus import Bus
from services.store.shelf import (
    MARK_S,
    FoundBlob,
    ObjectInfo,
    found_in,
    mark_of,
    read_on,
    said_already,
)
from services.store.stream import ALWAYS, Stream

NAME = f"OBJ_{BLOBS_BUCKET}"
METAS = f"$O.{BLOBS_BUCKET}.M.>"
_GONE = {"Nats-Rollup": "sub", "Nats-TTL": f"{MARK_S}s"}


class EarlierShelf:
    """The bucket, if there is one; nothing is stored in it any more."""

    metas = METAS
    """Filter of all descriptions."""

    def __init__(self, bus: Bus) -> None:
        self.stream = Stream(bus, NAME)
        self._there: bool | None = None

    async def there(self) -> bool:
        """Whether there is such a bucket: none is made any more. Raises StoreError."""
        if self._there is None:
            self._there = await self.stream.exists()
        return self._there

    async def find(self, name: str) -> FoundBlob:
        """What stands under a name."""
        return found_in(await self.stream.last(_meta(name)) if await self.there() else None)

    async def newest(self) -> int:
        """The sequence of the newest description; 0: there is none."""
        last = await self.stream.last(self.metas)
        return last.seq if last else 0

    async def chunks(self, meta: ObjectInfo) -> AsyncIterator[bytes]:
        """Yield what is there of a blob's bytes."""
        async for chunk in read_on(self.stream, _chunks(meta.nuid), meta):
            yield chunk

    async def drop(self, meta: ObjectInfo, seq: int) -> bool:
        """Take a blob away if its description is still this one."""
        gone = mark_of(meta)
        written = await self.stream.publish(
            _meta(meta.name), msgspec.json.encode(gone), expected=seq, headers=_GONE
        )
        if written is None and not said_already(await self.find(meta.name), gone):
            return False
        await self.stream.publish(_chunks(meta.nuid), b"", headers=_GONE)
        return True


def earlier_config(empty: bool) -> dict[str, Any]:
    """The stream behind the bucket: as it was, until nothing is left that has to go by a rollup."""
    return {
        "name": NAME,
        "subjects": [f"$O.{BLOBS_BUCKET}.C.>", f"$O.{BLOBS_BUCKET}.M.>"],
        **ALWAYS,
        "allow_rollup_hdrs": not empty,
        "allow_msg_ttl": True,
    }


def _meta(name: str) -> str:
    return f"$O.{BLOBS_BUCKET}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def _chunks(nuid: str) -> str:
    return f"$O.{BLOBS_BUCKET}.C.{nuid}"
