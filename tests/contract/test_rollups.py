"""One message with a header empties nothing: tried as each service, on all it may write."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from contracts import roles, subjects
from services.bus.bus import Bus
from services.store import shelf
from services.store.blobs import BlobMissing, Blobs
from services.store.shelf import Shelf
from services.store.stream import StoreError, Stream
from services.up.nats_config import permissions
from tests.contract.test_blobs_earlier import Stopped, dying
from tests.support.facts import name
from tests.support.nats import NatsServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server of this module alone: its log gets things that are no facts."""
    server = NatsServer(tmp_path_factory.mktemp("rollups") / "data")
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


async def streams(operator: Bus) -> dict[str, dict[str, Any]]:
    """Every stream there is, by name."""
    answer = json.loads(await operator.request("$JS.API.STREAM.LIST"))
    return {stream["config"]["name"]: stream for stream in answer["streams"]}


def subject_of(pattern: str) -> str:
    return pattern.replace("*", "x").replace(">", "x")


@pytest.mark.parametrize("how", ["all", "sub"])
@pytest.mark.parametrize("role", roles.SERVICES)
async def test_no_header_of_a_service_empties_anything(
    server: NatsServer, role: str, how: str
) -> None:
    async with server.connected("operator") as operator, server.connected(role) as bus:
        found = await streams(operator)
        mine = {
            subject_of(pattern): stream
            for pattern in permissions(role).publish
            for stream, info in found.items()
            if any(subjects.matches(own, subject_of(pattern)) for own in info["config"]["subjects"])
        }
        assert mine, "every service writes something"
        for subject in mine:
            await bus.request(subject, b"{}")
        before = await streams(operator)
        for subject in mine:
            answer = json.loads(await bus.request(subject, b"", headers={"Nats-Rollup": how}))
            assert "rollup not permitted" in answer["error"]["description"], subject
        after = await streams(operator)
    for stream in found:
        assert after[stream]["state"]["messages"] == before[stream]["state"]["messages"]
        assert after[stream]["state"]["last_seq"] == before[stream]["state"]["last_seq"]


async def test_no_bucket_or_stream_takes_rollups(server: NatsServer) -> None:
    async with server.connected("operator") as operator:
        found = await streams(operator)
    assert [one for one, info in found.items() if info["config"].get("allow_rollup_hdrs")] == []
    assert subjects.BLOBS_STREAM in found


async def test_a_blob_outlives_the_attack(server: NatsServer) -> None:
    async with server.connected("executor") as bus:
        pointer = await Blobs(bus).put("ann", data := os.urandom(400_000))
        for how in ("all", "sub"):
            for subject in ("blob.chunk.x.0", "blob.meta.x.y"):
                await bus.request(subject, b"", headers={"Nats-Rollup": how})
        assert await Blobs(bus).read(pointer) == data


@pytest.mark.parametrize("uri", ["nats://METAMCP_BLOBS/*/{}", "nats://METAMCP_BLOBS/ann/*"])
async def test_no_address_stands_for_any_blob(server: NatsServer, uri: str) -> None:
    async with server.connected("executor") as bus:
        pointer = await Blobs(bus).put("ann", b"hers")
        for sha256 in (pointer.sha256, "*" * 64, f"{'0' * 62}.>"):
            with pytest.raises(BlobMissing):
                await Blobs(bus).read(uri.format(sha256))


async def test_a_description_that_is_none_hurts_nobody(server: NatsServer) -> None:
    user = name("u")
    async with server.connected("results") as bus:
        pointer = await Blobs(bus).put(user, b"whole")
        await bus.request(f"blob.meta.{user}.{pointer.sha256}", b"{}")
        blobs = Blobs(bus)
        with pytest.raises(BlobMissing):
            await blobs.read(pointer)
        assert not [blob for blob in await blobs.page(0, 10_000) if user in blob.uri]
        assert await blobs.put(user, b"whole") == pointer
        assert await blobs.read(pointer) == b"whole"


