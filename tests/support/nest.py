"""What test servers are forked from, see `forked`: it has imported what takes them long."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import os
import runpy
import select
import signal
import socket
import sys
from importlib import import_module
from typing import NamedTuple

from services.process.child import follow

FIVE = "registry router executor results gateway"
PRELOADED = ("mcp.server.mcpserver", "uvicorn")
"""What all test servers need."""
PACKAGES = {
    **{f"services.{name}": (f"services.{name}.service",) for name in FIVE.split()},
    "services.cli": ("services.cli.app", "services.cli.client", "httpx"),
}
"""What they need that are run by their name."""
_FILES = 16


class Order(NamedTuple):
    """A server to start."""

    descriptors: list[int]
    """The standard streams, and those that it is to keep."""
    numbers: list[int]
    words: list[str]
    folder: str
    environment: dict[str, str]


class _Forking:
    """Has one thread and no loop, so that a fork is safe."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._clients: dict[int, socket.socket] = {}
        """The stand-ins of servers that run, by pid."""
        self._dying: dict[int, socket.socket] = {}
        """Of those that were killed."""

    def serve(self) -> Order | None:
        """Fork again and again; returns in each that was forked, and in the end."""
        woken, waker = os.pipe()
        for descriptor in (woken, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select(
                [0, woken, self._listening, *self._clients.values()], [], []
            )
            if 0 in ready:
                return None
            if woken in ready:
                os.read(woken, 4096)
                self._reap()
            self._end([pid for pid, client in self._clients.items() if client in ready])
            if self._listening in ready and (order := self._fork((woken, waker))) is not None:
                return order

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                code = os.waitstatus_to_exitcode(status)
                with (self._clients | self._dying)[pid] as client, contextlib.suppress(OSError):
                    client.sendall(code.to_bytes(4, "big", signed=True))
                self._clients.pop(pid, None)
                self._dying.pop(pid, None)

    def _end(self, asked: list[int]) -> None:
        """End programs whose stand-ins are asked to, or have ended: nobody has waited for them."""
        for pid in asked:
            if self._clients[pid].recv(1):
                os.kill(pid, signal.SIGTERM)
                continue
            self._dying[pid] = self._clients.pop(pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)

    def _fork(self, ours: tuple[int, int]) -> Order | None:
        client, _ = self._listening.accept()
        try:
            order = _read(client)
        except OSError:
            client.close()
            return None
        _prepare(order.words[0])
        me = os.getpid()
        if pid := os.fork():
            self._clients[pid] = client
            for descriptor in order.descriptors:
                os.close(descriptor)
            return None
        os.setsid()
        follow(me)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (client, self._listening, *self._clients.values(), *self._dying.values()):
            one.close()
        for descriptor in ours:
            os.close(descriptor)
        return order


@functools.cache
def _prepare(program: str) -> None:
    """Import what such a program of ours does: once here, and not in each that is forked."""
    if program in PACKAGES:
        for name in PACKAGES[program]:
            import_module(name)
    elif program.startswith(("services.", "tests.")):
        import_module(program)
        # Run as a program it is another module than the one that was imported.
        del sys.modules[program]
    gc.collect()
    gc.freeze()


def _read(client: socket.socket) -> Order:
    head, descriptors, _, _ = socket.recv_fds(client, 4, _FILES)
    size, data = int.from_bytes(head, "big"), b""
    while len(data) < size and (part := client.recv(1 << 20)):
        data += part
    if len(data) < size or not head:
        raise ConnectionError("the stand-in is gone")
    folder, kept, count, *rest = map(os.fsdecode, data.split(b"\0"))
    words, environment = rest[: int(count)], rest[int(count) :]
    numbers = [0, 1, 2, *(int(one) for one in kept.split(",") if one)]
    pairs = dict(one.split("=", 1) for one in environment)
    return Order(descriptors, numbers, words, folder, pairs)


def _become(order: Order) -> None:
    """Be the process that the stand-in was asked for."""
    # Above all that is wanted, then down to where it is wanted: none is overwritten on the way.
    least = max([*order.numbers, *order.descriptors]) + 1
    for descriptor, number in zip(order.descriptors, order.numbers, strict=True):
        copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD, least + number)
        os.close(descriptor)
        order.descriptors[order.descriptors.index(descriptor)] = copy
    for copy, number in zip(order.descriptors, order.numbers, strict=True):
        os.dup2(copy, number)
        os.close(copy)
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.folder)
    program, *arguments = order.words
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        sys.path[0] = os.path.dirname(program)
        runpy.run_path(program, run_name="__main__")
    else:
        sys.path[0] = order.folder
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def _main(number: int) -> None:
    for name in PRELOADED:
        import_module(name)
    with socket.socket(fileno=number) as listening:
        order = _Forking(listening).serve()
    if order is not None:
        _become(order)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
