"""The failures by name: how each is brought about, and how it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.failures.stage import EXECUTORS, Stage
from tests.failures.trial import Failure
from tests.support.system import until

INSTANCES = (
    *("router-1", "registry-1", "results-1", "gateway-1"),
    *(f"executor-{k + 1}" for k in range(EXECUTORS)),
)
PAGE = 4096
SHIFTS_S = (3600, -3600, 86_400, -86_400)


async def nothing(_: Stage) -> None:
    """It is over when it has happened."""


# Disks


async def fill(one: Stage) -> None:
    """The small disk is full."""
    one.disk.fill()


async def fill_all(one: Stage) -> None:
    """Somebody takes what was kept free for the log as well, as soon as it is given back."""
    one.disk.fill()

    async def given() -> bool:
        return one.disk.free > 0

    await until(given)
    one.disk.fill()


async def empty(one: Stage) -> None:
    """It has room again."""
    one.disk.empty()


async def _remounted(one: Stage, how: str) -> bool:
    command = one.disk.command("mount", "-o", f"remount,{how}", str(one.disk.path))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait() == 0


async def read_only(one: Stage) -> None:
    """As a disk becomes that has errors. All begin anew: nobody may have a file open for that."""
    with one.held():
        for instance in INSTANCES:
            one.kill(instance)
        await until(lambda: _remounted(one, "ro"))


async def writable(one: Stage) -> None:
    """It may be written again."""
    await until(lambda: _remounted(one, "rw"))


VIEWS_FULL = Failure("views_full", fill, empty, 20, ("view",), "Make room")
VIEWS_READ_ONLY = Failure("views_read_only", read_only, writable, 15, ("view",))
NATS_FULL = Failure("nats_disk_full", fill, empty, 15, ("disk",))
NATS_OVERFULL = Failure(
    "nats_disk_overfull", fill_all, empty, 20, ("the log takes no facts",), "room"
)

# Views


def damaged(spoil: Callable[[Path], None]) -> Failure:
    """The views of all services, damaged while the services were dead."""

    async def damage(one: Stage) -> None:
        for kept in (one.data / "views").glob("*.damaged*"):
            # As `metamcp doctor` says: a second time within the hour would be waited for.
            kept.unlink()
        with one.held():
            for instance in INSTANCES:
                one.kill(instance)
            for instance in INSTANCES:
                path = one.view(instance)
                # What stands in the journal would mend it.
                fold(path)
                spoil(path)

    return Failure(f"views_damaged_{spoil.__name__}", damage, nothing, 0)


def fold(path: Path) -> None:
    """Have the journal be part of the file."""
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        base.execute("PRAGMA journal_mode=DELETE")


async def damage_running(one: Stage) -> None:
    """Pages are overwritten while the services run, of what each has written."""
    for instance in INSTANCES:
        path = one.view(instance)
        with path.open("r+b") as file:
            size = path.stat().st_size
            for at in range(PAGE, size, PAGE):
                file.seek(at)
                file.write(os.urandom(PAGE))


DAMAGED_RUNNING = Failure("views_damaged_running", damage_running, nothing, 3)


@contextlib.contextmanager
def locked(one: Stage) -> Iterator[None]:
    """All views are another program's in the block."""
    with contextlib.ExitStack() as stack:
        for instance in INSTANCES:
            base = sqlite3.connect(one.view(instance), isolation_level=None, timeout=30)
            stack.callback(base.close)
            base.execute("BEGIN EXCLUSIVE")
        yield


def views_locked(seconds: float) -> Failure:
    """Another program has all views to itself."""
    stack = contextlib.ExitStack()

    async def lock(one: Stage) -> None:
        stack.enter_context(locked(one))

    async def unlock(_: Stage) -> None:
        stack.close()

    return Failure("views_locked", lock, unlock, seconds, ("view",))


# Time


def clocks_off(turn: int) -> Failure:
    """The wall clocks of all processes are wrong, each by another one of the shifts."""
    shifts = {name: SHIFTS_S[(turn + k) % len(SHIFTS_S)] for k, name in enumerate(INSTANCES)}

    async def wrong(one: Stage) -> None:
        for instance, seconds in shifts.items():
            one.clocks.set(instance, seconds)

    async def right(one: Stage) -> None:
        for instance in shifts:
            one.clocks.set(instance, 0)

    says = tuple(f"{instance}: its clock is {abs(s):,} s" for instance, s in shifts.items())
    return Failure(f"clocks_off_{turn + 1}", wrong, right, 6, says, "clock")
