"""What a benchmark reads off the machine: CPU time of processes, fsync calls, percentiles."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import shutil
import signal
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SIGNATURES = 40
"""Signed for one reading of the unit."""
PATIENCE_S = 60.0
"""What takes longer has failed."""
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def cpu_us(pid: int) -> float:
    """CPU time a process has used so far, user and system, in µs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_US


def signature_us() -> float:
    """CPU time of one RS256 signature on this machine now, in µs: the unit of what a task costs.

    Machines differ by a factor of two, and so does one machine from hour to hour.
    """
    padded, digest = padding.PKCS1v15(), hashes.SHA256()
    readings = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(SIGNATURES):
            _KEY.sign(b"one permit", padded, digest)
        readings.append((time.process_time() - began) / SIGNATURES * 1e6)
    return statistics.median(readings)


def busy_us() -> float:
    """CPU time that everything on this machine has used so far, in µs."""
    user, nice, system, _, _, *interrupts = Path("/proc/stat").read_text().split()[1:8]
    return sum(map(int, (user, nice, system, *interrupts))) * _TICK_US


def allow_many_files() -> None:
    """Let this process open as many sockets as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def rss_kib(pid: int) -> int:
    """Memory of a process that is in RAM, in KiB, counted page by page."""
    return _kib(pid, "smaps_rollup", "Rss")


def peak_kib(pid: int) -> int:
    """The most that a process has had in RAM since `forget_peak`, in KiB."""
    return _kib(pid, "status", "VmHWM")


def forget_peak(pid: int) -> None:
    """Begin anew with the peak: it is what the process has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _kib(pid: int, file: str, name: str) -> int:
    text = Path(f"/proc/{pid}/{file}").read_text()
    return int(re.findall(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[0])


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
