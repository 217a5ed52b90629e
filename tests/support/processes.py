"""What the machine says of processes: which run, since when, with how much memory, and disk."""

from __future__ import annotations

import contextlib
import os
import re
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Alive(NamedTuple):
    """One process of the orchestrator: another pid or start is a restart."""

    pid: int
    started: int


@contextlib.contextmanager
def few_files(most: int | None) -> Iterator[None]:
    """What is started in the block may open so many files, unless it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def restarted(before: Mapping[str, Alive], after: Mapping[str, Alive]) -> list[str]:
    """Names of what does not run any more, or runs anew."""
    return sorted(name for name in before if before[name] != after.get(name))


def started(pid: int) -> int:
    """When a process was started, in ticks since the boot; 0: it is gone."""
    try:
        return int(_stat(pid)[19])
    except (OSError, IndexError):
        return 0


def rss_mib(pid: int) -> float:
    """Memory of a process that is in RAM, in MiB; 0: it is gone."""
    with contextlib.suppress(OSError, IndexError):
        text = Path(f"/proc/{pid}/status").read_text()
        return int(re.findall(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)[0]) / 1024
    return 0.0


def stored_mib(folder: Path) -> float:
    """What lies in a folder on disk, in MiB."""
    blocks = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            blocks += path.stat().st_blocks
    return blocks * 512 / 2**20


def below(pid: int) -> list[int]:
    """All processes that a process has started, and those that they have."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                parents.setdefault(int(_stat(int(entry))[1]), []).append(int(entry))
    found, asked = [], [pid]
    while asked:
        children = parents.get(asked.pop(), [])
        found += children
        asked += children
    return found


def memory(pids: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """MiB in RAM of each service, and of what it has started: how many, and how much in all."""
    found = {}
    for name, pid in pids.items():
        workers = [] if name == "nats" else below(pid)
        found[name] = {
            "mib": rss_mib(pid),
            "workers": len(workers),
            "workers_mib": sum(map(rss_mib, workers)),
        }
    return found


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
