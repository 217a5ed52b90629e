"""Ends a process whose loop stands still, so that it is started again, and keeps the stacks.

Neither of its two clocks runs while the process is stopped: the CPU time of a timer whose signal is
handled in C, for no thread runs while C code holds the GIL, and the ticks of a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from prometheus_client import Counter

from services.process import telemetry
from services.process.files import NO_WRITING, private

STANDS_S = 30.0
"""How long a loop may stand still."""
STEP_S = 0.5
LATE_STEPS = 2
"""Steps without a sign of life that are no news yet."""
LATE_EVERY_S = 60.0
"""One line in the log about a late loop, at most so often."""
KEPT_BYTES = 32 * 1024
"""What is read of the stacks that the last run has left behind."""
_FRAMES = 16
_STDERR = 2
SIGNAL = signal.SIGPROF

LATE = Counter("metamcp_loop_late", "Times that this process's loop was more than a second late.")

log = telemetry.get_logger()


class Watchdog:
    """Watches the loop on which `watch` was called, for as long as the `with` block lasts."""

    def __init__(self, limit_s: float = STANDS_S, stacks: Path | None = None) -> None:
        """`limit_s`: 0 watches nothing; `stacks`: the file they go to, without one stderr."""
        self._limit_s = limit_s
        self._step_s = min(STEP_S, limit_s / 10)
        self._path = stacks
        self._file: BinaryIO | None = None
        self._ticks = 0
        self._seen = ""
        self._told = float("-inf")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, name="watchdog", daemon=True)
        self._watched = 0

    def __enter__(self) -> Watchdog:
        """Say what the last run has left behind. Raises OSError when there can be no such file;
        where the disk can't be written now, stacks go to stderr."""
        if self._limit_s and self._path is not None:
            if left := left_behind(self._path):
                log.error("loop_stood_still", last_run=left)
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self._path, "wb", buffering=0, opener=private)
            except OSError as error:
                if error.errno not in NO_WRITING:
                    raise
                log.warning("stacks_not_kept", error=str(error))
        return self

    def watch(self) -> None:
        """Begin, with the running loop."""
        if not self._limit_s:
            return
        self._watched = threading.get_ident()
        file = _STDERR if self._file is None else self._file
        # After the stacks the signal does what it does without a handler: it ends the process.
        faulthandler.register(SIGNAL, file=file, all_threads=True, chain=True)
        self._beat(asyncio.get_running_loop())
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Watch no more."""
        if self._thread.is_alive():
            self._over.set()
            self._thread.join()
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.unregister(SIGNAL)
        if self._file is not None:
            self._file.close()
            with contextlib.suppress(OSError):
                os.unlink(self._file.name)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Show a sign of life."""
        if self._over.is_set():
            return
        signal.setitimer(signal.ITIMER_PROF, self._limit_s)
        ticks, self._ticks = self._ticks, 0
        if ticks > LATE_STEPS:
            self._say_late(ticks * self._step_s, loop.time())
        loop.call_later(self._step_s, self._beat, loop)

    def _say_late(self, seconds: float, now: float) -> None:
        LATE.inc()
        if now - self._told >= LATE_EVERY_S:
            self._told = now
            # Not from the thread: the loop may stand still with the log's lock in its hands.
            log.warning("loop_late", seconds=round(seconds, 1), stack=self._seen)

    def _count(self) -> None:
        most = self._limit_s / self._step_s
        while not self._over.wait(self._step_s):
            self._ticks += 1
            if self._ticks == LATE_STEPS + 1:
                self._seen = _stack(sys._current_frames().get(self._watched))
            if self._ticks > most:
                os.kill(os.getpid(), SIGNAL)
                return


def stacks_file(folder: Path | None, instance: str) -> Path | None:
    """Where a process keeps the stacks: beside its log files; None without a folder for those."""
    return None if folder is None else folder / f"{instance}.stack"


def left_behind(path: Path) -> str:
    """The stacks of the last run, if the watchdog has ended it."""
    try:
        with open(path, "rb") as file:
            return file.read(KEPT_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _stack(frame: FrameType | None) -> str:
    return "".join(traceback.format_stack(frame)[-_FRAMES:]) if frame is not None else ""
