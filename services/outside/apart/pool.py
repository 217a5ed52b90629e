"""The workers of one process, a few, each for the hosts of one owner.

One that falls silent or takes too much is killed, and what was in it fails with the reason; others
are untouched. Nothing starts before the first order, and what rests ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from contracts.host import Host, Remote, operated
from services.outside.apart import wire
from services.outside.apart.budget import CpuBudget
from services.outside.apart.nursery import Nursery
from services.outside.apart.worker import OUT_OF_MEMORY, PULSE_S
from services.outside.apart.zygote import MEMORY_BYTES
from services.process import telemetry

MOST_WORKERS = 8
"""Processes at once. At the limit the one that has rested longest makes way; if none rests, owners
share."""
REST_S = 60.0
"""A worker that has nothing to do for so long ends."""
SILENT_S = 5.0
"""A worker whose loop shows nothing for so long is killed."""
START_S = 60.0
"""The same before it was heard at all: what it is forked from may have to import first."""
KEPT_BYTES = 1024 * 1024 * 1024
"""Files that one worker may have left at a time."""
EXIT_S = 1.0
"""How long the news of how a worker ended may take."""
WAIT_S = 10.0
"""How long a worker that is to end may take; its files stay until then, and then it is killed."""
RECALL_S = 1.0
"""How long an order that was recalled may take to end."""

log = telemetry.get_logger()

Hear = Callable[[bytes], Awaitable[bytes]]
"""Called with what an order tells or asks; the answer counts for questions."""


def is_apart(host: Host) -> bool:
    """Whether this host is asked in a process apart: it is a user's, and elsewhere.

    A program on this machine is the operator's choice, whoever may use it.
    """
    return not operated(host) and isinstance(host.endpoint, Remote)


class WorkerLost(Exception):
    """The worker is gone, or there is none to be had; the text says why, for people."""

    def __init__(self, why: str, *, begun: bool = False) -> None:
        """`begun`: the worker had the order."""
        super().__init__(why)
        self.begun = begun


class Result(NamedTuple):
    """What an order has come to."""

    body: bytes
    file: Path | None
    """Belongs to whoever gets this."""


class WorkerPool:
    """The workers of this process, by owner."""

    def __init__(
        self, module: str, folder: Path | None = None, budget: CpuBudget | None = None
    ) -> None:
        """`module` is run for the workers, see `zygote.main`; `folder` is for files they leave."""
        self._nursery = Nursery(module)
        self._folder = folder
        self._budget = budget or CpuBudget()
        self._workers: set[_Worker] = set()
        self._homes: dict[str, _Worker] = {}
        self._opening = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    async def run(
        self, owner: str, verb: str, body: bytes, hear: Hear, recall_s: float = RECALL_S
    ) -> Result:
        """Have an order carried out. Raises WorkerLost.

        Cancelled, it recalls the order and hears it out for at most `recall_s`.
        """
        worker = await self._home(owner)
        return await worker.run(verb, body, hear, recall_s)

    async def dismiss(self, owner: str, verb: str, body: bytes) -> None:
        """Have an order carried out that matters only to the worker that there is, if any."""
        home = self._homes.get(owner)
        if home is not None and not home.over:
            with contextlib.suppress(WorkerLost, RuntimeError):
                await home.run(verb, body, _deaf, RECALL_S)

    async def close(self) -> None:
        """End all of them."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
        workers = list(self._workers)
        for worker in workers:
            worker.end("the service is stopping")
        await self._nursery.close()
        for worker in workers:
            await worker.read_out()

    async def _home(self, owner: str) -> _Worker:
        """The worker for the hosts of this owner. Raises WorkerLost."""
        if self._closed:
            raise WorkerLost("the service is stopping")
        if wait_s := self._budget.wait_s(owner, time.monotonic()):
            raise WorkerLost(
                f"the answers of {owner}'s hosts have used up their time of the processor: again"
                f" in {wait_s:.0f} s"
            )
        home = self._homes.get(owner)
        if home is None or home.over:
            async with self._opening:
                home = self._homes.get(owner)
                if home is None or home.over:
                    home = self._homes[owner] = await self._room(owner)
        home.owners.add(owner)
        return home

    async def _room(self, owner: str) -> _Worker:
        """A new worker, or at the limit one that others are in already."""
        if len(self._workers) >= MOST_WORKERS:
            resting = [one for one in self._workers if not one.busy]
            if not resting:
                return min(self._workers, key=lambda one: one.orders)
            min(resting, key=lambda one: one.rests_since).end("another owner needs its place")
        try:
            await self._nursery.ready()
            number, connection = self._nursery.fork()
        except OSError as error:
            raise WorkerLost(f"no worker process can be started: {error}") from None
        worker = _Worker(number, owner, self._folder, self._nursery)
        await worker.begin(connection, self._forget)
        if self._closed:
            worker.end("the service is stopping")
            raise WorkerLost("the service is stopping")
        self._workers.add(worker)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="workers")
        log.info("worker_started", owner=owner, worker=number)
        return worker

    def _forget(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        for owner in worker.owners:
            if self._homes.get(owner) is worker:
                del self._homes[owner]

    async def _watch(self) -> None:
        """Look at every worker again and again, for ever."""
        while True:
            await asyncio.sleep(PULSE_S)
            now = time.monotonic()
            for worker in list(self._workers):
                self._look(worker, now)

    def _look(self, worker: _Worker, now: float) -> None:
        # Turns and not seconds: while this process stands still, nobody else is silent.
        worker.silent += 1
        self._budget.spend(worker.owner, worker.spent(), now)
        if not worker.met:
            if worker.silent * PULSE_S > START_S:
                worker.end(f"it did not start within {START_S:g} s")
        elif worker.silent * PULSE_S > SILENT_S:
            worker.end(f"one of its hosts' answers took more than {SILENT_S:g} s to look at")
        elif self._budget.wait_s(worker.owner, now):
            worker.end("its hosts' answers have used up their time of the processor")
        elif worker.kept_bytes > KEPT_BYTES:
            worker.end(f"answers of more than {KEPT_BYTES} bytes came at the same time")
        elif not worker.busy and now - worker.rests_since > REST_S:
            worker.end("it has rested", kindly=True)


class _Worker:
    """One worker, from here."""

    def __init__(self, number: int, owner: str, folder: Path | None, nursery: Nursery) -> None:
        self.number = number
        self.owner = owner
        """Whose time it takes."""
        self.owners = {owner}
        self.met = False
        """It was heard."""
        self.silent = 0
        """Turns of the watch since it was heard last."""
        self.kept_bytes = 0
        self.rests_since = time.monotonic()
        self.over = False
        self._why = ""
        self._nursery = nursery
        self._spool = folder
        self._folder = folder / f"worker-{number}" if folder is not None else None
        self._cpu_s = self._counted_s = 0.0
        self._ids = 0
        self._queues: dict[int, asyncio.Queue[wire.FromWorker | None]] = {}
        self._writer: asyncio.StreamWriter
        self._reading: asyncio.Task[None]
        self._forget: Callable[[_Worker], None]

    @property
    def orders(self) -> int:
        """Orders in it."""
        return len(self._queues)

    @property
    def busy(self) -> bool:
        """It has something to do."""
        return bool(self._queues)

    async def begin(self, connection: socket.socket, forget: Callable[[_Worker], None]) -> None:
        """Open the connection; `forget` is called when it is over."""
        self._forget = forget
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        reader, self._writer = await asyncio.open_unix_connection(sock=connection)
        self._writer.write(wire.frame(wire.Welcome(str(self._folder or ""))))
        self._reading = asyncio.create_task(self._read(reader), name=f"worker-{self.number}")

    async def read_out(self) -> None:
        """Wait until nothing is left of it."""
        await asyncio.wait([self._reading])

    def spent(self) -> float:
        """Seconds of the processor since the last question."""
        spent, self._counted_s = self._cpu_s - self._counted_s, self._cpu_s
        return spent

    async def run(self, verb: str, body: bytes, hear: Hear, recall_s: float) -> Result:
        """See `WorkerPool.run`."""
        if self.over:
            raise WorkerLost(self._why)
        self._ids += 1
        id_ = self._ids
        queue = self._queues[id_] = asyncio.Queue()
        try:
            await self._send(wire.Order(id_, verb, body))
            try:
                return await self._follow(queue, hear)
            except asyncio.CancelledError:
                await self._recall(id_, queue, hear, recall_s)
                raise
        finally:
            del self._queues[id_]
            self.rests_since = time.monotonic()

    def end(self, why: str, *, kindly: bool = False) -> None:
        """End it; what is in it fails with the reason."""
        if self.over:
            return
        self.over = True
        self._why = f"the worker process of {', '.join(sorted(self.owners))}'s hosts ended: {why}"
        say = log.info if kindly or not self.busy else log.warning
        say("worker_ended", worker=self.number, owner=self.owner, why=why, orders=self.orders)
        if kindly:
            # It says goodbye to its hosts once its connection ends.
            self._writer.close()
        else:
            self._nursery.kill(self.number)
            self._writer.transport.abort()
        for queue in self._queues.values():
            queue.put_nowait(None)
        self._forget(self)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                message = await wire.receive(reader, wire.from_worker)
                self.met, self.silent = True, 0
                if isinstance(message, wire.Pulse):
                    self._cpu_s, self.kept_bytes = message.cpu_s, message.kept_bytes
                elif (queue := self._queues.get(message.id)) is not None:
                    queue.put_nowait(message)
                elif isinstance(message, wire.Finish):
                    # Nobody waits for it any more.
                    self._discard(message)
        except (EOFError, ValueError) as error:
            code = await self._nursery.ended(self.number, EXIT_S if not self.over else WAIT_S)
            if code is None:
                # It has not ended by itself, whatever it was asked.
                self._nursery.kill(self.number)
            self.end(_how(code) or f"its connection was lost: {error}".removesuffix(": "))
        finally:
            self._clear()

    async def _follow(self, queue: asyncio.Queue[wire.FromWorker | None], hear: Hear) -> Result:
        answering: set[asyncio.Task[None]] = set()
        try:
            while (message := await queue.get()) is not None:
                match message:
                    case wire.Word():
                        await hear(message.body)
                    case wire.Question():
                        # Days may go by until the answer, and the order may end before.
                        task = asyncio.create_task(self._answer(message, hear))
                        answering.add(task)
                        task.add_done_callback(answering.discard)
                    case wire.Finish():
                        if message.broken:
                            raise RuntimeError(f"a worker broke: {message.broken}")
                        return Result(message.body, self._taken(message.file))
                    case _:
                        pass
            raise WorkerLost(self._why, begun=True)
        finally:
            for task in answering:
                task.cancel()

    async def _answer(self, question: wire.Question, hear: Hear) -> None:
        try:
            answer = await hear(question.body)
        except Exception:
            log.exception("question_not_answered", worker=self.number)
            answer = b""
        await self._send(wire.Reply(question.id, question.number, answer))

    async def _recall(
        self, id_: int, queue: asyncio.Queue[wire.FromWorker | None], hear: Hear, recall_s: float
    ) -> None:
        """Have an order stopped that is not wanted any more, and hear it out."""
        with contextlib.suppress(WorkerLost, RuntimeError):
            await self._send(wire.Recall(id_))
            hearing = asyncio.create_task(self._follow(queue, hear))
            await asyncio.wait([hearing], timeout=recall_s)
            if not hearing.done():
                hearing.cancel()
            elif (result := hearing.result()).file is not None:
                result.file.unlink(missing_ok=True)

    async def _send(self, message: wire.ToWorker) -> None:
        if self.over:
            raise WorkerLost(self._why)
        self._writer.write(wire.frame(message))
        try:
            await self._writer.drain()
        except ConnectionError:
            # The reader finds out why.
            await asyncio.wait([self._reading])
            raise WorkerLost(self._why, begun=True) from None

    def _taken(self, name: str) -> Path | None:
        """A file that the worker hands over, out of its folder: a plain file, and its own."""
        if not name:
            return None
        if self._folder is None or self._spool is None or os.path.basename(name) != name:
            raise RuntimeError(f"a worker named {name!r} as its file")
        path = self._folder / name
        if not stat.S_ISREG(path.lstat().st_mode):
            raise RuntimeError(f"a worker named {name!r}, which is no file")
        return path.rename(self._spool / f"{self._folder.name}-{name}")

    def _discard(self, message: wire.Finish) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            if (path := self._taken(message.file)) is not None:
                path.unlink()

    def _clear(self) -> None:
        """Remove what it has left."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


async def _deaf(_: bytes) -> bytes:
    return b""


def _how(code: int | None) -> str:
    """How a process ended by itself; empty: nobody knows."""
    if code is None or code == 0:
        return ""
    if code == OUT_OF_MEMORY:
        return f"it took more than {MEMORY_BYTES // 1024 // 1024} MiB of memory"
    return f"it was killed by signal {-code}" if code < 0 else f"it exited with code {code}"
