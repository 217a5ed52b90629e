"""Programs forked from a process that has imported what they need: in milliseconds.

Their starter knows the pid of a stand-in, which ends as they do and passes on what ends it. Where a
test looks at process groups, or stops and kills by that pid, it starts Python itself.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.support.launch import ask

LAUNCH = Path(__file__).with_name("launch.py")
_ROOT = str(Path(__file__).resolve().parents[2])


class Nest:
    """One such process, which ends with this one."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nest-")
        self.path = os.path.join(self._folder.name, "s")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(self.path)
            listening.listen(128)
            number = listening.fileno()
            # It ends with its input: whoever is first to start it may be a thread that ends.
            self._process = subprocess.Popen(
                (sys.executable, "-m", "tests.support.nest", str(number)),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                cwd=_ROOT,
                pass_fds=(number,),
                start_new_session=True,
            )
        self.pid = self._process.pid

    def close(self) -> None:
        """End it, and what was forked of it."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


_nest: Nest | None = None
_changing = threading.Lock()


def nest() -> Nest:
    """The one of this process."""
    global _nest
    with _changing:
        if _nest is None:
            _nest = Nest()
            atexit.register(close)
        return _nest


def close() -> None:
    """End it, if there is one."""
    global _nest
    with _changing:
        if _nest is not None:
            _nest.close()
            _nest = None


def started(module: str, *arguments: str) -> tuple[str, ...]:
    """What `command` stands for."""
    program = (module,) if module.endswith(".py") else ("-m", module)
    return (sys.executable, *program, *arguments)


def command(module: str, *arguments: str, keep: tuple[int, ...] = ()) -> tuple[str, ...]:
    """What to start in place of `python -m module`; `module` may be a script's path.

    The program leads a session of its own; it has the folder, the environment, the standard streams
    and the descriptors `keep` of what is started.
    """
    kept = ",".join(map(str, keep))
    return (sys.executable, "-I", "-S", str(LAUNCH), nest().path, kept, module, *arguments)


class Forked:
    """A server that this process forks itself, without a stand-in."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        reading, writing = os.pipe()
        self._output = open(reading, "rb")  # noqa: SIM115
        with open(os.devnull) as nothing, open(writing, "wb") as output:
            streams = [nothing.fileno(), output.fileno(), 2]
            asked = ask(nest().path, (_ROOT, "", "1", module), environment, streams)
        self._nest = socket.socket(fileno=asked.detach())

    async def line(self) -> str:
        """The next line that it writes."""
        return (await asyncio.to_thread(self._output.readline)).decode().strip()

    async def kill(self) -> None:
        """End it as a crash does; it is gone when this returns."""
        with self._nest, self._output:
            self._nest.shutdown(socket.SHUT_WR)
            self._nest.setblocking(False)
            await asyncio.get_running_loop().sock_recv(self._nest, 4)
