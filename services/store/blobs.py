"""Bytes too big for the log, in the NATS object store, named by what they contain.

Chunks are read by direct get and dropped by a rollup, so no service needs a consumer or a purge.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

import msgspec
from nats.nuid import NUID

from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from contracts.result import Pointer
from contracts.subjects import BLOBS_BUCKET, CREDENTIAL_BUCKETS
from services.bus.bus import Bus
from services.store import kv, lease
from services.store.lease import Lease, LeaseLost, Leases
from services.store.stream import (
    ALWAYS,
    Stored,
    StoreError,
    StoreRefused,
    Stream,
    ensure_stream,
)

__all__ = [
    "CHUNK",
    "BlobCorrupt",
    "BlobMissing",
    "Blobs",
    "Lease",
    "LeaseLost",
    "Leases",
    "StoreError",
    "StoreRefused",
    "provision",
]

CHUNK = 128 * 1024
FRESH_S = 10.0
"""Bytes that are stored again so soon are not noted as stored again."""
_SPOOL = 1024 * 1024
_READ_AHEAD = 8
_ROLLUP = {"Nats-Rollup": "sub"}
_TOMBSTONE = {**_ROLLUP, "Nats-TTL": "3600s"}


class BlobMissing(StoreRefused):
    """There is no such blob, or not any more."""


class BlobCorrupt(StoreRefused):
    """What is stored is not what the pointer says; never trust the bytes read so far."""


class ObjectInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object's description as every NATS client reads it."""

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


class ListedBlob(NamedTuple):
    """A blob among all of them."""

    seq: int
    """Another one whenever the bytes are stored again."""
    uri: str
    """Empty: it is gone."""
    size: int
    stored_at: float
    """When it was stored last, by the server's clock: seconds since the epoch."""


class _Found(NamedTuple):
    """What stands under a blob's name; `seq` 0: nothing."""

    meta: ObjectInfo | None
    seq: int
    at: float

    @property
    def there(self) -> ObjectInfo | None:
        """The description, unless the blob is gone."""
        return None if self.meta is None or self.meta.deleted else self.meta


