"""Bytes too big for the log, in the object store, named by what they contain.

What an earlier release has stored lies in a bucket of its own until it is moved.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import IO, NamedTuple

import msgspec
from nats.nuid import NUID

from contracts.budget import BudgetOf, usual
from contracts.errors import Reason, Rejected
from contracts.ids import check_user, is_user
from contracts.result import Pointer
from contracts.subjects import BLOBS_BUCKET, CREDENTIAL_BUCKETS
from services.bus.bus import Bus
from services.bus.errors import BusError
from services.bus.room import room
from services.store import access, copies, kv, lease
from services.store.earlier import NAME, EarlierShelf, earlier_config
from services.store.lease import Lease, LeaseLost, Leases
from services.store.shelf import (
    FIRST,
    FoundBlob,
    ObjectInfo,
    Shelf,
    described,
    found_in,
    shelf_config,
)
from services.store.stream import Stored, StoreError, StoreRefused, Stream, ensure_stream
from services.store.usage import AskBudget, StoreFull, Usage

__all__ = [
    "CHUNK",
    "BlobCorrupt",
    "BlobMissing",
    "Blobs",
    "Lease",
    "LeaseLost",
    "Leases",
    "StoreError",
    "StoreFull",
    "StoreRefused",
    "provision",
]

CHUNK = 512 * 1024
FRESH_S = 10.0
"""Bytes that are stored again so soon are not noted as stored again."""
LOST_S = 86_400.0
"""Chunks that are so old and that no description names are those of somebody who died."""
_SLOW_S = LOST_S / 2
"""Who took longer to store chunks, because it stood still, stores them again."""
_SPOOL = 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BlobMissing(StoreRefused):
    """There is no such blob, or not any more."""


class BlobCorrupt(StoreRefused):
    """What is stored is not what the pointer says; never trust the bytes read so far."""


class ListedBlob(NamedTuple):
    """A blob among all of them."""

    seq: int
    """Another one whenever the bytes are stored again."""
    uri: str
    """Empty: it is gone."""
    size: int
    stored_at: float
    """When it was stored last, by the server's clock: seconds since the epoch."""


