"""Blobs that an earlier release has stored: read, counted, moved and deleted, on a real server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.nuid import NUID

from contracts.budget import Budget, same_for_all
from contracts.result import Pointer
from contracts.subjects import BLOBS_BUCKET
from services.bus.bus import Bus
from services.store.blobs import BlobMissing, Blobs, StoreError, provision
from services.store.earlier import NAME, EarlierShelf, earlier_config
from services.store.shelf import FIRST, ObjectInfo, described
from services.store.stream import Stream, StreamInfo, ensure_stream
from tests.support.facts import name
from tests.support.nats import NatsServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server with a bucket of an earlier release beside today's stream."""
    server = NatsServer(tmp_path_factory.mktemp("earlier") / "data")
    asyncio.run(with_the_bucket(server))
    yield server
    asyncio.run(server.stop())


async def with_the_bucket(server: NatsServer) -> None:
    await server.start()
    async with server.connected("operator") as operator:
        await ensure_stream(operator, earlier_config(empty=False))


@pytest.fixture
async def results(server: NatsServer) -> AsyncIterator[Bus]:
    async with server.connected("results") as bus:
        yield bus


@pytest.fixture
async def executor(server: NatsServer) -> AsyncIterator[Bus]:
    async with server.connected("executor") as bus:
        yield bus


CHUNK = 128 * 1024


async def put_by_earlier(bus: Bus, user: str, data: bytes) -> Pointer:
    """Store a blob as releases before 0.5 did."""
    sha256, stream = hashlib.sha256(data).hexdigest(), Stream(bus, NAME)
    nuid, count = NUID().next().decode(), 0
    for start in range(0, len(data), CHUNK):
        await stream.publish(f"$O.{BLOBS_BUCKET}.C.{nuid}", data[start : start + CHUNK])
        count += 1
    info = described(f"{user}/{sha256}", nuid, len(data), count, "image/png", CHUNK)
    subject = base64.urlsafe_b64encode(info.name.encode()).decode()
    headers = {"Nats-Rollup": "sub"}
    meta = msgspec.json.encode(info)
    await stream.publish(f"$O.{BLOBS_BUCKET}.M.{subject}", meta, headers=headers)
    return Pointer(f"nats://{BLOBS_BUCKET}/{user}/{sha256}", sha256, len(data), "image/png")


async def bucket(bus: Bus) -> StreamInfo:
    return await Stream(bus, NAME).info()


async def test_a_blob_of_an_earlier_release_is_read_listed_and_counted(
    results: Bus, executor: Bus
) -> None:
    user, data = name("u"), os.urandom(300_000)
    pointer = await put_by_earlier(results, user, data)
    blobs = Blobs(executor)
    newer = await blobs.put(user, b"newer")
    assert await blobs.read(pointer) == data
    assert await blobs.read(pointer.uri) == data
    assert await blobs.info(pointer.uri) == pointer
    assert await blobs.usage.of(user) == (300_005, 2)
    listed, after = list[str](), 0
    while page := await blobs.page(after, 3):
        after = page[-1].seq
        listed += [blob.uri for blob in page if f"/{user}/" in blob.uri]
    assert listed == [pointer.uri, newer.uri]
    first = await blobs.usage.page(user, 0, 1)
    assert [blob.sha256 for blob in first] == [pointer.sha256]
    rest = await blobs.usage.page(user, first[-1].seq, 9)
    assert [blob.sha256 for blob in rest] == [newer.sha256]


async def test_it_goes_as_it_went(results: Bus) -> None:
    user, blobs = name("u"), Blobs(results)
    before = (await bucket(results)).state.bytes
    pointer = await put_by_earlier(results, user, os.urandom(300_000))
    found = await blobs.find(pointer.uri)
    assert found is not None
    assert not await blobs.delete(pointer.uri, seq=found.seq + 1)
    assert await blobs.delete(pointer.uri, seq=found.seq)
    assert not await blobs.delete(pointer.uri)
    with pytest.raises(BlobMissing):
        await blobs.read(pointer)
    assert (await bucket(results)).state.bytes - before < 5000
    assert await blobs.usage.of(user) == (0, 0)


