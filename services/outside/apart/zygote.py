"""The process that workers are forked from: it has imported once what all of them need.

It has one thread and no loop, so a fork is safe, takes milliseconds and shares its memory. It ends
with its parent, and every worker with it. Records on the control socket: a letter, a number, a
value.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import select
import signal
import socket
import struct
import sys
from typing import NoReturn

import uvloop

from services.outside.apart import worker
from services.outside.apart.worker import Make
from services.process import telemetry
from services.process.child import follow

RECORD = struct.Struct("!cIi")
FORK, KILL, ENDED = b"F", b"K", b"E"
"""Start a worker on the descriptor that comes along; kill one; one has ended, with this code."""

NICE = 15
MEMORY_BYTES = 512 * 1024 * 1024
"""Data of one worker, with what it was forked with."""
FILE_BYTES = 512 * 1024 * 1024
"""Of one file that it writes."""
MOST_FILES = 512
"""Descriptors of one worker."""


def main(service: str, make: Make) -> None:
    """Serve the parent, whose control socket is the descriptor named by the first argument."""
    telemetry.setup()
    with telemetry.in_service(service, f"{service}-worker"):
        _Zygote(socket.socket(fileno=int(sys.argv[1])), make).run()


class _Zygote:
    def __init__(self, control: socket.socket, make: Make) -> None:
        self._control = control
        self._make = make
        self._pids: dict[int, int] = {}
        """Workers that run, by number."""

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        woken, waker = os.pipe()
        for descriptor in (woken, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        own = (self._control.fileno(), woken, waker)
        gc.collect()
        # What is there now stays shared: a collection in a worker does not touch it.
        gc.freeze()
        while True:
            ready, _, _ = select.select([self._control.fileno(), woken], [], [])
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
                self._reap()
            if self._control.fileno() in ready and not self._obey(own):
                return

    def _obey(self, own: tuple[int, ...]) -> bool:
        """Carry out one record; False: the parent is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, RECORD.size, 1)
        except ConnectionError:
            return False
        if len(data) < RECORD.size:
            return False
        what, number, _ = RECORD.unpack(data)
        if what == FORK:
            self._fork(number, descriptors[0], own)
        elif what == KILL and number in self._pids:
            # Nobody has waited for it, so the number is still its own.
            os.kill(self._pids[number], signal.SIGKILL)
        return True

    def _fork(self, number: int, descriptor: int, own: tuple[int, ...]) -> None:
        me = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(descriptor)
            self._tell(number, -1)
            return
        if pid == 0:
            _begin(me, descriptor, own, self._make)
        os.close(descriptor)
        self._pids[number] = pid

    def _reap(self) -> None:
        numbers = {pid: number for number, pid in self._pids.items()}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (number := numbers.get(pid)) is not None:
                del self._pids[number]
                self._tell(number, os.waitstatus_to_exitcode(status))

    def _tell(self, number: int, code: int) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(RECORD.pack(ENDED, number, code))


def _begin(parent: int, descriptor: int, others: tuple[int, ...], make: Make) -> NoReturn:
    """Become a worker; whatever happens, this does not return."""
    code = 1
    try:
        follow(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in others:
            os.close(other)
        _confine()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(worker.serve(socket.socket(fileno=descriptor), make))
        code = 0
    except MemoryError:
        code = worker.OUT_OF_MEMORY
    except BaseException:
        telemetry.get_logger().exception("worker_broke")
    finally:
        os._exit(code)


def _confine() -> None:
    os.nice(NICE)
    if sys.platform == "linux":
        # It takes the place of nobody who is at work when it has something to do.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    for what, most in (
        (resource.RLIMIT_DATA, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, MOST_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            hard = resource.getrlimit(what)[1]
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (least, least))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
