"""Where blobs lie: a stream with one message a subject, for each description and for each chunk.

No header empties it: what goes is overwritten, subject by subject, by an empty message that soon
ends; many of them are one batch. Nobody needs a consumer or a purge.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from contracts.subjects import BLOBS_BUCKET, BLOBS_STREAM, BLOBS_SUBJECTS
from services.bus.bus import Bus
from services.bus.room import SHARE_OF_BLOBS
from services.store.stream import ALWAYS, MOST_TOGETHER, Stored, Stream

METAS = "blob.meta.>"
MOST_BYTES = "metamcp_most_bytes"
"""In the stream's metadata: what may lie in it, by our own rule."""
FIRST = 2**40
"""The first sequence. Those of an earlier release's bucket stay below: one number says in which of
the two a blob lies, and a list goes through both."""
MARK_S = 3600
"""How long a description says that its blob is gone."""
READ_AHEAD = 1024 * 1024
"""Bytes that a reader asks for at once."""
_GONE = {"Nats-TTL": f"{MARK_S}s"}
_EMPTY = {"Nats-TTL": "60s"}


class ObjectInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A blob's description, in the form NATS clients know from object stores."""

    name: str
    bucket: str
    nuid: str
    size: int
    chunks: int
    digest: str = ""
    mtime: str = ""
    deleted: bool = False
    metadata: dict[str, str] = {}
    options: dict[str, int] = {}


class FoundBlob(NamedTuple):
    """What stands under a blob's name; `seq` 0: nothing."""

    meta: ObjectInfo | None
    seq: int
    at: float

    @property
    def there(self) -> ObjectInfo | None:
        """The description, unless the blob is gone."""
        return None if self.meta is None or self.meta.deleted else self.meta


class Shelf:
    """The stream of blobs, which exists already. Names are `<user>/<sha256>`."""

    metas = METAS
    """Filter of all descriptions."""

    def __init__(self, bus: Bus) -> None:
        self.stream = Stream(bus, BLOBS_STREAM)

    async def find(self, name: str) -> FoundBlob:
        """What stands under a name."""
        return found_in(await self.stream.last(_meta(name)))

    async def newest(self) -> int:
        """The sequence of the newest description; 0: there is none."""
        last = await self.stream.last(self.metas)
        return last.seq if last else 0

    async def chunks(self, meta: ObjectInfo) -> AsyncIterator[bytes]:
        """Yield what is there of a blob's bytes."""
        async for chunk in read_on(self.stream, f"blob.chunk.{meta.nuid}.*", meta):
            yield chunk

    async def add(self, nuid: str, number: int, chunk: bytes) -> None:
        """Store one chunk, the first one first."""
        await self.stream.publish(_chunk(nuid, number), chunk)

    async def describe(self, info: ObjectInfo, seq: int) -> bool:
        """Set a description where `seq` is the one now; False: it isn't any more."""
        headers = _GONE if info.deleted else {}
        written = await self.stream.publish(
            _meta(info.name), msgspec.json.encode(info), expected=seq, headers=headers
        )
        return written is not None or said_already(await self.find(info.name), info)

    async def drop(self, meta: ObjectInfo, seq: int) -> bool:
        """Take a blob away if its description is still this one."""
        if not await self.describe(mark_of(meta), seq):
            return False
        await self.empty(meta.nuid, meta.chunks)
        return True

    async def empty(self, nuid: str, chunks: int) -> None:
        """Take a blob's chunks away, the first one last: by that what a crash left is found."""
        subjects = [_chunk(nuid, number) for number in reversed(range(chunks))]
        for start in range(0, chunks, MOST_TOGETHER):
            await self.stream.publish_all(subjects[start : start + MOST_TOGETHER], _EMPTY)

    async def nuids(self) -> set[str]:
        """Of all blobs of which chunks are there. Raises StoreError."""
        return {subject.split(".")[2] for subject in await self.stream.subjects("blob.chunk.*.0")}

    async def count(self, nuid: str) -> int:
        """How many chunks there are, described or not: one more than the last one's number."""
        subjects = await self.stream.subjects(f"blob.chunk.{nuid}.*")
        return max((int(subject.rpartition(".")[2]) + 1 for subject in subjects), default=0)

    async def begun_at(self, nuid: str) -> float | None:
        """When the first chunk was stored; None: it is not there, or being taken away."""
        first = await self.stream.last(_chunk(nuid, 0))
        return stored_at(first) if first is not None and first.data else None


def shelf_config(limit: int | None = None) -> dict[str, Any]:
    """The stream behind the object store; created by the operator.

    `limit`: bytes of all streams, if that is known: the log needs its part of them. Whoever stores
    blobs keeps to that. The server can't be told: full, it would take no deletion either, and on a
    disk that has become smaller it would not change the number any more.
    """
    most = {} if limit is None else {MOST_BYTES: str(limit // SHARE_OF_BLOBS)}
    return {
        "name": BLOBS_STREAM,
        "subjects": list(BLOBS_SUBJECTS),
        **ALWAYS,
        "max_msgs_per_subject": 1,
        "allow_msg_ttl": True,
        "allow_atomic": True,
        "first_seq": FIRST,
        "metadata": most,
    }


async def read_on(stream: Stream, subject: str, meta: ObjectInfo) -> AsyncIterator[bytes]:
    """Yield messages in their order until a blob's bytes are there, or there are no more."""
    seq, size = 1, meta.size
    at_once = max(1, READ_AHEAD // meta.options.get("max_chunk_size", READ_AHEAD))
    while size > 0 and (found := await stream.read(subject, seq, at_once)):
        for message in found:
            size -= len(message.data)
            yield message.data
        seq = found[-1].seq + 1


def found_in(stored: Stored | None) -> FoundBlob:
    """What a message says about a blob."""
    if stored is None:
        return FoundBlob(None, 0, 0.0)
    try:
        meta = msgspec.json.decode(stored.data, type=ObjectInfo)
    except msgspec.DecodeError:
        # Not by us: there is nothing, and it may be written over.
        meta = None
    return FoundBlob(meta, stored.seq, stored_at(stored))


def stored_at(stored: Stored) -> float:
    """When, by the server's clock: seconds since the epoch."""
    return datetime.fromisoformat(stored.headers["Nats-Time-Stamp"]).timestamp()


def mark_of(meta: ObjectInfo) -> ObjectInfo:
    """What is written over the description of a blob that goes."""
    return msgspec.structs.replace(meta, deleted=True, size=0, chunks=0, digest="")


def said_already(found: FoundBlob, info: ObjectInfo) -> bool:
    """An acknowledgement that was lost and a retry look like a conflict with oneself."""
    meta = found.meta
    return meta is not None and meta.nuid == info.nuid and meta.deleted == info.deleted


def described(
    name: str, nuid: str, size: int, chunks: int, media_type: str, chunk: int
) -> ObjectInfo:
    """The description of bytes that have just been stored."""
    digest = base64.urlsafe_b64encode(bytes.fromhex(name.rpartition("/")[2])).decode()
    return ObjectInfo(
        name=name,
        bucket=BLOBS_BUCKET,
        nuid=nuid,
        size=size,
        chunks=chunks,
        digest=f"SHA-256={digest}",
        mtime=datetime.now(UTC).isoformat(),
        metadata={"media_type": media_type},
        options={"max_chunk_size": chunk},
    )


def _meta(name: str) -> str:
    user, _, sha256 = name.partition("/")
    return f"blob.meta.{user}.{sha256}"


def _chunk(nuid: str, number: int) -> str:
    return f"blob.chunk.{nuid}.{number}"