class Blobs:
    """The object store of one deployment: `<user>/<sha256>`, each content once per user."""

    def __init__(
        self,
        bus: Bus,
        *,
        limit: int = 256 * 1024 * 1024,
        budget_of: BudgetOf = usual,
        now: Callable[[], float] = time.time,
        ask: AskBudget | None = None,
    ) -> None:
        """`limit`: bytes of the largest blob that `put` takes; `ask` as in `Usage`."""
        self._shelf = Shelf(bus)
        self._earlier = EarlierShelf(bus)
        self.usage = Usage(self._shelf, self._earlier, budget_of, ask=ask)
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
        StoreFull, StoreError.
        """
        check_user(user)
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spool:
            digest, size = await self._spool(data, spool)
            pointer = Pointer(_uri(user, digest), digest, size, media_type)
            stored = False
            while not stored:
                # Refused: somebody has just stored the same bytes, or dropped them.
                found = await self._shelf.find(_name(pointer.uri))
                if found.there is not None and found.there.size == size:
                    stored = await self._freshen(found.there, found.seq, found.at)
                else:
                    spool.seek(0)
                    async with self.usage.room_for(user, digest, size):
                        stored = await self._store(pointer, spool, found.seq)
        return pointer

    async def get(self, what: Pointer | str) -> AsyncIterator[bytes]:
        """Yield a blob's bytes in chunks, and raise BlobCorrupt at the end if they were wrong.

        `what` is a pointer or its uri. Raises BlobMissing before the first chunk.
        """
        pointer = await self.info(what) if isinstance(what, str) else what
        found = await self._find(_name(pointer.uri))
        digest, size = hashlib.sha256(), 0
        async for chunk in self._chunks(found, pointer.uri):
            digest.update(chunk)
            size += len(chunk)
            yield chunk
        if digest.hexdigest() != pointer.sha256 or size != pointer.size:
            raise BlobCorrupt(f"The stored bytes of {pointer.uri} are not those it names.")

    async def read(self, what: Pointer | str) -> bytes:
        """Return the whole blob, verified; for blobs known to be small. Raises as `get` does."""
        return b"".join([chunk async for chunk in self.get(what)])

    async def info(self, uri: str) -> Pointer:
        """Describe a blob without reading it. Raises BlobMissing."""
        meta = _existing(await self._find(_name(uri)), uri)
        return Pointer(uri, uri.rpartition("/")[2], meta.size, _media_type(meta))

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
        name = _name(uri)
        found = await self._find(name)
        if found.there is None or seq not in (None, found.seq):
            return False
        # The older bytes go first: they would be what is found once the newer ones are gone.
        earlier = found if _is_earlier(found) else await self._earlier.find(name)
        if earlier.there is not None and not await self._earlier.drop(earlier.there, earlier.seq):
            return False
        return found is earlier or await self._shelf.drop(found.there, found.seq)

    async def page(self, after: int, count: int = 256) -> list[ListedBlob]:
        """Some of all blobs, in an order of their own; `after`: the `seq` of the last one seen."""
        if after < FIRST - 1 and (page := await self._earlier_page(after, count)):
            return page
        found = await self._shelf.stream.read(self._shelf.metas, after + 1, count)
        return [_listed(stored) for stored in found]

    async def move(self, most_bytes: int) -> int:
        """Take over what an earlier release has stored, until that is about so many bytes; return
        how many blobs that were. Raises StoreFull, StoreError."""
        moved = after = 0
        while page := await self._earlier_page(after, 256):
            after = page[-1].seq
            for blob in page:
                if most_bytes <= 0:
                    return moved
                if blob.uri and await self._move(_name(blob.uri)):
                    moved += 1
                    # Small ones take their time too.
                    most_bytes -= blob.size + CHUNK
        return moved

    async def drop_lost(self) -> int:
        """Take chunks away whose writer died before it described them, or while it took them away;
        return of how many blobs they were. Raises StoreError."""
        # First the chunks: what has been described since is not among them.
        nuids = await self._shelf.nuids()
        after = FIRST - 1
        while nuids and (found := await self._shelf.stream.read(self._shelf.metas, after + 1, 256)):
            after = found[-1].seq
            described_ = (found_in(stored).there for stored in found)
            nuids -= {meta.nuid for meta in described_ if meta is not None}
        dropped = 0
        for nuid in nuids:
            begun_at = await self._shelf.begun_at(nuid)
            if begun_at is not None and self._now() - begun_at > LOST_S:
                await self._shelf.empty(nuid, await self._shelf.count(nuid))
                dropped += 1
        return dropped

    async def _freshen(self, meta: ObjectInfo, seq: int, at: float) -> bool:
        """Note that the bytes were wanted again: their age decides when what nobody refers to is
        dropped. False: they are gone."""
        if 0 <= self._now() - at <= FRESH_S:
            return True
        fresh = msgspec.structs.replace(meta, mtime=datetime.now(UTC).isoformat())
        return await self._shelf.describe(fresh, seq)

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
        chunks = iter(lambda: spool.read(CHUNK), b"")
        return await self._fill(
            _name(pointer.uri), pointer.size, pointer.media_type, _each(chunks), seq
        )

    async def _fill(
        self, name: str, size: int, media_type: str, chunks: AsyncIterator[bytes], seq: int
    ) -> bool:
        """Store chunks, and then what they are, if `seq` is still what stands under the name."""
        nuid = NUID().next().decode()
        begun_at, count, stored = self._now(), 0, False
        try:
            async for chunk in chunks:
                count += 1
                await self._shelf.add(nuid, count - 1, chunk)
            if self._now() - begun_at < _SLOW_S:
                info = described(name, nuid, size, count, media_type, CHUNK)
                stored = await self._shelf.describe(info, seq)
        finally:
            if count and not stored:
                await self._shelf.empty(nuid, count)
        return stored

    async def _move(self, name: str) -> bool:
        """Copy an earlier release's blob unless its bytes have been stored anew; then drop that."""
        earlier, now = await self._earlier.find(name), await self._shelf.find(name)
        meta = earlier.there
        if meta is None:
            return False
        if now.there is not None:
            return await self._earlier.drop(meta, earlier.seq)
        await self.usage.check_store(meta.size)
        media_type = _media_type(meta)
        if not await self._fill(
            name, meta.size, media_type, _joined(self._earlier.chunks(meta)), now.seq
        ):
            return False
        if await self._earlier.drop(meta, earlier.seq):
            return True
        # Its owner has deleted it meanwhile.
        copy = await self._shelf.find(name)
        if copy.there is not None:
            await self._shelf.drop(copy.there, copy.seq)
        return False

    async def _earlier_page(self, after: int, count: int) -> list[ListedBlob]:
        if not await self._earlier.there():
            return []
        found = await self._earlier.stream.read(self._earlier.metas, after + 1, count)
        return [_listed(stored) for stored in found]

    async def _find(self, name: str) -> FoundBlob:
        found = await self._shelf.find(name)
        if found.there is None:
            earlier = await self._earlier.find(name)
            return found if earlier.there is None else earlier
        return found

    def _chunks(self, found: FoundBlob, uri: str) -> AsyncIterator[bytes]:
        meta = _existing(found, uri)
        return self._earlier.chunks(meta) if _is_earlier(found) else self._shelf.chunks(meta)


