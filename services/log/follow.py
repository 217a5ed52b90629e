"""Following the log: history first, then what is committed, without a gap.

A follower is a core subscription on the republished facts, and history for what it missed. One that
is too slow goes back to reading history (bounded memory).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from contracts.facts import Record
from contracts.subjects import live
from services.bus.client import Message
from services.log.port import (
    START,
    Batch,
    Batches,
    Checkpoint,
    LogMismatch,
    LogUnavailable,
    check_place,
    name_of,
)
from services.log.read import Reader
from services.log.replay import EVERYTHING
from services.log.wire import Wire, record_of

LIVE_BATCH = 512
BUSY = 8
"""Facts in one live batch from which on the next is given `GATHER_S` to grow."""
GATHER_S = 0.003
LIVE_BYTES = 32 * 1024 * 1024
PROBE_S = 2.0
"""After so long a silence the log is asked whether it was one."""
RECONCILE_S = 30.0
RETRY_S = 0.25

log = structlog.get_logger()


class Follower:
    """One reader's position in the log, and the live facts it has not taken yet."""

    def __init__(
        self, reader: Reader, wire: Wire, filters: Sequence[str], after: Checkpoint
    ) -> None:
        self._reader = reader
        self._wire = wire
        self._filters = tuple(filters)
        self._mark = after
        self._end = START
        """Where the last reading of history ended."""
        self._buffer: list[Message] = []
        self._bytes = 0
        self._taken = 0
        self._behind = True
        self._wake = asyncio.Event()
        self._silent_s = 0.0
        self._head = 0
        """Head of the log through which no live fact is missing."""

    async def batches(self) -> Batches:
        """Yield batches for ever; see `Log.follow`."""
        nc = self._wire.bus.nc
        subscriptions = [await nc.subscribe_direct(live(f), self._on_live) for f in self._filters]
        self._wire.bus.on_reconnected.append(self._lost_sight)
        try:
            while True:
                if self._behind:
                    async for batch in self._catch_up():
                        yield batch
                else:
                    batch = self._take()
                    if batch.records:
                        yield batch
                await self._pause()
        finally:
            self._wire.bus.on_reconnected.remove(self._lost_sight)
            for subscription in subscriptions:
                with contextlib.suppress(*self._wire.bus.publish_errors):
                    await subscription.unsubscribe()

    def _on_live(self, message: Message) -> None:
        if b"\r\nNats-Sequence: " not in message.head:
            return  # no fact: others use `live.` too, the intake's errors for one
        if self._bytes > LIVE_BYTES:
            self._lost_sight()
            return
        self._buffer.append(message)
        self._bytes += len(message.data)
        if not self._wake.is_set():
            self._wake.set()

    def _lost_sight(self) -> None:
        """Live facts may be missing: read history again from the last delivered one."""
        self._behind = True
        self._buffer.clear()
        self._bytes = 0
        self._wake.set()

    async def _pause(self) -> None:
        """Wait for news; in a silence ask the log whether it has any, from time to time all of it.

        In busy times facts are left to come together: each batch costs its readers the same.
        """
        if self._taken >= BUSY and not self._behind:
            self._taken = 0
            await asyncio.sleep(GATHER_S)
        if self._buffer or self._behind:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(PROBE_S):
                await self._wake.wait()
            self._silent_s = 0.0
        except TimeoutError:
            self._silent_s += PROBE_S
            await self._probe()

    async def _probe(self) -> None:
        """Go back to history if a live fact was lost; what comes meanwhile is not kept waiting."""
        asking = asyncio.create_task(self._missed())
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait((asking, waking), return_when=asyncio.FIRST_COMPLETED)
            if asking.done() and asking.result():
                self._silent_s, self._behind = 0.0, True
        finally:
            asking.cancel()
            waking.cancel()

    async def _missed(self) -> bool:
        """Whether the log has facts that did not come; one small question while it stands still."""
        if self._silent_s >= RECONCILE_S:
            return True
        try:
            _, head = await self._reader.info()
            if head == self._head:
                return False
            newest = await asyncio.gather(*(self._reader.last(f) for f in self._filters))
        except LogUnavailable:
            return False  # The next silence asks again.
        if any(record is not None and record.seq > self._mark.seq for record in newest):
            return True
        self._head = head
        return False

    async def _catch_up(self) -> Batches:
        self._behind = False
        try:
            head = await self._verify()
            if head <= self._mark.seq:
                yield Batch([], self._mark.seq, True, self._mark.fact_id)
            history = self._reader.replay(self._filters, self._mark.seq, head)
            async with contextlib.aclosing(history) as batches:
                async for batch in batches:
                    yield self._advance(batch)
        except LogUnavailable as error:
            log.warning("log_read_retried", error=str(error))
            self._behind = True
            await asyncio.sleep(RETRY_S)

    async def _verify(self) -> int:
        """Check that the log is the one the mark was made in; return where to read up to."""
        epoch, head = await self._reader.info()
        if self._mark == START:
            self._mark = Checkpoint(epoch, 0, "")
        mark = self._mark
        if mark.epoch != epoch:
            raise LogMismatch(
                f"the log was created at {epoch}; this view is of one from {mark.epoch}"
            )
        if mark.seq > head:
            raise LogMismatch(f"this view is at sequence {mark.seq}, the log ends at {head}")
        if mark.seq:
            check_place(mark, await self._reader.at(mark.seq))
        if self._filters == (EVERYTHING,) or head <= mark.seq:
            return head
        # What the filters choose may end before it, and a checkpoint names the fact it stands at.
        newest = await self._reader.last(EVERYTHING)
        if newest is None:
            return mark.seq
        self._end = Checkpoint(epoch, newest.seq, name_of(newest))
        return newest.seq

    def _take(self) -> Batch:
        """Take what has arrived live. A hole in a full subscription means history must be read."""
        messages, self._buffer = self._buffer[:LIVE_BATCH], self._buffer[LIVE_BATCH:]
        self._taken = len(messages)
        records: list[Record] = []
        through = self._mark.seq
        whole = self._filters == (EVERYTHING,)
        for message in messages:
            self._bytes -= len(message.data)
            record = record_of(message)
            if record.seq <= through:
                continue
            if whole and record.seq != through + 1:
                self._lost_sight()
                break
            records.append(record)
            through = record.seq
        return self._advance(Batch(records, through, live=True))

    def _advance(self, batch: Batch) -> Batch:
        """Go on to the end of a batch, and return it with that fact's name."""
        if batch.through == self._end.seq:
            batch = batch._replace(end=self._end.fact_id)
        if batch.through > self._mark.seq:
            self._mark = Checkpoint(self._mark.epoch, batch.through, batch.named)
        return batch
