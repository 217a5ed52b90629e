"""Websockets are open files: the gateway sees that there may be enough of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, resource, sys
from services.gateway.listener import SPARE_FILES, fitting
from services.gateway.settings import Settings

for case in sys.argv[1:]:
    soft, hard, wanted = map(int, case.split())
    if not (pid := os.fork()):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        most = fitting(Settings(max_connections=wanted)).max_connections
        print(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    print("---", flush=True)
"""
CASES = [
    ("600 1000 300", 300, 344),
    ("400 1000 300", 300, 300),
    ("400 500 300", 244, 244),
    ("200 200 300", 1, -56),
]
"""Soft and hard limit and the connections that are wanted; those that are let in, and the room."""


@pytest.fixture(scope="module")
def told() -> list[str]:
    """What a process that may open so many files says, by case."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *(limits for limits, _, _ in CASES)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=True,
    )
    return ended.stdout.split("---\n")


@pytest.mark.parametrize("case", range(len(CASES)), ids=[limits for limits, _, _ in CASES])
def test_the_limit_is_raised_or_fewer_are_let_in(told: list[str], case: int) -> None:
    limits, most, room = CASES[case]
    assert told[case].splitlines()[-1].split() == [str(most), str(room)]
    assert ("few_open_files" in told[case]) is (most < int(limits.split()[-1]))
