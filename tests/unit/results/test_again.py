"""Results that are given again share their bytes with the earlier ones, and never lose them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contracts.facts import ResultDeleted
from contracts.result import Kept
from contracts.route import Earlier
from services.log.memory import MemoryLog
from services.process.ids import new_id
from services.store.blobs import BlobMissing, Blobs
from tests.support.facts import done, name
from tests.unit.results.test_actor import blobs, bus, file, got, keeping, log, refused, request
from tests.unit.results.test_keeping import part

__all__ = ["blobs", "bus", "file", "log"]

EARLIER = Earlier(1, "h", 1, 0.0)
DATA = b"x" * 100_000


async def test_bytes_stay_until_the_last_task_that_they_are_given_to_is_deleted(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user = name("u")
    pointer = await blobs.put(user, DATA)
    await log.append(done(user, "t1", result=pointer, attempt=1, host="h"))
    await log.append(done(user, "t2", result=pointer, from_="t1", earlier=EARLIER))
    async with keeping(log, blobs, file) as keeper:
        await keeper.delete(request(user, "t1"))
        assert await part(keeper, user, "t2", 0, 3) == b"xxx"
        assert (await got(keeper, user, "t2")).result.deleted == ""
        gone = msgspec.json.decode(await keeper.delete(request(user, "t2")), type=Kept)
        assert gone.deleted
        with pytest.raises(BlobMissing):
            await blobs.info(pointer.uri)


async def test_what_was_deleted_while_it_was_being_given_again_is_said_to_be_gone(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user = name("u")
    pointer = await blobs.put(user, DATA)
    await log.append(done(user, "t1", result=pointer, attempt=1, host="h"))
    fact = ResultDeleted(id=new_id(), by="test", user=user, task="t1", reason="not wanted")
    await log.append(fact)
    await log.append(done(user, "t2", result=pointer, from_="t1", earlier=EARLIER))
    await log.append(done(user, "t3", result=pointer, attempt=1, host="h"))
    async with keeping(log, blobs, file) as keeper:
        assert (await got(keeper, user, "t2")).result.deleted == "deleted with the result of t1"
        await refused(part(keeper, user, "t2", 0, 3))
        assert await part(keeper, user, "t3", 0, 3) == b"xxx", "that is of its own"