async def test_the_same_bytes_again_are_stored_anew_and_are_no_more(
    results: Bus, executor: Bus
) -> None:
    user, data = name("u"), os.urandom(200_000)
    pointer = await put_by_earlier(results, user, data)
    blobs = Blobs(executor, budget_of=same_for_all(Budget(stored_bytes=250_000, stored_blobs=1)))
    assert (await blobs.put(user, data, "image/png")) == pointer
    found = await blobs.find(pointer.uri)
    assert found is not None
    assert found.seq >= FIRST
    for counting in (blobs, Blobs(results)):
        assert await counting.usage.of(user) == (200_000, 1)
    assert await Blobs(results).delete(pointer.uri)
    for reading in (blobs, Blobs(results)):
        with pytest.raises(BlobMissing):
            await reading.read(pointer)
        assert await reading.usage.of(user) == (0, 0)


@pytest.mark.parametrize("role", ["gateway", "executor"])
async def test_only_one_service_may_write_there(
    server: NatsServer, results: Bus, role: str
) -> None:
    pointer = await put_by_earlier(results, name("u"), b"x" * 1000)
    async with server.connected(role) as bus:
        with pytest.raises(StoreError, match="refuses"):
            await Blobs(bus).delete(pointer.uri)
        with pytest.raises(StoreError, match="refuses"):
            await Stream(bus, NAME).publish(
                f"$O.{BLOBS_BUCKET}.C.x", b"", headers={"Nats-Rollup": "all"}
            )
    assert await Blobs(results).read(pointer) == b"x" * 1000


async def test_all_of_them_move(results: Bus, executor: Bus) -> None:
    user = name("u")
    data = [os.urandom(size) for size in (1, 200_000, CHUNK, 0)]
    pointers = [await put_by_earlier(results, user, one) for one in data]
    blobs = Blobs(results)
    while await blobs.move(100_000):
        pass
    for pointer, one in zip(pointers, data, strict=True):
        found = await blobs.find(pointer.uri)
        assert found is not None
        assert found.seq >= FIRST
        assert await Blobs(executor).read(pointer) == one
        assert await blobs.info(pointer.uri) == pointer
    assert await blobs.usage.of(user) == (sum(map(len, data)), 4)
    assert [blob for blob in await blobs.page(0, 10_000) if blob.uri and blob.seq < FIRST] == []


class Stopped(Exception):
    """The process has died here."""


@contextlib.contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, steps: int) -> Iterator[None]:
    """Let so many messages or batches of them be stored, and no more."""
    left = steps

    def counted(store: Callable[..., Any]) -> Callable[..., Any]:
        async def stored(self: Stream, *args: Any, **more: Any) -> Any:
            nonlocal left
            if not left:
                raise Stopped
            left -= 1
            return await store(self, *args, **more)

        return stored

    with monkeypatch.context() as patch:
        for name_ in ("publish", "publish_all"):
            patch.setattr(Stream, name_, counted(getattr(Stream, name_)))
        yield


