"""A thousand crashes of a server leave nothing behind: no process, no descriptor, no memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from contracts.host import Stdio
from services.outside.mcp_child import McpChild, Tail
from tests.support.system import until

CRASHES = 1000
AT_ONCE = 8
ROOM_KIB = 8 * 1024
"""What the allocator may keep; a leak of 64 KiB a crash would be 64 MiB."""
MARK = f"1000.{os.getpid()}"
"""Stands in the command line of every process of this test, and of no other."""
# Half of its words come before the end, and a process that it has started outlives it.
DIES = Stdio("sh", ("-c", f"echo dying >&2; echo '{{\"half'; sleep {MARK} & exit 3"))

LIVES = Stdio("sh", ("-c", f"sleep {MARK} & wait"))


def memory_kib() -> int:
    """What this process has in memory of its own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def running() -> list[int]:
    """Processes of this test that are not only waiting to be taken note of: those show no command.

    Told by their command, because numbers of processes and groups come again.
    """
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if folder.name.isdigit() and MARK.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


async def none_running() -> bool:
    return running() == []


async def crash(tail: Tail) -> None:
    child = await McpChild.start(DIES, tail, 10_000)
    async with child.streams():
        await child.gone.wait()
    assert child.ended() in ("", "exited with code 3")
    await child.stop()
    assert child.ended() == "exited with code 3"


async def crashes(count: int, folder: Path) -> None:
    left = iter(range(count))

    async def some(number: int) -> None:
        for _ in left:
            await crash(Tail(folder / f"{number}.log"))

    await asyncio.gather(*map(some, range(AT_ONCE)))


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_thousand_crashes_leave_nothing_behind(tmp_path: Path) -> None:
    child = await McpChild.start(LIVES, Tail(), 10_000)
    assert running(), "the processes are told by their mark"
    await child.stop()
    await crashes(CRASHES // 10, tmp_path)
    memory, open_ = memory_kib(), descriptors()
    await crashes(CRASHES - CRASHES // 10, tmp_path)
    # Who was killed last may take a moment to die.
    await until(none_running, seconds=5)
    assert descriptors() <= open_ + 2
    assert memory_kib() < memory + ROOM_KIB
