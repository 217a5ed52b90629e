"""Blobs and leases on a real server, as the roles that use them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts.errors import Reason, Rejected
from contracts.result import Pointer
from contracts.subjects import (
    BLOBS_STREAM,
    CREDENTIAL_BUCKETS,
    LEASES_BUCKET,
    LIMITS_BUCKET,
    TICKETS_BUCKET,
    TOKENS_BUCKET,
)
from services.bus.bus import Bus
from services.store import lease as leases
from services.store.blobs import (
    BlobCorrupt,
    BlobMissing,
    Blobs,
    LeaseLost,
    Leases,
    StoreError,
    StoreRefused,
    provision,
)
from services.store.kv import Bucket
from services.store.stream import Stream, ensure_stream
from tests.support.nats import NatsServer


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with nats_server.connected("executor") as bus:
        yield bus


@pytest.fixture
def blobs(bus: Bus) -> Blobs:
    return Blobs(bus)


async def in_parts(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def bytes_stored(nats_server: NatsServer) -> int:
    async with nats_server.connected("operator") as operator:
        answer = json.loads(await operator.request(f"$JS.API.STREAM.INFO.{BLOBS_STREAM}"))
    return int(answer["state"]["bytes"])


async def test_three_megabytes_come_back_as_they_went(blobs: Blobs) -> None:
    data = os.urandom(3 * 1024 * 1024 + 17)
    pointer = await blobs.put("ann", in_parts(data), "image/png")
    digest = hashlib.sha256(data).hexdigest()
    assert pointer == Pointer(f"nats://METAMCP_BLOBS/ann/{digest}", digest, len(data), "image/png")
    parts = [part async for part in blobs.get(pointer)]
    assert b"".join(parts) == data
    assert max(map(len, parts)) <= 512 * 1024
    assert await blobs.info(pointer.uri) == pointer


@pytest.mark.parametrize("data", [b"", b"x", bytes(512 * 1024), bytes(512 * 1024 + 1)])
async def test_odd_sizes_come_back(blobs: Blobs, data: bytes) -> None:
    pointer = await blobs.put("ann", data)
    assert await blobs.read(pointer) == data
    assert await blobs.read(pointer.uri) == data


async def test_the_same_bytes_are_stored_once_per_user(
    nats_server: NatsServer, blobs: Blobs
) -> None:
    data = os.urandom(500_000)
    first = await blobs.put("ann", data)
    before = await bytes_stored(nats_server)
    assert await blobs.put("ann", data) == first
    assert await bytes_stored(nats_server) == before
    assert (await blobs.put("bob", data)).uri != first.uri


async def test_racing_writers_of_the_same_bytes_leave_one_copy(
    nats_server: NatsServer, blobs: Blobs
) -> None:
    data = os.urandom(400_000)
    before = await bytes_stored(nats_server)
    pointers = await asyncio.gather(*(blobs.put("ann", data) for _ in range(5)))
    assert len(set(pointers)) == 1
    assert await blobs.read(pointers[0]) == data
    assert await bytes_stored(nats_server) - before < 2 * len(data)


async def test_other_bytes_than_the_pointer_names_are_noticed(blobs: Blobs) -> None:
    pointer = await blobs.put("ann", b"what it is")
    other = hashlib.sha256(b"what it should be").hexdigest()
    with pytest.raises(BlobCorrupt):
        await blobs.read(msgspec.structs.replace(pointer, sha256=other))


@pytest.mark.parametrize("damage", [b"y" * 200_000, b"x", b""])
async def test_damaged_bytes_are_noticed(bus: Bus, blobs: Blobs, damage: bytes) -> None:
    data = os.urandom(16) + b"x" * 200_000
    pointer = await blobs.put("ann", data)
    query = json.dumps({"last_by_subj": "blob.chunk.*.0"}).encode()
    newest = await bus.request_message(f"$JS.API.DIRECT.GET.{BLOBS_STREAM}", query)
    await bus.request((newest.headers or {})["Nats-Subject"], damage)
    with pytest.raises(BlobCorrupt):
        await blobs.read(pointer)


async def test_a_deleted_blob_is_gone_and_can_come_back(
    nats_server: NatsServer, blobs: Blobs
) -> None:
    data = os.urandom(900_000)
    before = await bytes_stored(nats_server)
    pointer = await blobs.put("ann", data)
    assert await blobs.delete(pointer.uri)
    assert not await blobs.delete(pointer.uri)
    assert await bytes_stored(nats_server) - before < 10_000
    with pytest.raises(BlobMissing):
        await blobs.read(pointer)
    with pytest.raises(BlobMissing):
        await blobs.info(pointer.uri)
    assert await blobs.put("ann", data) == pointer
    assert await blobs.read(pointer) == data


async def test_too_many_bytes_are_refused_before_they_are_stored(
    nats_server: NatsServer, bus: Bus
) -> None:
    before = await bytes_stored(nats_server)
    with pytest.raises(Rejected) as refusal:
        await Blobs(bus, limit=100_000).put("ann", in_parts(os.urandom(100_001)))
    assert refusal.value.reason == Reason.TOO_LARGE
    assert await bytes_stored(nats_server) == before


@pytest.mark.parametrize(
    "uri",
    [
        f"nats://METAMCP_BLOBS/ann/{'0' * 64}",
        "nats://METAMCP_BLOBS/ann/short",
        "nats://OTHER/ann/" + "0" * 64,
        "file:///etc/passwd",
    ],
)
async def test_what_does_not_exist_is_missing(blobs: Blobs, uri: str) -> None:
    with pytest.raises(BlobMissing):
        await blobs.read(uri)


@pytest.mark.parametrize("user", ["a/b", "a.b", "", "*"])
async def test_a_user_that_is_no_token_is_refused(blobs: Blobs, user: str) -> None:
    with pytest.raises(Rejected):
        await blobs.put(user, b"x")


async def test_a_role_without_the_right_is_told(nats_server: NatsServer) -> None:
    async with nats_server.connected("registry") as bus:
        with pytest.raises(StoreError, match="refuses"):
            await Blobs(bus).put("ann", b"x")


async def test_a_blob_survives_a_crash(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("executor") as bus:
        pointer = await Blobs(bus).put("ann", b"precious" * 50_000)
        await fresh_nats.restart(bus)
        assert await Blobs(bus).read(pointer) == b"precious" * 50_000


async def test_one_of_many_gets_the_lease_and_passes_it_on(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("router") as bus:
        leases = Leases(bus)
        names = [f"r{number}" for number in range(8)]
        won = await asyncio.gather(*(leases.acquire("router", name, 30) for name in names))
        (lease,) = [lease for lease in won if lease is not None]
        assert await leases.holder("router") == lease.holder
        renewed = await leases.renew(lease)
        assert renewed.revision > lease.revision
        await leases.release(renewed)
        assert await leases.holder("router") is None
        assert await leases.acquire("router", "next", 30) is not None
        with pytest.raises(LeaseLost):
            await leases.renew(renewed)


async def test_a_renewal_whose_answer_was_lost_is_recognised(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("router") as bus:
        leases = Leases(bus)
        lease = await leases.acquire("router", "a", 30)
        assert lease is not None
        renewed = await leases.renew(lease)
        assert await leases.renew(lease) == renewed
        assert (await leases.acquire("router", "a", 30)) is not None


async def test_a_silent_holder_loses_its_lease_even_across_a_crash(
    fresh_nats: NatsServer,
) -> None:
    async with fresh_nats.connected("router") as bus:
        leases = Leases(bus)
        lost = await leases.acquire("router", "silent", 1)
        assert lost is not None
        assert await leases.acquire("router", "next", 30) is None
        await fresh_nats.restart(bus)
        async with asyncio.timeout(30):
            while (won := await leases.acquire("router", "next", 30)) is None:
                pass
        assert won.holder == "next"
        with pytest.raises(LeaseLost):
            await leases.renew(lost)
        await leases.release(lost)
        assert await leases.holder("router") == "next"


async def test_releasing_a_lost_lease_harms_nobody(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("router") as bus:
        leases = Leases(bus)
        old = await leases.acquire("router", "a", 30)
        assert old is not None
        await leases.release(old)
        new = await leases.acquire("router", "b", 30)
        await leases.release(old)
        assert new is not None
        assert await leases.holder("router") == "b"


async def test_a_bucket_that_is_not_there_is_told_apart_from_a_store_that_is_away(
    tmp_path: Path,
) -> None:
    server = NatsServer(tmp_path / "data")
    await server.start(provision=False)
    try:
        async with server.connected("executor") as bus:
            with pytest.raises(StoreRefused, match="does not exist: run `metamcp provision`"):
                await Blobs(bus).put("alice", b"x")
            with pytest.raises(StoreRefused, match="refuses"):
                await Stream(bus, "KV_nobody").publish("$KV.nobody.x", b"x")
            server.pause()
            with pytest.raises(StoreError) as away:
                await Blobs(bus).put("alice", b"x")
            server.resume()
            assert not isinstance(away.value, StoreRefused)
    finally:
        await server.stop()


# Nobody empties a bucket by a header.

BUCKETS = (TOKENS_BUCKET, LIMITS_BUCKET, TICKETS_BUCKET, *CREDENTIAL_BUCKETS.values())


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("how", ["all", "sub"])
async def test_no_header_empties_a_bucket(nats_server: NatsServer, bucket: str, how: str) -> None:
    async with nats_server.connected("gateway") as gateway:
        kept = Bucket(gateway, bucket)
        await kept.put("kept", b"1")
        with pytest.raises(StoreError):
            await Stream(gateway, f"KV_{bucket}").publish(
                f"$KV.{bucket}.x", b"", headers={"Nats-Rollup": how}
            )
        assert await kept.get("kept") is not None


async def test_no_header_empties_the_leases(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("router") as router:
        lease = await Leases(router).acquire("router", "one", 30)
        assert lease is not None
        with pytest.raises(StoreError):
            await Stream(router, f"KV_{LEASES_BUCKET}").publish(
                f"$KV.{LEASES_BUCKET}.x", b"", headers={"Nats-Rollup": "all"}
            )
        assert await Leases(router).holder("router") == "one"


async def test_a_bucket_of_an_earlier_release_takes_rollups_no_more(fresh_nats: NatsServer) -> None:
    name = f"KV_{LEASES_BUCKET}"
    async with fresh_nats.connected("operator") as operator:
        before = leases.bucket_config() | {"allow_rollup_hdrs": True}
        await ensure_stream(operator, before)
        await provision(operator)
        answer = json.loads(await operator.request(f"$JS.API.STREAM.INFO.{name}"))
    assert answer["config"].get("allow_rollup_hdrs", False) is False
