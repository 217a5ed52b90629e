"""The zygote as its parent sees it: started when it is needed, begun again when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys

from services.outside.apart.zygote import ENDED, FORK, KILL, RECORD
from services.outside.mcp_child import INHERITED
from services.process import telemetry
from services.process.child import bound

_OURS = ("PATH", "PYTHONPATH", "HOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")

log = telemetry.get_logger()


class Nursery:
    """Forks workers from a zygote."""

    def __init__(self, module: str) -> None:
        """`module` calls `zygote.main` when it is run."""
        self._module = module
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._listening: asyncio.Task[None] | None = None
        self._ends: dict[int, asyncio.Future[int | None]] = {}
        self._number = 0
        self._starting = asyncio.Lock()

    async def ready(self) -> None:
        """Have a zygote; this waits for nothing that it does."""
        async with self._starting:
            if self._control is not None:
                return
            ours, theirs = socket.socketpair()
            try:
                process = await asyncio.create_subprocess_exec(
                    *bound(
                        sys.executable,
                        *("-m", self._module, str(theirs.fileno())),
                        keep=(theirs.fileno(),),
                    ),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    env=_environment(),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            ours.setblocking(False)
            self._control, self._process = ours, process
            self._listening = asyncio.create_task(self._listen(ours, process), name="zygote")

    def fork(self) -> tuple[int, socket.socket]:
        """Begin a worker: its number, and the connection to it. `ready` comes before."""
        assert self._control is not None
        self._number += 1
        ours, theirs = socket.socketpair()
        try:
            record = RECORD.pack(FORK, self._number, 0)
            socket.send_fds(self._control, [record], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._ends[self._number] = asyncio.get_running_loop().create_future()
        return self._number, ours

    def kill(self, number: int) -> None:
        """Kill a worker; the zygote knows whether it still runs."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(RECORD.pack(KILL, number, 0))

    async def ended(self, number: int, within_s: float) -> int | None:
        """How a worker ended: its exit code, less than 0 for a signal; None: nobody knows."""
        future = self._ends.get(number)
        if future is None:
            return None
        try:
            await asyncio.wait([future], timeout=within_s)
            return future.result() if future.done() else None
        finally:
            self._ends.pop(number, None)

    async def close(self) -> None:
        """End the zygote, and what runs of it."""
        if self._listening is not None:
            self._listening.cancel()
        self._gone()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _listen(self, control: socket.socket, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        data = b""
        with contextlib.suppress(OSError):
            while part := await loop.sock_recv(control, 4096):
                data += part
                while len(data) >= RECORD.size:
                    what, number, code = RECORD.unpack(data[: RECORD.size])
                    data = data[RECORD.size :]
                    future = self._ends.get(number)
                    if what == ENDED and future is not None and not future.done():
                        future.set_result(code)
        log.warning("zygote_gone", module=self._module)
        self._gone()
        await process.wait()

    def _gone(self) -> None:
        """Every worker has ended with it."""
        if self._control is not None:
            self._control.close()
            self._control = None
        for future in self._ends.values():
            if not future.done():
                future.set_result(None)
        self._ends.clear()


def _environment() -> dict[str, str]:
    """What workers see of our environment: no secret."""
    return {name: os.environ[name] for name in (*_OURS, *INHERITED) if name in os.environ}
