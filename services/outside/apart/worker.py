"""The worker's side: one loop that carries out orders by a handler, and shows that it goes round.

It ends with its connection. Out of memory, it ends at once: what it would do then nobody knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

from services.outside.apart import wire
from services.process import telemetry

PULSE_S = 0.5
CLOSE_S = 5.0
OUT_OF_MEMORY = 75
"""Exit code of a worker that was refused memory."""
RECALLED = "recalled"

log = telemetry.get_logger()


class Done(NamedTuple):
    """What became of an order."""

    body: bytes
    file: str = ""
    """Name of a file in the worker's folder that belongs to it."""


class Errand:
    """One order, as its handler sees it."""

    def __init__(self, order: wire.Order, send: Callable[[wire.FromWorker], None]) -> None:
        self.verb = order.verb
        self.body = order.body
        self._id = order.id
        self._send = send
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._asked = 0

    def tell(self, body: bytes) -> None:
        """Let whoever gave the order know something."""
        self._send(wire.Word(self._id, body))

    async def ask(self, body: bytes) -> bytes:
        """Ask whoever gave the order."""
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._send(wire.Question(self._id, number, body))
        try:
            return await answer
        finally:
            del self._waiting[number]

    def answered(self, number: int, body: bytes) -> None:
        """Give an answer to whoever waits for it."""
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(body)


class Handler(Protocol):
    """Carries out orders."""

    async def handle(self, errand: Errand) -> Done:
        """Carry out one order."""

    async def close(self) -> None:
        """Let go of everything."""


Make = Callable[[Path | None], Handler]
"""Makes the handler of one worker, which may leave files in the folder."""


async def serve(connection: socket.socket, make: Make) -> None:
    """Carry out orders until the connection ends."""
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    hello = await wire.receive(reader, wire.to_worker)
    assert isinstance(hello, wire.Welcome)
    folder = Path(hello.folder) if hello.folder else None
    asyncio.get_running_loop().set_exception_handler(_unheard)
    inside = _Inside(reader, writer, make(folder), folder)
    pulse = asyncio.create_task(inside.show())
    try:
        await inside.run()
    finally:
        pulse.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await inside.close()


class _Inside:
    """The orders of one worker."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        folder: Path | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._folder = folder
        self._errands: dict[int, Errand] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Take orders until the connection ends."""
        with contextlib.suppress(EOFError):
            while True:
                match await wire.receive(self._reader, wire.to_worker):
                    case wire.Order() as order:
                        errand = self._errands[order.id] = Errand(order, self._send)
                        task = asyncio.create_task(self._carry_out(order.id, errand))
                        self._tasks[order.id] = task
                    case wire.Recall(id_):
                        if (recalled := self._tasks.get(id_)) is not None:
                            recalled.cancel()
                    case wire.Reply(id_, number, body):
                        if (asking := self._errands.get(id_)) is not None:
                            asking.answered(number, body)
                    case wire.Welcome():
                        pass

    async def show(self) -> None:
        """Show for ever that the loop goes round, and what was used."""
        while True:
            self._send(wire.Pulse(time.process_time(), self._kept()))
            await asyncio.sleep(PULSE_S)

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._handler.close()

    async def _carry_out(self, id_: int, errand: Errand) -> None:
        try:
            done = await self._handler.handle(errand)
            finish = wire.Finish(id_, done.body, done.file)
        except asyncio.CancelledError:
            finish = wire.Finish(id_, b"", broken=RECALLED)
        except MemoryError:
            give_up()
        except Exception as error:
            log.exception("order_broke", verb=errand.verb)
            finish = wire.Finish(id_, b"", broken=repr(error)[:1000])
        finally:
            self._errands.pop(id_, None)
            self._tasks.pop(id_, None)
        self._send(finish)

    def _send(self, message: wire.FromWorker) -> None:
        if not self._writer.is_closing():
            self._writer.write(wire.frame(message))

    def _kept(self) -> int:
        if self._folder is None:
            return 0
        size = 0
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_size
        return size


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if isinstance(context.get("exception"), MemoryError):
        give_up()
    loop.default_exception_handler(context)


def give_up() -> NoReturn:
    """End this process at once: there is no more memory for it."""
    os._exit(OUT_OF_MEMORY)