def days_later() -> float:
    return time.time() + 2 * 86_400


async def lying(bus: Bus, nuid: str) -> list[str]:
    """Chunks with something in them."""
    stream, found = Stream(bus, subjects.BLOBS_STREAM), []
    for subject in await stream.subjects(f"blob.chunk.{nuid}.*"):
        stored = await stream.last(subject)
        if stored and stored.data:
            found.append(subject)
    return found


async def nuid_of(bus: Bus, user: str, sha256: str) -> str:
    found = await Shelf(bus).find(f"{user}/{sha256}")
    assert found.there is not None
    return found.there.nuid


async def test_what_is_stored_together_is_stored_whole_or_not_at_all(server: NatsServer) -> None:
    nuid = name("n")
    async with server.connected("results") as bus:
        stream = Stream(bus, subjects.BLOBS_STREAM)
        chunks = [f"blob.chunk.{nuid}.{number}" for number in range(3)]
        with pytest.raises(StoreError, match=r"TTL"):
            await stream.publish_all(chunks, {"Nats-TTL": "no time"})
        assert await stream.subjects(f"blob.chunk.{nuid}.*") == []
        await stream.publish_all(chunks, {"Nats-TTL": "60s"})
        assert sorted(await stream.subjects(f"blob.chunk.{nuid}.*")) == chunks
    async with server.connected("gateway") as bus:
        limits = Stream(bus, f"KV_{subjects.LIMITS_BUCKET}")
        with pytest.raises(StoreError, match="atomic publish is disabled"):
            await limits.publish_all([f"$KV.{subjects.LIMITS_BUCKET}.{nuid}"], {})


@pytest.mark.parametrize("steps", range(4))
async def test_what_is_left_of_a_deletion_is_found(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    user = name("u")
    monkeypatch.setattr(shelf, "MOST_TOGETHER", 2)
    async with server.connected("results") as bus:
        kept = await Blobs(bus).put(user, b"kept" * 100_000)
        pointer = await Blobs(bus).put(user, os.urandom(1_200_000))
        nuid = await nuid_of(bus, user, pointer.sha256)
        with dying(monkeypatch, steps):
            try:
                await Blobs(bus).delete(pointer.uri)
                died = False
            except Stopped:
                died = True
        assert died == (steps < 3), "a description, two chunks and the first one"
        blobs = Blobs(bus, now=days_later)
        await blobs.drop_lost()
        assert len(await lying(bus, nuid)) == (0 if steps else 3)
        assert await blobs.drop_lost() == 0
        assert await blobs.read(kept) == b"kept" * 100_000
        if not steps:
            assert await blobs.delete(pointer.uri)


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_what_is_left_of_a_writer_is_found_and_no_living_one_is_hurt(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    user = name("u")
    async with server.connected("results") as bus:
        before = await Shelf(bus).nuids()
        with dying(monkeypatch, steps), pytest.raises(Stopped):
            await Blobs(bus).put(user, os.urandom(1_200_000))
        (nuid,) = await Shelf(bus).nuids() - before
        assert await Blobs(bus).drop_lost() == 0, "it may be alive"
        assert len(await lying(bus, nuid)) == steps
        assert await Blobs(bus, now=days_later).drop_lost() == 1
        assert await lying(bus, nuid) == []


async def test_who_stood_still_while_storing_stores_again(server: NatsServer) -> None:
    """Its chunks may have been taken for those of a dead one."""
    user, times = name("u"), [time.time(), time.time() + 86_400]

    def now() -> float:
        return times.pop(0) if times else time.time()

    async with server.connected("results") as bus:
        before = await Shelf(bus).nuids()
        pointer = await Blobs(bus, now=now).put(user, b"late")
        assert not times
        assert await Blobs(bus).read(pointer) == b"late"
        living = [one for one in await Shelf(bus).nuids() - before if await lying(bus, one)]
        assert living == [await nuid_of(bus, user, pointer.sha256)]