class Blobs:
    """The object store of one deployment: `<user>/<sha256>`, each content once per user."""

    def __init__(
        self,
        bus: Bus,
        *,
        limit: int = 256 * 1024 * 1024,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`limit`: bytes of the largest blob that `put` takes."""
        self._stream = Stream(bus, f"OBJ_{BLOBS_BUCKET}")
        self._limit = limit
        self._now = now

    async def put(
        self,
        user: str,
        data: bytes | AsyncIterator[bytes],
        media_type: str = "application/octet-stream",
    ) -> Pointer:
        """Store the bytes and return where they are; the same bytes again cost next to nothing.

        Whoever drops what was not stored lately leaves them alone from now on. Needs little memory
        whatever the size: a stream goes through a temporary file. Raises Rejected(TOO_LARGE),
        StoreError.
        """
        check_token(user, "user")
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spool:
            digest, size = await self._spool(data, spool)
            pointer = Pointer(_uri(user, digest), digest, size, media_type)
            stored = False
            while not stored:
                # Refused: somebody has just stored the same bytes, or dropped them.
                found = await self._find(_name(pointer.uri))
                if found.there is not None and found.there.size == size:
                    stored = await self._freshen(found.there, found.seq, found.at)
                else:
                    spool.seek(0)
                    stored = await self._store(pointer, spool, found.seq)
        return pointer

    async def get(self, what: Pointer | str) -> AsyncIterator[bytes]:
        """Yield a blob's bytes in chunks, and raise BlobCorrupt at the end if they were wrong.

        `what` is a pointer or its uri. Raises BlobMissing before the first chunk.
        """
        pointer = await self.info(what) if isinstance(what, str) else what
        meta = await self._existing(pointer.uri)
        digest, size, seq = hashlib.sha256(), 0, 1
        while size < meta.size:
            found = await self._stream.read(_chunks(meta.nuid), seq, _READ_AHEAD)
            if not found:
                break
            for message in found:
                digest.update(message.data)
                size += len(message.data)
                yield message.data
            seq = found[-1].seq + 1
        if digest.hexdigest() != pointer.sha256 or size != pointer.size:
            raise BlobCorrupt(f"The stored bytes of {pointer.uri} are not those it names.")

    async def read(self, what: Pointer | str) -> bytes:
        """Return the whole blob, verified; for blobs known to be small. Raises as `get` does."""
        return b"".join([chunk async for chunk in self.get(what)])

    async def info(self, uri: str) -> Pointer:
        """Describe a blob without reading it. Raises BlobMissing."""
        meta = await self._existing(uri)
        media_type = meta.metadata.get("media_type", "application/octet-stream")
        return Pointer(uri, uri.rpartition("/")[2], meta.size, media_type)

    async def find(self, uri: str) -> ListedBlob | None:
        """The blob as `page` lists it; None if there is none."""
        found = await self._find(_name(uri))
        if found.there is None:
            return None
        return ListedBlob(found.seq, uri, found.there.size, found.at)

    async def delete(self, uri: str, *, seq: int | None = None) -> bool:
        """Remove a blob and free its space; False if there was none.

        With `seq`, only if it is still the one that was found so, and was not stored again since.
        """
        found = await self._find(_name(uri))
        meta = found.there
        if meta is None or seq not in (None, found.seq):
            return False
        gone = msgspec.structs.replace(meta, deleted=True, size=0, chunks=0, digest="")
        if not await self._publish_meta(gone, found.seq, _TOMBSTONE):
            return False
        await self._drop_chunks(meta.nuid)
        return True

    async def page(self, after: int, count: int = 256) -> list[ListedBlob]:
        """Some of all blobs, in an order of their own; `after`: the `seq` of the last one seen."""
        found = await self._stream.read(f"$O.{BLOBS_BUCKET}.M.>", after + 1, count)
        page: list[ListedBlob] = []
        for stored in found:
            meta = msgspec.json.decode(stored.data, type=ObjectInfo)
            user, _, digest = meta.name.partition("/")
            uri = "" if meta.deleted else _uri(user, digest)
            page.append(ListedBlob(stored.seq, uri, meta.size, _stored_at(stored)))
        return page

    async def _freshen(self, meta: ObjectInfo, seq: int, at: float) -> bool:
        """Note that the bytes were wanted again: their age decides when what nobody refers to is
        dropped. False: they are gone."""
        if 0 <= self._now() - at <= FRESH_S:
            return True
        fresh = msgspec.structs.replace(meta, mtime=datetime.now(UTC).isoformat())
        return await self._publish_meta(fresh, seq, _ROLLUP)

    async def _spool(self, data: bytes | AsyncIterator[bytes], spool: IO[bytes]) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        async for part in _once(data) if isinstance(data, bytes) else data:
            size += len(part)
            if size > self._limit:
                raise Rejected(Reason.TOO_LARGE, f"The blob is over {self._limit} bytes.")
            digest.update(part)
            spool.write(part)
        return digest.hexdigest(), size

    async def _store(self, pointer: Pointer, spool: IO[bytes], seq: int) -> bool:
        nuid = NUID().next().decode()
        chunks = 0
        stored = False
        try:
            while part := spool.read(CHUNK):
                await self._stream.publish(_chunks(nuid), part)
                chunks += 1
            digest = base64.urlsafe_b64encode(bytes.fromhex(pointer.sha256)).decode()
            info = ObjectInfo(
                name=_name(pointer.uri),
                bucket=BLOBS_BUCKET,
                nuid=nuid,
                size=pointer.size,
                chunks=chunks,
                digest=f"SHA-256={digest}",
                mtime=datetime.now(UTC).isoformat(),
                metadata={"media_type": pointer.media_type},
                options={"max_chunk_size": CHUNK},
            )
            stored = await self._publish_meta(info, seq, _ROLLUP)
        finally:
            if chunks and not stored:
                await self._drop_chunks(nuid)
        return stored

    async def _publish_meta(self, info: ObjectInfo, seq: int, headers: dict[str, str]) -> bool:
        subject = _meta_subject(info.name)
        written = await self._stream.publish(
            subject, msgspec.json.encode(info), expected=seq, headers=headers
        )
        if written is not None:
            return True
        found = (await self._find(info.name)).meta
        # An acknowledgement that was lost and a retry look like a conflict with oneself.
        return found is not None and found.nuid == info.nuid and found.deleted == info.deleted

    async def _drop_chunks(self, nuid: str) -> None:
        await self._stream.publish(_chunks(nuid), b"", headers=_TOMBSTONE)

    async def _existing(self, uri: str) -> ObjectInfo:
        meta = (await self._find(_name(uri))).there
        if meta is None:
            raise BlobMissing(f"There is no blob {uri}.")
        return meta

    async def _find(self, name: str) -> _Found:
        stored = await self._stream.last(_meta_subject(name))
        if stored is None:
            return _Found(None, 0, 0.0)
        meta = msgspec.json.decode(stored.data, type=ObjectInfo)
        return _Found(meta, stored.seq, _stored_at(stored))


def bucket_config() -> dict[str, Any]:
    """The stream behind the object store; created by the operator."""
    return {
        "name": f"OBJ_{BLOBS_BUCKET}",
        "subjects": [f"$O.{BLOBS_BUCKET}.C.>", f"$O.{BLOBS_BUCKET}.M.>"],
        **ALWAYS,
        "allow_msg_ttl": True,
    }


def _stored_at(stored: Stored) -> float:
    return datetime.fromisoformat(stored.headers["Nats-Time-Stamp"]).timestamp()


def _uri(user: str, digest: str) -> str:
    return f"nats://{BLOBS_BUCKET}/{user}/{digest}"


def _name(uri: str) -> str:
    """`<user>/<sha256>` of one of our uris. Raises BlobMissing for any other."""
    prefix = f"nats://{BLOBS_BUCKET}/"
    user, _, digest = uri.removeprefix(prefix).partition("/")
    if not (uri.startswith(prefix) and user and len(digest) == 64):
        raise BlobMissing(f"{uri!r} is not a blob of this object store.")
    return f"{user}/{digest}"


def _meta_subject(name: str) -> str:
    return f"$O.{BLOBS_BUCKET}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def _chunks(nuid: str) -> str:
    return f"$O.{BLOBS_BUCKET}.C.{nuid}"


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def provision(bus: Bus) -> None:
    """Create or update the buckets; the operator's right alone. Raises StoreError."""
    credentials = (kv.bucket_config(name) for name in CREDENTIAL_BUCKETS.values())
    shared = (kv.tokens_config(), kv.limits_config(), kv.tickets_config())
    for config in (bucket_config(), lease.bucket_config(), *credentials, *shared):
        await ensure_stream(bus, config)
