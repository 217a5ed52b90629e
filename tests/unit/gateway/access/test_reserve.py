"""What a gateway refuses when the disk is nearly full, and how it sees that nothing is stored."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from contracts.errors import Reason, Rejected
from services.bus.room import Room
from services.gateway.access.reserve import FAILED_S, IDLE_S, Reserve
from services.process import ballast
from services.store.stream import StoreError, StoreRefused


class Disk:
    """A clock, and writes that go as the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.tried = 0
        self.error: Exception | None = None
        self.refusing = ""
        self.reserve = Reserve(
            clock=lambda: self.now, probe=self.write, refusing=lambda: self.refusing
        )

    async def write(self) -> None:
        self.tried += 1
        if self.error is not None:
            raise self.error


async def test_an_idle_gateway_tries_a_write_and_a_busy_one_does_not() -> None:
    disk = Disk()
    for _ in range(3):
        disk.now += IDLE_S / 2
        disk.reserve.appended(None)
        await disk.reserve.try_writing()
    assert disk.tried == 0
    disk.now += IDLE_S
    await disk.reserve.try_writing()
    await disk.reserve.try_writing()
    assert disk.tried == 1, "it was a write too"


@pytest.mark.parametrize("error", [StoreError("no answer"), TimeoutError()])
async def test_a_write_that_fails_says_that_none_is_stored(error: Exception) -> None:
    disk = Disk()
    disk.now, disk.error = disk.now + IDLE_S, error
    await disk.reserve.try_writing()
    assert disk.reserve.failing.startswith("the log takes no facts: ")
    disk.now, disk.error = disk.now + FAILED_S / 2, None
    await disk.reserve.try_writing()
    assert disk.reserve.failing == ""


async def test_a_server_without_the_right_is_not_asked_again() -> None:
    disk = Disk()
    disk.now, disk.error = disk.now + IDLE_S, StoreRefused("no right")
    await disk.reserve.try_writing()
    await disk.reserve.try_writing()
    assert (disk.tried, disk.reserve.failing) == (1, "")


async def test_facts_under_way_that_are_not_stored_count_at_once() -> None:
    disk = Disk()
    disk.refusing = "NATS does not answer"
    assert disk.reserve.failing == "the log takes no facts: NATS does not answer"


async def test_what_the_ballast_has_given_up_is_not_for_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = ballast.BALLAST // 2
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * half))
    store = tmp_path / ballast.STORE
    store.mkdir(parents=True)

    async def ask() -> Room:
        return Room(0, 16 * ballast.BALLAST)

    reserve = Reserve(ask, tmp_path, reserve=3 * half)
    await reserve.look()
    with pytest.raises(Rejected) as caught:
        reserve.check(operator=False)
    assert caught.value.reason is Reason.DISK_FULL
    reserve.check(operator=True)
    ballast.take(tmp_path)
    await reserve.look()
    reserve.check(operator=False)
