"""What a benchmark reads off the machine: CPU time of processes, fsync calls, percentiles."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import statistics
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def cpu_us(pid: int) -> float:
    """CPU time a process has used so far, user and system, in µs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_US


def cpu_by_name(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU time of each named process and of this one, in µs."""
    return {name: cpu_us(pid) for name, pid in pids.items()} | {"bench": cpu_us(os.getpid())}


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)


class Fsyncs:
    """Filled when the block of `count_fsyncs` ends."""

    calls: int | None = None


@contextlib.asynccontextmanager
async def count_fsyncs(pid: int, folder: Path) -> AsyncIterator[Fsyncs]:
    """Count the fsync and fdatasync calls of a process with strace; None where it is not installed.

    A traced server is slower: count in a run of its own.
    """
    found = Fsyncs()
    strace = shutil.which("strace")
    if strace is None:
        yield found
        return
    report = folder / "fsyncs.txt"
    arguments = ("-f", "-c", "-e", "trace=fsync,fdatasync", "-o", str(report), "-p", str(pid))
    tracer = await asyncio.create_subprocess_exec(
        strace, *arguments, stderr=asyncio.subprocess.PIPE
    )
    assert tracer.stderr
    await tracer.stderr.readline()
    try:
        yield found
    finally:
        tracer.send_signal(signal.SIGINT)
        await tracer.wait()
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s", report.read_text(), re.MULTILINE)
        found.calls = sum(int(row) for row in rows[:-1] or rows)
