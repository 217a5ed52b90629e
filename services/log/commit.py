"""Group commit: few facts go out as pipelined publishes, many as one atomic batch (one fsync).

Nothing is trusted but the log: what was refused, or never answered, is read back.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence

from contracts.errors import Rejected
from services.bus import metrics
from services.bus.bus import Bus
from services.bus.client import Message, Outgoing
from services.bus.jetstream import ApiError, ApiReason
from services.log.pending import Pending, Receipt
from services.log.port import AlreadyRecorded, Append, LogUnavailable
from services.log.read import Reader
from services.log.wire import REQUEST_TIMEOUT_S, PubAck, Wire, puback

SINGLES = 16
BATCH_FACTS = 500
BATCH_BYTES = 4 * 1024 * 1024
LINGER_S = 0.05
"""Under load a batch is given as long to fill as the last one took, at most this: a batch costs the
server the same whatever its size."""
QUEUE_FACTS = 20_000
QUEUE_BYTES = 64 * 1024 * 1024
RETRY_S = 0.1
ATTEMPTS = 5
SILENT_S = 2.0
"""What is sent and not answered for so long is not stored now: a full disk is answered by nothing.
"""
FAILED_S = 10.0
"""How long a failed write says that others fail, while nobody tries another."""


SILENT = "NATS does not answer to what is written"


def _ack_in(message: Message) -> PubAck | None:
    """Read an answer; the first message of a batch is answered with nothing when all is well."""
    if message.status == "503":
        return PubAck(error=ApiError(503, 0, "JetStream does not answer"))
    return puback(message.data) if message.data else None


class Committer:
    """The single writer of one connection. Appends wait when its queue is full."""

    def __init__(self, bus: Bus, wire: Wire, reader: Reader) -> None:
        self._bus = bus
        self._wire = wire
        self._reader = reader
        self._queue: deque[Pending] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._singles: set[asyncio.Task[None]] = set()
        self._sent: dict[str, Pending] = {}
        self._waiting: dict[str, float] = {}
        """When what has no answer yet was sent, the oldest first."""
        self._failed: tuple[float, str] | None = None
        self._batches = itertools.count(1)
        self.same = asyncio.Event()
        """Set while the log is known to be the one it was: only then anything is sent."""
        self.same.set()
        self._ended: LogUnavailable | None = None
        """Set once nothing is sent any more: what is handed in then gets this answer."""
        bus.on_denied.append(self._denied)
        bus.on_reconnected.append(self._forget)

    def refusing(self) -> str:
        """Why the server stores nothing now, as far as the last writes tell; empty: it does, or is
        not connected."""
        if not self._bus.connected:
            return ""
        now = time.perf_counter()
        if now - next(iter(self._waiting.values()), now) > SILENT_S:
            return SILENT
        if self._failed and now - self._failed[0] < FAILED_S:
            return self._failed[1]
        return ""

    def _forget(self) -> None:
        """What another run of the server has refused says nothing of this one."""
        self._failed = None

    async def append(self, item: Append) -> int:
        """Queue one fact and wait for its sequence. Raises what `Log.append` raises."""
        receipt = Receipt()
        pending = Pending(item, receipt)
        await self._settled(receipt, [pending])
        outcome = pending.result()
        if isinstance(outcome, AlreadyRecorded):
            raise outcome
        return outcome

    async def append_all(self, items: Sequence[Append]) -> list[int | AlreadyRecorded]:
        """Queue the facts and wait for their outcomes. Raises what `Log.append_all` raises."""
        receipt, sent = Receipt(), list[Pending]()
        refused: Rejected | ValueError | None = None
        for item in items:
            try:
                sent.append(Pending(item, receipt))
            except (Rejected, ValueError) as error:
                refused = refused or error
        if sent:
            await self._settled(receipt, sent)
        if refused:
            raise refused
        return [pending.result() for pending in sent]

    async def _settled(self, receipt: Receipt, sent: Sequence[Pending]) -> None:
        """Queue the facts and wait until each has its outcome."""
        try:
            for pending in sent:
                while not self._room.is_set():
                    await self._room.wait()
                self._push(pending)
            await receipt.future
        finally:
            receipt.gone = True

    async def append_together(self, items: Sequence[Append]) -> list[int]:
        """Send the facts as one batch, past the queue. Raises what `Log.append_together` raises."""
        receipt = Receipt()
        batch = [Pending(item, receipt) for item in items]
        ack: PubAck | None = None
        for _ in range(ATTEMPTS):
            try:
                await self._may_send()
            except self._bus.publish_errors as error:
                raise LogUnavailable(f"{batch[0].subject}: {error}") from error
            if self._ended:
                raise self._ended
            ack = await self._publish(batch)
            if ack and not ack.error:
                return list(range(ack.seq - len(batch) + 1, ack.seq + 1))
            found = await asyncio.gather(*(self._look(pending) for pending in batch))
            stored = [seq for seq in found if isinstance(seq, int)]
            if len(stored) == len(batch):
                return stored
            for pending, outcome in zip(batch, found, strict=True):
                if isinstance(outcome, AlreadyRecorded):
                    raise outcome
                if pending.outcome is not None:
                    pending.result()  # Denied: raises why.
            await asyncio.sleep(RETRY_S)
        why = ack.error.description if ack and ack.error else "no answer"
        raise LogUnavailable(f"{batch[0].subject} and {len(batch) - 1} more: {why}")

    async def run(self) -> None:
        """Send what is queued until cancelled. Supervised by the log's owner."""
        try:
            await self._send_all()
        finally:
            self._ended = LogUnavailable(
                "the log's writer has ended; what became of the fact is not known"
            )
            for pending in self._queue:
                pending.settle(self._ended)
            self._room.set()
            self.same.set()

    async def _may_send(self) -> None:
        """Wait for the connection, and until the log behind it is known to be the same."""
        await self._bus.wait_connected()
        while not self._ended and not self.same.is_set():
            await self.same.wait()

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            if not self._bus.connected or not self.same.is_set():
                await self._may_send()
            if len(self._queue) + len(self._singles) <= SINGLES:
                while self._queue:
                    self._start_single(self._pop())
                self._wake.clear()
            elif self._singles and len(self._queue) <= SINGLES:
                await asyncio.wait(self._singles, return_when=asyncio.FIRST_COMPLETED)
            else:
                began = time.monotonic()
                await self._send_batch(self._take_batch())
                if SINGLES < len(self._queue) < BATCH_FACTS // 2:
                    await asyncio.sleep(min(time.monotonic() - began, LINGER_S))

    def _push(self, pending: Pending) -> None:
        if self._ended:
            pending.settle(self._ended)
            return
        self._queue.append(pending)
        self._bytes += len(pending.data)
        if len(self._queue) >= QUEUE_FACTS or self._bytes >= QUEUE_BYTES:
            self._room.clear()
        self._wake.set()

    def _pop(self) -> Pending:
        pending = self._queue.popleft()
        self._bytes -= len(pending.data)
        if len(self._queue) < QUEUE_FACTS and self._bytes < QUEUE_BYTES:
            self._room.set()
        return pending

    def _push_back(self, waiting: list[Pending]) -> None:
        for pending in reversed(waiting):
            if self._ended:
                pending.settle(self._ended)
            self._queue.appendleft(pending)
            self._bytes += len(pending.data)
        self._wake.set()

    def _take_batch(self) -> list[Pending]:
        """Take up to 500 facts and 4 MiB, at most one for each guard that the batch moves."""
        batch: list[Pending] = []
        held: list[Pending] = []
        size = 0
        moved: set[str] = set()
        while self._queue and len(batch) < BATCH_FACTS and size < BATCH_BYTES:
            pending = self._pop()
            if pending.alone or pending.over:
                self._start_single(pending)
                continue
            subject = pending.subject
            guarded = pending.guard.subject if pending.guard else subject
            if subject in moved or (guarded in moved and subject.startswith("job.")):
                held.append(pending)
                continue
            moved.add(subject)
            moved.add(guarded)
            batch.append(pending)
            size += len(pending.data)
        self._push_back(held)
        return batch

    def _start_single(self, pending: Pending) -> None:
        if pending.over:
            return  # whoever wanted it has gone
        task = asyncio.create_task(self._send_single(pending))
        self._singles.add(task)
        task.add_done_callback(self._singles.discard)

    async def _send_single(self, pending: Pending) -> None:
        try:
            ack = await self._publish([pending])
            if ack and not ack.error:
                pending.settle(ack.seq)
            else:
                await self._read_back([pending], ack)
        except Exception as error:
            # A fault of ours, which no trying again mends: whoever handed the fact in has to know.
            pending.settle(error)

    async def _send_batch(self, batch: list[Pending]) -> None:
        if not batch:
            return
        try:
            ack = await self._publish(batch)
            if ack and not ack.error:
                first = ack.seq - len(batch) + 1
                for seq, pending in enumerate(batch, first):
                    pending.settle(seq)
            else:
                await self._read_back(batch, ack)
        except Exception:
            # Alone, each of them gets the answer that is its own.
            for pending in batch:
                pending.alone = True
            self._push_back([pending for pending in batch if not pending.over])
        except BaseException:
            # The writer ends: what is queued gets its answer there.
            self._push_back([pending for pending in batch if not pending.over])
            raise

    async def _publish(self, batch: list[Pending]) -> PubAck | None:
        """Send one fact, or several as an atomic batch; None when no answer can come any more."""

        def handle(message: Message) -> None:
            if not answered.done() and (ack := _ack_in(message)):
                answered.set_result(ack)

        reply = self._wire.open(handle)
        self._sent.update((pending.subject, pending) for pending in batch)
        began = self._waiting[reply] = time.perf_counter()
        try:
            with self._wire.waiting() as answered:
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    await self._send(batch, reply)
                    ack: PubAck = await answered
        except (TimeoutError, LogUnavailable, *self._bus.publish_errors) as error:
            if isinstance(error, TimeoutError):
                self._failed = time.perf_counter(), SILENT
            return None
        else:
            if not ack.error:
                self._failed = None
                names = [pending.subject for pending in batch]
                metrics.appended(names, time.perf_counter() - began)
            elif ack.error.reason is ApiReason.NO_ROOM:
                self._failed = time.perf_counter(), ack.error.description
            return ack
        finally:
            self._wire.close(reply)
            self._waiting.pop(reply, None)
            for pending in batch:
                self._sent.pop(pending.subject, None)

    async def _send(self, batch: list[Pending], reply: str) -> None:
        await self._bus.nc.publish_all(self._messages(batch, reply))

    def _messages(self, batch: list[Pending], reply: str) -> Iterator[Outgoing]:
        if len(batch) == 1:
            yield batch[0].subject, reply, batch[0].head(), batch[0].data
            return
        name = f"Nats-Batch-Id: {self._wire.name}-{next(self._batches)}\r\nNats-Batch-Sequence: "
        for number, pending in enumerate(batch, 1):
            last = number == len(batch)
            commit = "\r\nNats-Batch-Commit: 1" if last else ""
            answer = reply if last or number == 1 else ""
            head = pending.head(f"{name}{number}{commit}\r\n")
            yield pending.subject, answer, head, pending.data

    async def _read_back(self, batch: list[Pending], ack: PubAck | None) -> None:
        """Settle each fact by what the log holds; those it does not hold are sent again."""
        try:
            found = await asyncio.gather(*(self._look(pending) for pending in batch))
        except LogUnavailable:
            found = [None] * len(batch)
        again: list[Pending] = []
        for pending, outcome in zip(batch, found, strict=True):
            if outcome is not None:
                pending.settle(outcome)
            elif not pending.over:
                again.append(pending)
        if not again:
            return
        if len(again) == len(batch):
            if ack and ack.error:
                self._unexplained(again, ack.error)
            await asyncio.sleep(RETRY_S)
        self._push_back([pending for pending in again if not pending.over])

    async def _look(self, pending: Pending) -> int | AlreadyRecorded | None:
        """Return the outcome the log knows; None: it knows none, the fact can be sent again."""
        own = await self._reader.last(pending.subject)
        if own:
            stored = own.fact.id == pending.id
            return own.seq if stored else AlreadyRecorded(pending.subject, own)
        if pending.guard:
            newest = await self._reader.last(pending.guard.subject)
            if newest and newest.fact.id == pending.id:
                # A read may overtake our own publish inside the server: it has arrived since.
                return newest.seq
            if (newest.seq if newest else 0) != pending.guard.seq:
                return AlreadyRecorded(pending.subject, newest)
        return None

    def _unexplained(self, waiting: list[Pending], error: ApiError) -> None:
        """The server refused for reasons of its own (disk full, say): find out whom it means."""
        if len(waiting) > 1:
            for pending in waiting:
                pending.alone = True
        elif error.err_code:
            pending = waiting[0]
            pending.attempts += 1
            if pending.attempts >= ATTEMPTS:
                text = f"{pending.subject}: {error.description} ({error.err_code})"
                pending.settle(LogUnavailable(text))

    def _denied(self, subject: str, error: Exception) -> None:
        """Fail at once what this connection may not publish: the server answers nothing to it."""
        if pending := self._sent.get(subject):
            pending.settle(error)
