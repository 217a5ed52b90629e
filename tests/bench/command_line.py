"""What the command line costs before it does anything: CPU of a command against an empty Python."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.measure import median

COMMANDS = {"version": ("version",), "--help": ("--help",), "tasks": ("tasks",)}
RUNS = 7


def measure(url: str, token: str, folder: Path) -> dict[str, Any]:
    """CPU of each command in ms, user and system, and how many empty Pythons that is."""
    # What is compiled stays compiled, as where it is installed.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"METAMCP_URL": url, "METAMCP_TOKEN": token}
    program = str(Path(sys.executable).with_name("metamcp"))

    def used(*command: str) -> float:
        return median([_cpu_ms(command, folder, environ) for _ in range(RUNS + 1)][1:])

    empty = used(sys.executable, "-c", "pass")
    found = {name: used(program, *words) for name, words in COMMANDS.items()}
    ratios = {name: round(ms / empty, 1) for name, ms in found.items()}
    return {"empty_ms": empty, "ms": found, "empty_pythons": ratios}


def _cpu_ms(command: tuple[str, ...], folder: Path, environ: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000