def _existing(found: FoundBlob, uri: str) -> ObjectInfo:
    if found.there is None:
        raise BlobMissing(f"There is no blob {uri}.")
    return found.there


def _is_earlier(found: FoundBlob) -> bool:
    return 0 < found.seq < FIRST


def _media_type(meta: ObjectInfo) -> str:
    return meta.metadata.get("media_type", "application/octet-stream")


def _listed(stored: Stored) -> ListedBlob:
    found = found_in(stored)
    if (meta := found.there) is None:
        return ListedBlob(found.seq, "", 0, found.at)
    user, _, digest = meta.name.partition("/")
    return ListedBlob(found.seq, _uri(user, digest), meta.size, found.at)


def _uri(user: str, digest: str) -> str:
    return f"nats://{BLOBS_BUCKET}/{user}/{digest}"


def _name(uri: str) -> str:
    """`<user>/<sha256>` of one of our uris. Raises BlobMissing for any other."""
    prefix = f"nats://{BLOBS_BUCKET}/"
    user, _, digest = uri.removeprefix(prefix).partition("/")
    # Both become tokens of a subject, where a `*` would stand for any.
    if not (uri.startswith(prefix) and is_user(user) and _SHA256.fullmatch(digest)):
        raise BlobMissing(f"{uri!r} is not a blob of this object store.")
    return f"{user}/{digest}"


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _each(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def _joined(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of an earlier release as those of today, which are bigger."""
    whole = b""
    async for part in parts:
        whole += part
        if len(whole) >= CHUNK:
            yield whole
            whole = b""
    if whole:
        yield whole


async def provision(bus: Bus, access_days: int = access.DAYS) -> None:
    """Create or update the buckets, and the stream `ACCESS`; the operator's right alone.

    Raises StoreError.
    """
    try:
        limit = (await room(bus)).limit
    except BusError as error:
        raise StoreError(f"the room for streams is not known: {error}") from error
    credentials = (kv.bucket_config(name) for name in CREDENTIAL_BUCKETS.values())
    configs = (kv.tokens_config, kv.accounts_config, kv.limits_config, kv.tickets_config)
    shared = (make(limit) for make in (*configs, copies.views_config))
    for config in (
        shelf_config(limit),
        lease.bucket_config(),
        access.access_config(limit, access_days),
        *credentials,
        *shared,
    ):
        await ensure_stream(bus, config)
    earlier = Stream(bus, NAME)
    if await earlier.exists():
        empty = (await earlier.info()).state.messages == 0
        await ensure_stream(bus, earlier_config(empty))
