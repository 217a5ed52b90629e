"""Answers that are errors are results as others are: read, verified, deleted, kept from sweeps."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from contracts.errors import Reason
from contracts.facts import Outcome
from contracts.result import Kept, ResultVerified, inline
from services.log.memory import MemoryLog
from services.results.domain import Blob
from services.results.projection import waiting_users
from services.results.settings import Settings
from services.store.blobs import BlobMissing, Blobs
from tests.support.facts import done, failed, name
from tests.unit.results.test_actor import (
    blobs,
    bus,
    checked,
    file,
    got,
    keeping,
    log,
    refused,
    request,
)
from tests.unit.results.test_keeping import part

__all__ = ["blobs", "bus", "file", "log"]


async def test_a_small_one_is_read_and_verified(log: MemoryLog, blobs: Blobs, file: Path) -> None:
    await log.append(failed("ann", "t1", result=inline(b'{"is_error":true}')))
    await log.append(done("ann", "t1", Outcome.FAILED, attempt=1))
    async with keeping(log, blobs, file) as keeper:
        found = await got(keeper, "ann", "t1")
        assert (bytes(found.value), found.result.attempt) == (b'{"is_error":true}', 1)
        answer = await keeper.verify(request("ann", "t1"))
        assert msgspec.json.decode(answer, type=ResultVerified).bytes_read == 17
        assert await refused(keeper.get(request("bob", "t1"))) is Reason.NOT_FOUND


async def test_a_big_one_is_looked_up_read_and_not_swept_before_it_is_deleted(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user, data = name("u"), b"e" * 200_000
    pointer = await blobs.put(user, data)
    async with keeping(log, blobs, file, Settings(blob_days=0)) as keeper:
        await log.append(failed(user, "t", result=pointer))
        await checked(keeper, Blob.THERE)
        keeper._sweeper._now = lambda: time.time() + 3600
        await keeper._sweeper.sweep()
        assert await part(keeper, user, "t", 199_998) == b"ee"
        assert await waiting_users(keeper._projection, 9) == [], "only successes move"
        kept = msgspec.json.decode(await keeper.delete(request(user, "t")), type=Kept)
        assert kept.deleted
        try:
            await blobs.read(pointer)
        except BlobMissing:
            return
        raise AssertionError("the bytes are there still")


async def test_a_later_attempt_that_left_nothing_leaves_nothing(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    answer = inline(b'{"is_error":true}')
    await log.append(failed("ann", "again", 1, result=answer))
    await log.append(failed("ann", "again", 2))
    await log.append(failed("ann", "late", 1, result=answer))
    await log.append(done("ann", "late", Outcome.CANCELLED, attempt=2))
    await log.append(failed("ann", "good", 1, result=answer))
    await log.append(done("ann", "good", attempt=2, result=inline(b'{"a":1}')))
    async with keeping(log, blobs, file) as keeper:
        for task in ("again", "late"):
            assert await refused(keeper.get(request("ann", task))) is Reason.NOT_FOUND
        assert bytes((await got(keeper, "ann", "good")).value) == b'{"a":1}'
