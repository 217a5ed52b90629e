"""An executor's keys over real files and a log: known first, signing later, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.facts import LogKey, Record
from services.audit.checks import key_subjects
from services.executor.permits.keyring import Keyring
from services.executor.settings import Settings
from services.keys.files import KeyFolder
from services.keys.permits import Signer, create, kid_of, verify
from services.log.memory import MemoryLog
from services.log.port import LogUnavailable
from services.process.ids import new_id
from services.process.run import Fatal
from tests.support import facts as some
from tests.unit.executor.world import moment
from tests.unit.keys.test_permits import CLAIMS

QUICK: dict[str, Any] = {"permit_algorithm": "EdDSA", "permit_overlap_s": 0.0}
SLOW: dict[str, Any] = {"permit_algorithm": "EdDSA", "permit_overlap_s": 3600.0}


class AwayLog(MemoryLog):
    """A log that can be away."""

    away = False

    async def read_last(self, subjects: Sequence[str], *, reach: int = 0) -> list[Record]:
        if self.away:
            raise LogUnavailable("it is away")
        return await super().read_last(subjects)


def keyring(data: Path, log: MemoryLog, by: str = "executor-1", **settings: Any) -> Keyring:
    return Keyring(data, log, Settings(**QUICK | settings), by)


@contextlib.asynccontextmanager
async def running(one: Keyring) -> AsyncIterator[Signer]:
    signer = await one.open()
    task = asyncio.create_task(one.run(0.01))
    try:
        yield signer
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await moment(0.005)


def known(log: MemoryLog) -> list[LogKey]:
    return [r.fact for r in log._records if isinstance(r.fact, LogKey)]


def pass_time(log: MemoryLog, seconds: float) -> None:
    """Make the log older: everything in it happened that much earlier."""
    log._records = [replace(r, at=r.at - seconds) for r in log._records]
    log._by_subject = {r.subject: r for r in log._records}


def something(log: MemoryLog) -> Any:
    """Any fact, which tells the time."""
    return log.append(some.created())


def rotate(data: Path, algorithm: Any = "EdDSA") -> str:
    folder = KeyFolder(data)
    signing = folder.look().signing
    assert signing is not None
    folder.make_next(algorithm, signing.kid)
    made = folder.look().next
    assert made is not None
    return made.kid


def verifies(log: MemoryLog, signer: Signer) -> bool:
    """Whether the log knows the key by now."""
    token = signer.sign(CLAIMS)
    (fact,) = [fact for fact in known(log) if fact.kid == kid_of(token)]
    return verify(token, fact.jwk) == CLAIMS


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
async def test_the_first_key_is_announced_and_signs_at_once(tmp_path: Path, algorithm: Any) -> None:
    log = MemoryLog()
    signer = await keyring(tmp_path, log, **SLOW | {"permit_algorithm": algorithm}).open()
    assert [(f.kid, f.replaces) for f in known(log)] == [(signer.key.kid, "")]
    assert signer.key.algorithm == algorithm
    assert verifies(log, signer)


async def test_after_a_restart_nothing_is_announced_again(tmp_path: Path) -> None:
    log = MemoryLog()
    first = await keyring(tmp_path, log, **SLOW).open()
    second = await keyring(tmp_path, log, **SLOW).open()
    assert second.key.kid == first.key.kid
    assert len(known(log)) == 1


async def test_a_next_key_is_known_for_the_whole_overlap_before_it_signs(tmp_path: Path) -> None:
    log = MemoryLog()
    one = keyring(tmp_path, log, **SLOW)
    signer = await one.open()
    old = signer.key.kid
    new = rotate(tmp_path)
    await one.turn()
    assert [(f.kid, f.replaces) for f in known(log)] == [(old, ""), (new, old)]
    pass_time(log, 3590.0)
    await something(log)
    await one.turn()
    assert signer.key.kid == old
    pass_time(log, 20.0)
    await something(log)
    await one.turn()
    assert signer.key.kid == new
    assert verifies(log, signer)
    assert KeyFolder(tmp_path).look().next is None


async def test_on_a_quiet_log_time_passes_too(tmp_path: Path) -> None:
    log = MemoryLog()
    async with running(keyring(tmp_path, log, permit_overlap_s=0.3)) as signer:
        before = asyncio.get_running_loop().time()
        new = rotate(tmp_path)
        await until(lambda: signer.key.kid == new)
        assert asyncio.get_running_loop().time() - before >= 0.3


async def test_an_executor_of_another_kind_of_key_changes_it_once(tmp_path: Path) -> None:
    log = MemoryLog()
    old = (await keyring(tmp_path, log, permit_algorithm="RS256").open()).key
    one = keyring(tmp_path, log)
    signer = await one.open()
    assert (signer.key.algorithm, old.algorithm) == ("EdDSA", "RS256")
    assert known(log)[-1].replaces == old.kid
    by_hand = rotate(tmp_path, "RS256")
    await one.turn()
    await one.turn()
    assert signer.key.kid == by_hand
    assert len(known(log)) == 3


async def test_a_key_is_replaced_when_it_is_old_enough(tmp_path: Path) -> None:
    log = MemoryLog()
    one = keyring(tmp_path, log, permit_key_days=30)
    signer = await one.open()
    old = signer.key.kid
    pass_time(log, 30 * 86_400 - 60)
    await something(log)
    await one.turn()
    assert signer.key.kid == old
    pass_time(log, 120)
    await something(log)
    await one.turn()
    assert signer.key.kid != old
    assert known(log)[-1].replaces == old


async def test_executors_that_share_a_folder_end_with_the_same_key(tmp_path: Path) -> None:
    log = MemoryLog()
    rings = [keyring(tmp_path, log, f"executor-{k}", permit_key_days=1) for k in range(4)]
    signers = await asyncio.gather(*(ring.open() for ring in rings))
    for rotation in range(1, 4):
        (old,) = {signer.key.kid for signer in signers}
        if rotation == 2:
            pass_time(log, 2 * 86_400)
            await something(log)
        else:
            rotate(tmp_path)

        def turned(old: str = old) -> bool:
            return all(signer.key.kid != old for signer in signers)

        async with asyncio.timeout(30):
            while not turned():
                await asyncio.gather(*(ring.turn() for ring in rings))
        assert len({signer.key.kid for signer in signers}) == 1
        assert len(known(log)) == rotation + 1, "a key too many"


async def test_executors_with_folders_of_their_own_keep_their_own_keys(tmp_path: Path) -> None:
    log = MemoryLog()
    first = await keyring(tmp_path / "a", log, "executor-1").open()
    second = await keyring(tmp_path / "b", log, "executor-2").open()
    assert first.key.kid != second.key.kid
    assert {f.kid for f in known(log)} == {first.key.kid, second.key.kid}


async def test_a_death_at_any_point_is_made_good_at_the_next_start(tmp_path: Path) -> None:
    log = MemoryLog()
    old = (await keyring(tmp_path, log, **SLOW).open()).key.kid
    new = rotate(tmp_path)
    # Made, not announced.
    again = keyring(tmp_path, log, **SLOW)
    assert (await again.open()).key.kid == old
    assert known(log)[-1].kid == new
    # Announced, not in place; the overlap ends while nobody is there.
    pass_time(log, 4000.0)
    await something(log)
    signer = await keyring(tmp_path, log, **SLOW).open()
    assert signer.key.kid == new, "nothing is signed with the old key once it is replaced"
    # In place, not used.
    assert (await keyring(tmp_path, log, **SLOW).open()).key.kid == new
    assert len(known(log)) == 2


async def test_a_key_put_there_by_hand_is_announced_before_it_signs(tmp_path: Path) -> None:
    log = MemoryLog()
    other = KeyFolder(tmp_path / "backup")
    create(other.signing, "EdDSA")
    async with running(keyring(tmp_path / "data", log, **SLOW)) as signer:
        old = signer.key.kid
        other.signing.replace(KeyFolder(tmp_path / "data").signing)
        await until(lambda: signer.key.kid != old)
        assert verifies(log, signer)
        assert known(log)[-1].replaces == old


async def test_a_key_that_was_removed_is_replaced_at_once(tmp_path: Path) -> None:
    log = MemoryLog()
    async with running(keyring(tmp_path, log, **SLOW)) as signer:
        old = signer.key.kid
        KeyFolder(tmp_path).signing.unlink()
        await until(lambda: signer.key.kid != old)
        assert verifies(log, signer)
        assert known(log)[-1].replaces == old


@pytest.mark.parametrize("which", ["signing", "next"])
async def test_a_broken_file_stops_no_running_executor(tmp_path: Path, which: str) -> None:
    log = MemoryLog()
    one = keyring(tmp_path, log)
    async with running(one) as signer:
        old, folder = signer.key.kid, KeyFolder(tmp_path)
        path = folder.signing if which == "signing" else folder.next
        draft = path.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text("nonsense")
        draft.replace(path)
        await until(lambda: str(path) in one._complaint)
        assert signer.key.kid == old
        assert len(known(log)) == 1
        path.unlink()
        if which == "next":
            new = rotate(tmp_path)
            await until(lambda: signer.key.kid == new)
        else:
            await until(lambda: signer.key.kid != old)


async def test_while_the_log_is_away_the_old_key_signs(tmp_path: Path) -> None:
    log = AwayLog()
    one = keyring(tmp_path, log)
    async with running(one) as signer:
        old = signer.key.kid
        log.away = True
        new = rotate(tmp_path)
        await until(lambda: one._complaint == "it is away")
        assert signer.key.kid == old
        log.away = False
        await until(lambda: signer.key.kid == new)


async def test_a_log_begun_anew_learns_the_key_in_use(tmp_path: Path) -> None:
    log = MemoryLog()
    async with running(keyring(tmp_path, log, **SLOW)) as signer:
        log._records.clear()
        log._by_subject.clear()
        await until(lambda: bool(known(log)))
        assert [(f.kid, f.replaces) for f in known(log)] == [(signer.key.kid, "")]


async def test_what_is_wrong_with_the_folder_is_said_at_the_start(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.create("EdDSA")
    folder.signing.chmod(0o644)
    with pytest.raises(Fatal, match="chmod 600"):
        await keyring(tmp_path, MemoryLog()).open()
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match="Check METAMCP_DATA"):
        await keyring(tmp_path / "file", MemoryLog()).open()


async def test_an_audit_asks_for_the_keys_that_the_permits_name(tmp_path: Path) -> None:
    log = MemoryLog()
    one = keyring(tmp_path, log)
    signer = await one.open()
    permits = [signer.sign(CLAIMS)]
    rotate(tmp_path)
    await one.turn()
    permits += [signer.sign(CLAIMS), signer.sign(CLAIMS), "not.a.permit"]
    for attempt, permit in enumerate(permits, 1):
        await log.append(some.signed("alice", "t1", attempt, permit=permit))
    await log.append(LogKey(id=new_id(), by="executor-9", kid="elsewhere", jwk={}))
    found = await log.read_last(key_subjects(log._records))
    assert [r.fact for r in found] == [f for f in known(log) if f.kid != "elsewhere"]
    assert len(found) == 2