@pytest.mark.parametrize("steps", range(6))
async def test_who_dies_while_moving_loses_nothing(
    results: Bus, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    user, data = name("u"), os.urandom(8 * CHUNK)
    while await Blobs(results).move(10**9):
        pass
    pointer = await put_by_earlier(results, user, data)
    with dying(monkeypatch, steps):
        try:
            await Blobs(results).move(10**9)
            died = False
        except Stopped:
            died = True
    # Two chunks, the description, the mark over the older one, and its chunks.
    assert died == (steps < 5)
    assert await Blobs(results).read(pointer) == data
    while await Blobs(results).move(10**9):
        pass
    assert await Blobs(results).read(pointer) == data
    assert await Blobs(results).usage.of(user) == (len(data), 1)
    assert await Blobs(results).delete(pointer.uri)
    with pytest.raises(BlobMissing):
        await Blobs(results).read(pointer)


async def test_what_its_owner_deletes_meanwhile_does_not_come_back(
    results: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = name("u")
    while await Blobs(results).move(10**9):
        pass
    pointer = await put_by_earlier(results, user, os.urandom(1000))
    drop = EarlierShelf.drop

    async def crossed(self: EarlierShelf, meta: ObjectInfo, seq: int) -> bool:
        again = described(meta.name, meta.nuid, meta.size, meta.chunks, "x/y", CHUNK)
        gone = msgspec.structs.replace(again, nuid="another", deleted=True)
        subject = base64.urlsafe_b64encode(meta.name.encode()).decode()
        headers = {"Nats-Rollup": "sub"}
        await self.stream.publish(
            f"$O.{BLOBS_BUCKET}.M.{subject}", msgspec.json.encode(gone), headers=headers
        )
        return await drop(self, meta, seq)

    with monkeypatch.context() as patch:
        patch.setattr(EarlierShelf, "drop", crossed)
        assert await Blobs(results).move(10**9) == 0
    with pytest.raises(BlobMissing):
        await Blobs(results).read(pointer)
    assert await Blobs(results).usage.of(user) == (0, 0)


EARLIER = st.sets(st.integers(0, 2))
STEPS = st.lists(st.tuples(st.sampled_from("pdm"), st.integers(0, 2)), max_size=8)


@given(EARLIER, STEPS)
@settings(max_examples=15, deadline=None)
def test_both_together_are_as_one(
    server: NatsServer, earlier: set[int], steps: Sequence[tuple[str, int]]
) -> None:
    asyncio.run(as_one(server, [*(("e", n) for n in sorted(earlier)), *steps]))


async def as_one(server: NatsServer, steps: Sequence[tuple[str, int]]) -> None:
    """An earlier release has stored; today's stores, deletes and moves: what is there is what was
    put and not deleted since."""
    user = name("u")
    async with server.connected("results") as bus:
        long = Blobs(bus, now=lambda: 2e9)
        held: dict[str, bytes] = {}
        for step, n in steps:
            data = b"%d" % n * (n + 1)
            uri = f"nats://{BLOBS_BUCKET}/{user}/{hashlib.sha256(data).hexdigest()}"
            if step == "d":
                assert await long.delete(uri) == (held.pop(uri, None) is not None)
            elif step == "m":
                await long.move(10**9)
            else:
                put = put_by_earlier(bus, user, data) if step == "e" else long.put(user, data)
                held[(await put).uri] = data
        for blobs in (long, Blobs(bus)):
            sizes = [len(data) for data in held.values()]
            assert await blobs.usage.of(user) == (sum(sizes), len(sizes))
            assert {uri: await blobs.read(uri) for uri in held} == held


async def rollups(operator: Bus) -> bool | None:
    answer = json.loads(await operator.request(f"$JS.API.STREAM.INFO.{NAME}"))
    return None if "error" in answer else bool(answer["config"].get("allow_rollup_hdrs"))


async def test_a_new_installation_has_no_such_bucket(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("operator") as operator:
        await provision(operator)
        assert await rollups(operator) is None


async def test_rollups_end_once_the_bucket_is_empty(tmp_path: Path) -> None:
    async with NatsServer(tmp_path / "data") as server, server.connected("operator") as operator:
        await ensure_stream(operator, earlier_config(empty=False))
        async with server.connected("results") as results:
            pointer = await put_by_earlier(results, "ann", b"x")
            await provision(operator)
            assert await rollups(operator) is True
            assert await Blobs(results).delete(pointer.uri)
            # What is left are marks that end within the hour; here somebody empties it.
            await Stream(results, NAME).publish(
                f"$O.{BLOBS_BUCKET}.C.x", b"", headers={"Nats-Rollup": "all", "Nats-TTL": "1s"}
            )
            async with asyncio.timeout(20):
                while (await bucket(results)).state.messages:
                    pass
            await provision(operator)
            assert await rollups(operator) is False
            with pytest.raises(StoreError):
                await Stream(results, NAME).publish(
                    f"$O.{BLOBS_BUCKET}.C.x", b"", headers={"Nats-Rollup": "all"}
                )
