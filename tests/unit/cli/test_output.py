"""Output that nobody reads or no room is left for: a quiet end with the right exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.cli.common import Exit
from tests.unit.cli.gateway import Gateway
from tests.unit.cli.program import PATIENCE_S, ROOT
from tests.unit.cli.test_cli import VIEW

pytestmark = pytest.mark.timeout(240)
COMMANDS = ["--help", "version --json", "tasks", "tasks --json"]
FULL = Path("/dev/full")


def metamcp(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        check=False,
        timeout=PATIENCE_S,
        **{"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE} | options,
    )


@pytest.fixture(autouse=True)
def listed(known: Gateway) -> None:
    known.ok("GET /api/tasks", [VIEW | {"id": f"t{number}"} for number in range(400)])


@pytest.mark.parametrize("words", COMMANDS)
def test_a_closed_pipe_ends_it_quietly(words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = metamcp(*words.split(), stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (Exit.CLOSED, "")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", COMMANDS)
def test_a_full_device_is_said_in_one_line(words: str) -> None:
    with FULL.open("w") as full:
        done = metamcp(*words.split(), stdout=full)
    assert done.returncode == Exit.FAILED
    assert done.stderr == "error: The output can't be written: No space left on device.\n"


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_an_error_that_can_not_be_said_is_still_an_exit_code() -> None:
    with FULL.open("w") as full:
        assert metamcp("nonsense", stdout=full, stderr=full).returncode == Exit.USAGE


@pytest.mark.parametrize("words", COMMANDS)
def test_no_output_at_all_is_wanted(words: str) -> None:
    command = 'exec "$@" >&-'
    done = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", "services.cli", *words.split()],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (Exit.OK, "")
