"""Children of `metamcp up`: services as processes, or in this one; each ends when cancelled.

A child process never outlives the thread that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process as Handle
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from services.bus.errors import BusError
from services.process import telemetry, watchdog
from services.process.child import bound
from services.process.run import Main, Process, serve
from services.process.timeouts import timeout
from services.up.nats_server import Embedded, NoRoom
from services.up.publishers import PublishersUnreadable
from services.up.reload import reload

FOLLOW_S = 0.25
"""Seconds between two looks at who publishes."""
ROOM_S = 1.0
"""The same of two looks whether the disk has room for the server's next start."""
LAST_WORDS = 2000
"""Bytes of a child's output that are kept to explain its end."""
_OUTPUT_S = 0.5


log = telemetry.get_logger()

Echo = Callable[[bytes], object]


class Crashed(Exception):
    """A child ended although nobody had asked it to; the text says how, and its last words."""


class Child(Protocol):
    """Something a supervisor keeps alive."""

    name: str

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""

    async def run(self) -> None:
        """Start it and wait; raises Crashed, and ends it gently when cancelled."""


class ChildProcess:
    """A program in a process and session of its own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        grace_s: float = 10.0,
        echo: Echo | None = None,
    ) -> None:
        """`echo` gets what the program writes; `grace_s` is the time between TERM and KILL."""
        self.name = name
        self.environ = dict(environ)
        """Read at each start."""
        self._command = tuple(command)
        self._grace_s = grace_s
        self._echo = echo
        self._handle: Handle | None = None
        self._tail = b""

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        running = self._handle is not None and self._handle.returncode is None
        return self._handle.pid if running and self._handle else None

    async def run(self) -> None:
        """Start the program and wait for its end. Raises Crashed; cancelling ends the program."""
        self._tail = b""
        async with self._listening() as write:
            try:
                self._handle = handle = await asyncio.create_subprocess_exec(
                    *bound(*self._command),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=write,
                    stderr=write,
                    env=self.environ,
                    start_new_session=True,
                )
            finally:
                os.close(write)
            try:
                code = await handle.wait()
            finally:
                await self._end(handle)
        words = self._last_words() if code > 0 else ""
        raise Crashed(f"{self.name} ended {_how(code)}. {words}".strip())

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[int]:
        """The writing end of a pipe that is read until the child is gone.

        A pipe of asyncio's own would make `wait` wait for everybody who holds it open, such as what
        the child itself has started.
        """
        read, write = os.pipe()
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read, "rb")
        )
        reading = asyncio.create_task(self._read(stream))
        try:
            yield write
            await asyncio.wait((reading,), timeout=_OUTPUT_S)
        finally:
            reading.cancel()
            transport.close()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(65536):
            self._tail = (self._tail + chunk)[-LAST_WORDS:]
            if self._echo is not None:
                self._echo(chunk)

    async def _end(self, handle: Handle) -> None:
        """Ask it to drain, insist after a while, and leave nothing of its session behind."""
        if handle.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                handle.terminate()
            with contextlib.suppress(TimeoutError):
                async with timeout(self._grace_s):
                    await handle.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(handle.pid, signal.SIGKILL)
        await handle.wait()

    def _last_words(self) -> str:
        """The error it ended with, else its last lines."""
        lines = self._tail.decode("utf-8", "replace").strip().splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        return "\n".join(errors[-1:] or lines[-3:])


class InProcess:
    """A service that runs in this process, on this loop."""

    def __init__(self, service: str, name: str, main: Main, *, grace_s: float = 10.0) -> None:
        self.name = name
        self.pid: int | None = None
        self._service = service
        self._main = main
        self._grace_s = grace_s

    async def run(self) -> None:
        """Run the service; its own error is raised. Cancelling drains it."""
        process = Process(self._service, self.name)
        serving = asyncio.create_task(
            serve(self._main, process, drain_s=self._grace_s), name=self.name
        )
        try:
            await asyncio.shield(serving)
            raise Crashed(f"{self.name} ended by itself")
        finally:
            process.stopping.set()
            await asyncio.wait((serving,))
            if not serving.cancelled():
                serving.exception()


class Server:
    """The embedded nats-server, started again when it dies; ended by its owner, not by this."""

    name = "nats"

    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        self._asked = False

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self.embedded.pid

    async def run(self) -> None:
        """Start the server unless it runs, and wait for its end. Raises Crashed, EmbeddedError."""
        while True:
            await self._start()
            code = await self.embedded.wait()
            if not self._asked:
                raise Crashed(f"nats-server ended {_how(code)}")
            self._asked = False

    async def restart(self) -> None:
        """End the server gently; `run` starts it again, and counts that as no crash."""
        self._asked = True
        await self.embedded.end()

    async def _start(self) -> None:
        """Start it, once the disk has room: on a full one it would take its streams for broken."""
        told = False
        while True:
            try:
                await self.embedded.start()
            except NoRoom as error:
                if not told:
                    log.warning("nats_waits_for_room", error=error.message, hint=error.hint)
                told = True
                await asyncio.sleep(ROOM_S)
            else:
                return


class Following:
    """Has the embedded server take over who publishes, as soon as somebody has changed that."""

    name = "publishers"
    pid: int | None = None

    def __init__(self, server: Server) -> None:
        self._server = server

    async def run(self) -> None:
        """Look for ever; what can't be read leaves everything as it is."""
        told = ""
        while True:
            await asyncio.sleep(FOLLOW_S)
            try:
                await self._follow()
                told = ""
            except (OSError, PublishersUnreadable, BusError, TimeoutError) as error:
                if told != (text := f"{type(error).__name__}: {error}"):
                    log.warning("publishers_not_taken_over", error=text)
                told = text

    async def _follow(self) -> None:
        server = self._server.embedded
        if (listed := server.follow_publishers()) is not None:
            await reload(server)
            server.serves(listed)
            log.info("publishers_changed", names=[one.name for one in listed])


def _how(code: int) -> str:
    if code == -watchdog.SIGNAL:
        return "by its watchdog: its loop stood still, its .stack file says where"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-code).name}"
    return f"with code {code}"
