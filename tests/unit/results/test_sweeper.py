"""What the sweeper must never drop: living results, and bytes that somebody has just stored."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from contracts.errors import Reason
from contracts.result import Kept, Pointer
from services.bus.bus import Bus
from services.log.memory import MemoryLog
from services.log.projection import Projection
from services.results import sweeper as sweepers
from services.results.projection import SCHEMA, VERSION, outlived
from services.results.settings import Settings
from services.store.blobs import BlobMissing, Blobs, ListedBlob, ObjectInfo
from tests.support.facts import done, name
from tests.unit.results.test_actor import blobs, bus, file, keeping, log, refused, request

__all__ = ["blobs", "bus", "file", "log"]

SETTINGS = Settings(blob_days=0)
"""What was stored before the sweep began is old."""


def later() -> float:
    """So late that bytes which are stored again are noted."""
    return time.time() + 3600


class Crossed(Blobs):
    """Somebody else is quicker by one step, once: when this blob goes, or is freshened."""

    uri = ""
    before_delete: Callable[[], Awaitable[object]] | None = None
    before_freshen: Callable[[], Awaitable[object]] | None = None

    async def delete(self, uri: str, *, seq: int | None = None) -> bool:
        if uri == self.uri and self.before_delete:
            first, self.before_delete = self.before_delete, None
            await first()
        return await super().delete(uri, seq=seq)

    async def _freshen(self, meta: ObjectInfo, seq: int, at: float) -> bool:
        first, self.before_freshen = self.before_freshen, None
        if first:
            await first()
        return await super()._freshen(meta, seq, at)


@contextlib.asynccontextmanager
async def sweeping(log: MemoryLog, blobs: Blobs, file: Path) -> AsyncIterator[sweepers.Sweeper]:
    """A sweeper with tables that are up to date."""
    async with keeping(log, blobs, file, SETTINGS) as keeper:
        yield keeper._sweeper


async def test_a_view_that_is_being_built_drops_nothing(
    log: MemoryLog, blobs: Blobs, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, data = name("u"), b"living" * 20_000
    pointer = await blobs.put(user, data)
    await log.append(done(user, "t", result=pointer))
    monkeypatch.setattr(sweepers, "REACHED_S", 0.05)
    empty = await Projection.open(file.with_name("new.sqlite"), SCHEMA, VERSION)
    async with sweeping(log, blobs, file) as sweeper:
        whole, sweeper._projection = sweeper._projection, empty
        await sweeper.sweep()
        assert await blobs.read(pointer) == data
        await sweeper._drop_blobs()
        assert await blobs.read(pointer) == data, "it was left behind in the middle of a sweep"
        sweeper._projection = whole
    await empty.close()


async def test_bytes_that_are_stored_again_during_the_sweep_stay(
    log: MemoryLog, bus: Bus, file: Path
) -> None:
    user, data = name("u"), b"again" * 20_000
    blobs = Crossed(bus)
    pointer = await blobs.put(user, data)

    stored: list[Pointer] = []

    async def executor() -> None:
        stored.append(await Blobs(bus, now=later).put(user, data))

    blobs.uri, blobs.before_delete = pointer.uri, executor
    async with sweeping(log, blobs, file) as sweeper:
        await sweeper.sweep()
        await log.append(done(user, "t", result=pointer))
        assert stored, "it was to go"
        assert await blobs.read(pointer) == data


async def test_bytes_that_are_dropped_while_they_are_stored_again_come_back(
    log: MemoryLog, bus: Bus, file: Path
) -> None:
    user, data = name("u"), b"again" * 20_000
    pointer = await Blobs(bus).put(user, data)
    executor = Crossed(bus, now=later)
    async with sweeping(log, Blobs(bus), file) as sweeper:

        async def sweep() -> None:
            await sweeper.sweep()
            with pytest.raises(BlobMissing):
                await executor.info(pointer.uri)

        executor.before_freshen = sweep
        assert await executor.put(user, data) == pointer
        await log.append(done(user, "t", result=pointer))
        assert await executor.read(pointer) == data


async def test_an_owner_who_deletes_leaves_bytes_that_another_task_has_just_stored(
    log: MemoryLog, bus: Bus, file: Path
) -> None:
    user, data = name("u"), b"shared" * 20_000
    blobs = Blobs(bus)
    pointer = await blobs.put(user, data)
    await log.append(done(user, "one", result=pointer))
    async with keeping(log, blobs, file) as keeper:
        assert await Blobs(bus, now=later).put(user, data) == pointer
        gone = msgspec.json.decode(await keeper.delete(request(user, "one")), type=Kept)
        assert gone.deleted
        await log.append(done(user, "two", result=pointer))
        assert await blobs.read(pointer) == data
        assert await refused(keeper.verify(request(user, "one"))) is Reason.NOT_FOUND


async def test_an_owner_who_deletes_while_the_view_lags_erases_nothing_shared(
    log: MemoryLog, blobs: Blobs, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, data = name("u"), b"shared" * 20_000
    pointer: Pointer = await blobs.put(user, data)
    await log.append(done(user, "one", result=pointer))
    async with sweeping(log, blobs, file) as sweeper:
        kept = (await outlived(sweeper._projection, later(), 10))[0]
        monkeypatch.setattr(sweepers, "REACHED_S", 0.05)
        lagging = await Projection.open(file.with_name("new.sqlite"), SCHEMA, VERSION)
        whole, sweeper._projection = sweeper._projection, lagging
        await log.append(done(user, "two", result=pointer))
        await sweeper.delete(kept, "asked")
        sweeper._projection = whole
        await lagging.close()
        assert await blobs.read(pointer) == data


async def test_a_blob_is_another_one_when_it_is_stored_again(bus: Bus, blobs: Blobs) -> None:
    user = name("u")
    pointer = await blobs.put(user, b"x" * 1000)
    before = await blobs.find(pointer.uri)
    await Blobs(bus, now=later).put(user, b"x" * 1000)
    after = await blobs.find(pointer.uri)
    assert isinstance(before, ListedBlob)
    assert isinstance(after, ListedBlob)
    assert after.seq > before.seq
    assert after.stored_at > before.stored_at
    assert not await blobs.delete(pointer.uri, seq=before.seq)
    assert await blobs.delete(pointer.uri, seq=after.seq)
    assert await blobs.find(pointer.uri) is None
