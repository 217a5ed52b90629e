"""The keeper of results, with a real object store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts.errors import Reason, Rejected
from contracts.facts import Outcome, ResultDeleted, ResultStored
from contracts.result import (
    Inline,
    Kept,
    Pointer,
    ResultFound,
    ResultPage,
    ResultVerified,
    inline,
    sha256_hex,
)
from services.bus.bus import Bus
from services.huggingface.datasets import Datasets
from services.huggingface.hub import Hub
from services.keys.accounts import Accounts
from services.keys.vault import KeyFile
from services.log.memory import MemoryLog
from services.log.projection import Projection
from services.process.ids import new_id
from services.results import projection as view
from services.results.actor import Keeper
from services.results.copies import Copies
from services.results.domain import Blob
from services.results.projection import SCHEMA, VERSION
from services.results.settings import Settings
from services.results.sources import DatasetSource, InLog, InStore, Sources
from services.results.sweeper import Sweeper
from services.store.blobs import Blobs
from tests.support.facts import done, name
from tests.support.nats import NatsServer

SETTINGS = Settings()


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with nats_server.connected("results") as bus:
        yield bus


@pytest.fixture
def blobs(bus: Bus) -> Blobs:
    return Blobs(bus)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


@contextlib.asynccontextmanager
async def keeping(
    log: MemoryLog, blobs: Blobs, file: Path, settings: Settings = SETTINGS
) -> AsyncIterator[Keeper]:
    """A keeper that has seen everything the log holds now."""
    projection = await Projection.open(file, SCHEMA, VERSION)
    hub = Hub("http://127.0.0.1:1")
    accounts = Accounts(blobs._shelf.stream._bus, KeyFile(file.with_name("master.key")))
    sources = Sources(InLog(log), InStore(blobs), DatasetSource(Datasets(hub), accounts))
    copies = Copies(file.with_name("copies"), settings.cache_bytes, sources.fetch)
    sweeper = Sweeper(log, projection, blobs, Datasets(hub), accounts, settings, "results-1")
    keeper = Keeper(log, projection, blobs, copies, sweeper, settings)
    tasks = [asyncio.create_task(keeper.follow()), asyncio.create_task(keeper.check())]
    try:
        async with asyncio.timeout(20):
            assert await projection.reached(await log.head(), 10)
            yield keeper
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        copies.close()
        await hub.close()
        await projection.close()


def request(user: str, task: str) -> bytes:
    return msgspec.json.encode({"user": user, "task": task})


async def got(keeper: Keeper, user: str, task: str) -> ResultFound:
    return msgspec.json.decode(await keeper.get(request(user, task)), type=ResultFound)


async def refused(work: object) -> Reason:
    with pytest.raises(Rejected) as refusal:
        await work  # type: ignore[misc]
    return refusal.value.reason


async def checked(keeper: Keeper, blob: Blob) -> None:
    async with asyncio.timeout(30):
        while not keeper.found[blob]:
            await asyncio.wait((asyncio.ensure_future(asyncio.to_thread(int)),))


async def test_a_small_result_comes_with_its_value(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    await log.append(done("ann", "t1", host="h", result=inline(b'{"a":1}')))
    async with keeping(log, blobs, file) as keeper:
        found = await got(keeper, "ann", "t1")
        assert bytes(found.value) == b'{"a":1}'
        assert (found.result.host, found.result.kind) == ("h", "inline")
        verified = msgspec.json.decode(
            await keeper.verify(request("ann", "t1")), type=ResultVerified
        )
        assert verified.bytes_read == 7


async def test_a_big_result_is_looked_up_and_read_whole(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user = name("u")
    pointer = await blobs.put(user, b"x" * 300_000, "text/plain")
    await log.append(done(user, "t1", result=pointer))
    async with keeping(log, blobs, file) as keeper:
        await checked(keeper, Blob.THERE)
        found = await got(keeper, user, "t1")
        assert (bytes(found.value), found.result.uri) == (b"", pointer.uri)
        verified = msgspec.json.decode(
            await keeper.verify(request(user, "t1")), type=ResultVerified
        )
        assert verified.bytes_read == 300_000


async def test_a_missing_blob_is_counted_and_the_result_still_described(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    digest = sha256_hex(b"never stored")
    pointer = Pointer(f"nats://METAMCP_BLOBS/ann/{digest}", digest, 12)
    await log.append(done("ann", "t1", result=pointer))
    async with keeping(log, blobs, file) as keeper:
        await checked(keeper, Blob.MISSING)
        assert (await got(keeper, "ann", "t1")).result.uri == pointer.uri
        assert await refused(keeper.verify(request("ann", "t1"))) is Reason.NOT_FOUND


async def test_a_blob_of_another_size_is_counted_and_never_read(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user = name("u")
    stored = await blobs.put(user, b"twelve bytes")
    await log.append(done(user, "t1", result=msgspec.structs.replace(stored, size=11)))
    async with keeping(log, blobs, file) as keeper:
        await checked(keeper, Blob.WRONG_SIZE)
        assert await refused(keeper.verify(request(user, "t1"))) is Reason.DIGEST_MISMATCH


async def test_an_inline_value_that_does_not_match_its_digest_is_never_given_out(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    await log.append(done("ann", "t1", result=Inline(msgspec.Raw(b"1"), "0" * 64, 1)))
    async with keeping(log, blobs, file) as keeper:
        assert await refused(keeper.get(request("ann", "t1"))) is Reason.DIGEST_MISMATCH


async def test_pointers_to_elsewhere_are_left_to_those_who_know_them(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    await log.append(done("ann", "t1", result=Pointer("hf://somewhere", "00", 1)))
    async with keeping(log, blobs, file) as keeper:
        await checked(keeper, Blob.FOREIGN)


async def test_a_result_that_moved_is_found_where_it_is_now(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user = name("u")
    pointer = await blobs.put(user, b"moved")
    await log.append(done(user, "t1", result=inline(b"1")))
    await log.append(ResultStored(id=new_id(), by="t", user=user, task="t1", pointer=pointer))
    async with keeping(log, blobs, file) as keeper:
        found = await got(keeper, user, "t1")
        assert (found.result.kind, found.result.uri) == ("pointer", pointer.uri)


async def test_a_deleted_result_is_remembered_without_its_bytes(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    await log.append(done("ann", "t1", result=inline(b"1")))
    await log.append(ResultDeleted(id=new_id(), by="t", user="ann", task="t1", reason="too old"))
    async with keeping(log, blobs, file) as keeper:
        found = await got(keeper, "ann", "t1")
        assert (bytes(found.value), found.result.deleted) == (b"", "too old")
        assert await refused(keeper.verify(request("ann", "t1"))) is Reason.NOT_FOUND


async def test_a_result_that_is_applied_during_the_look_is_found(
    log: MemoryLog, blobs: Blobs, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = view.get
    async with keeping(log, blobs, file) as keeper:

        async def slow(projection: Projection, user: str, task: str) -> Kept | None:
            found = await look(projection, user, task)
            if found is None:
                seq = await log.append(done("ann", "t1", result=inline(b"1")))
                assert await projection.reached(seq, 10)
            return found

        monkeypatch.setattr(view, "get", slow)
        wanted = msgspec.json.encode({"user": "ann", "task": "t1", "after": 1})
        found = msgspec.json.decode(await keeper.get(wanted), type=ResultFound)
    assert bytes(found.value) == b"1"


async def test_nobody_gets_another_users_result(log: MemoryLog, blobs: Blobs, file: Path) -> None:
    await log.append(done("ann", "t1", result=inline(b"1")))
    await log.append(done("bob", "t2", Outcome.FAILED))
    async with keeping(log, blobs, file) as keeper:
        assert await refused(keeper.get(request("bob", "t1"))) is Reason.NOT_FOUND
        assert await refused(keeper.get(request("bob", "t2"))) is Reason.NOT_FOUND
        listed = await keeper.list_results(b'{"user": "bob"}')
        assert msgspec.json.decode(listed, type=ResultPage) == ResultPage((), None, 0, 0)


async def test_a_list_goes_from_new_to_old_in_pages(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    for number in range(5):
        await log.append(done("ann", f"t{number}", result=inline(b"1")))
    async with keeping(log, blobs, file) as keeper:
        seen: list[str] = []
        cursor: int | None = None
        while True:
            ask = msgspec.json.encode({"user": "ann", "limit": 2, "cursor": cursor})
            page = msgspec.json.decode(await keeper.list_results(ask), type=ResultPage)
            seen += [kept.task for kept in page.results]
            cursor = page.cursor
            if cursor is None:
                break
    assert seen == ["t4", "t3", "t2", "t1", "t0"]


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b'{"user": "a b"}', b'{"user": "ann", "limit": 0}', b'{"user": "ann", "x": 1}'],
)
async def test_a_list_of_nonsense_is_refused(
    log: MemoryLog, blobs: Blobs, file: Path, payload: bytes
) -> None:
    async with keeping(log, blobs, file) as keeper:
        reason = await refused(keeper.list_results(payload))
    assert reason in (Reason.BAD_REQUEST, Reason.BAD_ID)


async def test_a_rebuilt_table_equals_the_old_one(log: MemoryLog, blobs: Blobs, file: Path) -> None:
    user = name("u")
    pointer = await blobs.put(user, b"moved")
    for number in range(4):
        await log.append(done(user, f"t{number}", result=inline(b"1")))
    await log.append(ResultStored(id=new_id(), by="t", user=user, task="t1", pointer=pointer))
    async with keeping(log, blobs, file):
        pass
    await log.append(ResultDeleted(id=new_id(), by="t", user=user, task="t2", reason="old"))
    async with keeping(log, blobs, file):
        pass
    other = file.with_name("other.sqlite")
    async with keeping(log, blobs, other):
        pass
    assert await rows(file) == await rows(other)


async def rows(file: Path) -> list[tuple[object, ...]]:
    projection = await Projection.open(file, SCHEMA, VERSION)
    try:
        return await projection.query("SELECT * FROM results ORDER BY user, task")
    finally:
        await projection.close()


async def test_a_rebuilt_table_does_not_look_up_history_again(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    old, new = Pointer("hf://old", "00", 1), Pointer("hf://new", "00", 1)
    for number in range(600):
        await log.append(done("ann", f"t{number}", result=old))
    async with keeping(log, blobs, file) as keeper:
        before = keeper.found[Blob.FOREIGN]
        await log.append(done("ann", "fresh", result=new))
        async with asyncio.timeout(30):
            while keeper.found[Blob.FOREIGN] == before:
                await asyncio.wait((asyncio.ensure_future(asyncio.to_thread(int)),))
        assert keeper.found[Blob.FOREIGN] < 600
