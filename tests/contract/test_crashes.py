"""A thousand crashes of a server leave nothing behind: no process, no descriptor, no memory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from contracts.host import Stdio
from services.mcp_child import Child, Tail

CRASHES = 1000
AT_ONCE = 8
ROOM_KIB = 8 * 1024
"""What the allocator may keep; a leak of 64 KiB a crash would be 64 MiB."""
# Half of its words come before the end, and a process that it has started outlives it.
DIES = Stdio("sh", ("-c", "echo dying >&2; echo '{\"half'; sleep 1000 & exit 3"))


def memory_kib() -> int:
    """What this process has in memory of its own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def running(groups: set[int]) -> list[int]:
    """Processes of these groups that are not only waiting to be taken note of."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) in groups and fields[0] != "Z":
                found.append(int(folder.name))
    return found


async def crash(tail: Tail) -> int:
    child = await Child.start(DIES, tail, 10_000)
    async with child.streams():
        await child.exited.wait()
    assert child.ended() in ("", "exited with code 3")
    await child.stop()
    assert child.ended() == "exited with code 3"
    return child.pid


async def crashes(count: int, folder: Path) -> set[int]:
    left = iter(range(count))

    async def some(number: int) -> list[int]:
        return [await crash(Tail(folder / f"{number}.log")) for _ in left]

    return {pid for pids in await asyncio.gather(*map(some, range(AT_ONCE))) for pid in pids}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_thousand_crashes_leave_nothing_behind(tmp_path: Path) -> None:
    groups = await crashes(CRASHES // 10, tmp_path)
    memory, open_ = memory_kib(), descriptors()
    groups |= await crashes(CRASHES - CRASHES // 10, tmp_path)
    assert len(groups) > CRASHES * 0.9, "numbers of processes come again, but not so soon"
    assert running(groups) == []
    assert descriptors() <= open_ + 2
    assert memory_kib() < memory + ROOM_KIB
