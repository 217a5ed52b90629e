"""A loop that stands still ends its process, and one that was only stopped with it does not."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.process import watchdog
from services.process.settings import Common

ROOT = Path(__file__).parents[3]
PROGRAM = """
    import asyncio, re, sys, threading
    import msgspec
    from services.process.run import start

    class Settings(msgspec.Struct):
        mode: str = "plain"

    def stand_still(mode):
        if mode == "pattern":
            re.match("(a+)+$", "a" * 60 + "!")
        elif mode == "spin":
            while True:
                pass
        elif mode == "lock":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        elif mode == "late":
            threading.Event().wait(2.5)
        elif mode == "busy threads":
            threading.Thread(target=stand_still, args=("spin",), daemon=True).start()

    async def main(process, common, settings):
        print("ready", flush=True)
        stand_still(settings.mode)
        while not process.stopping.is_set():
            print("beat", flush=True)
            await asyncio.wait((asyncio.ensure_future(process.stopping.wait()),), timeout=0.1)

    sys.exit(start(main, "router", Settings))
"""


@contextlib.contextmanager
def running(folder: Path, mode: str, limit_s: float, *, logs: bool = True) -> Iterator[Any]:
    """The program, ready."""
    script = folder / "program.py"
    script.write_text(textwrap.dedent(PROGRAM))
    environ = {
        "PYTHONPATH": str(ROOT),
        "METAMCP_ROUTER_MODE": mode,
        "METAMCP_WATCHDOG_S": str(limit_s),
        "METAMCP_LOG_FORMAT": "json",
    }
    if logs:
        environ["METAMCP_LOG_DIR"] = str(folder)
    with subprocess.Popen(
        [sys.executable, script],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            yield child
        finally:
            child.kill()


def beats(child: subprocess.Popen[bytes], count: int) -> None:
    """Read on until the loop has come round so often."""
    assert child.stdout is not None
    for _ in range(count):
        assert child.stdout.readline() == b"beat\n"


def lines(folder: Path, action: str) -> list[dict[str, Any]]:
    """What stands in the log under this action."""
    every = map(json.loads, (folder / "router-1.log").read_text().splitlines())
    return [line for line in every if line["action"] == action]


@pytest.mark.parametrize("mode", ["pattern", "spin", "lock"])
def test_a_loop_that_stands_still_is_ended_and_the_next_start_says_where(
    tmp_path: Path, mode: str
) -> None:
    began = time.monotonic()
    with running(tmp_path, mode, 1.0) as child:
        assert child.wait(60) == -signal.SIGPROF
    assert time.monotonic() - began > 0.9
    assert "in stand_still" in (tmp_path / "router-1.stack").read_text()
    assert lines(tmp_path, "loop_stood_still") == []
    with running(tmp_path, "plain", 20.0) as child:
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    (line,) = lines(tmp_path, "loop_stood_still")
    assert "in stand_still" in line["last_run"]
    assert not (tmp_path / "router-1.stack").exists()


def test_without_a_folder_for_logs_the_stacks_are_on_stderr(tmp_path: Path) -> None:
    with running(tmp_path, "lock", 1.0, logs=False) as child:
        _, said = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGPROF
    assert b"in stand_still" in said


def test_a_process_that_was_stopped_for_longer_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, "plain", 2.0) as child:
        beats(child, 3)
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        unread = os.read(child.stdout.fileno(), 1 << 16) if _readable(child, 0) else b""
        assert unread.replace(b"beat\n", b"") == b""
        assert not _readable(child, 3.0), "a stopped process says nothing"
        child.send_signal(signal.SIGCONT)
        for _ in range(30):
            assert os.read(child.stdout.fileno(), 1 << 16)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    assert lines(tmp_path, "loop_stood_still") == []


def test_threads_that_are_busy_are_not_the_loop(tmp_path: Path) -> None:
    with running(tmp_path, "busy threads", 1.0) as child:
        beats(child, 30)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


def test_a_late_loop_is_told_once_with_its_stack_and_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, "late", 20.0) as child:
        beats(child, 3)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    (line,) = lines(tmp_path, "loop_late")
    assert "stand_still" in line["stack"]
    assert 1 < line["seconds"] < 20


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    with running(tmp_path, "lock", 0) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(2)
        assert not (tmp_path / "router-1.stack").exists()


def test_the_default_is_what_the_settings_say() -> None:
    assert Common().watchdog_s == watchdog.STANDS_S


def _readable(child: subprocess.Popen[bytes], within_s: float) -> bool:
    return bool(select.select([child.stdout], [], [], within_s)[0])
