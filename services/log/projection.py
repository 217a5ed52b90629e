"""Moves facts from the log into a service's own view in SQLite: rows and checkpoint in one step.

The log is the truth: a file that is missing, damaged, of another version or log is built anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from contracts import subjects
from contracts.facts import Record, Unknown, words
from services.bus import metrics
from services.log.damage import ViewUnfit
from services.log.port import Batch, Checkpoint, Log, LogMismatch
from services.log.view import Change, Load, Projection, reads, view_path
from services.process.shielded import to_its_end

__all__ = ["Change", "Projection", "merge", "project", "reads", "view_path"]

_PASS_OVER = "REPLACE INTO passed_over VALUES (?, ?)"
MOST_WAITING = 32_768
MOST_BYTES = 32 * 1024 * 1024
"""Facts that are not written yet, and the size of their JSON: more are not taken."""
HALF = 0.5
"""Of these: from then on rows wait for no others."""
GATHER_S = 0.25
"""How long rows wait for others, so that what changes often is written once: the log has it all."""

log = structlog.get_logger()

Apply = Callable[[list[Record]], Sequence[Change]]
OnBatch = Callable[[Batch], Awaitable[None] | None]


class Pump:
    """Moves facts from the log into a projection.

    `on_batch` sees a batch at once. Rows are written behind: `apply` gets the facts of many batches
    together, so that what changed often is written once.
    """

    def __init__(
        self, projection: Projection, apply: Apply, on_batch: OnBatch | None, gather_s: float
    ) -> None:
        self._projection = projection
        self._apply = apply
        self._on_batch = on_batch
        self._gather_s = gather_s
        self._unwritten: list[Record] = []
        self._bytes = 0
        self._passed: dict[str, None] = {}
        """Types that `projection.passed_over` has, or will have with the rows."""
        self._mark = projection.checkpoint
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._stopping = asyncio.Event()

    async def take(self, batch: Batch, epoch: str) -> None:
        """Hand one batch on; waits when too much is unwritten."""
        for record in batch.records:
            if isinstance(record.fact, Unknown):
                self._pass_over(record, record.fact)
        if self._on_batch:
            waiting = self._on_batch(batch)
            if waiting is not None:
                await waiting
        self._unwritten += batch.records
        self._bytes += sum([len(record.data) for record in batch.records])
        if batch.through > self._mark.seq or not self._mark.epoch:
            self._mark = Checkpoint(epoch, batch.through, batch.named)
            self._projection.taken(batch.through)
        if self._mark != self._projection.checkpoint:
            self._wake.set()
        if (fill := self._fill()) > HALF:
            self._projection.awaited.set()
        if fill > 1:
            self._drained.clear()
            await self._drained.wait()

    def _pass_over(self, record: Record, fact: Unknown) -> None:
        """Count what can't be read, and say so once for each type."""
        kind = subjects.parse(record.subject).type
        metrics.UNKNOWN.labels(kind).inc()
        if kind not in self._passed:
            self._passed[kind] = None
            log.warning("fact_not_readable", subject=record.subject, seq=record.seq, error=fact.why)

    async def write(self) -> None:
        """Write what has been applied, until stopped."""
        while not self._stopping.is_set():
            await self._wake.wait()
            await self._gather()
            self._wake.clear()
            await self.flush()

    def _fill(self) -> float:
        """How much is unwritten, of the most that may be."""
        return max(len(self._unwritten) / MOST_WAITING, self._bytes / MOST_BYTES)

    async def _gather(self) -> None:
        """Let facts come together for one transaction, unless somebody waits for the rows."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._gather_s):
                await self._projection.awaited.wait()
        self._projection.awaited.clear()

    def stop(self) -> None:
        """Let `write` end after what it has begun."""
        self._stopping.set()
        self._wake.set()
        self._projection.awaited.set()

    async def flush(self) -> None:
        """Write everything taken so far in one transaction."""
        records, self._unwritten, self._bytes = self._unwritten, [], 0
        mark = self._mark
        if mark != self._projection.checkpoint:
            changes = [*self._apply(records)] if records else []
            news = self._passed.keys() - self._projection.passed_over
            if news:
                changes.append(Change(_PASS_OVER, [(kind, words()) for kind in news]))
            await self._projection.keep(merge(changes), mark, self._stopping)
            self._projection.passed_over |= news
        self._drained.set()


def merge(changes: Sequence[Change]) -> list[Change]:
    """Join neighbours that run the same statement: each statement costs a trip to the thread."""
    merged: list[tuple[str, list[Sequence[object]]]] = []
    for sql, rows in changes:
        if merged and merged[-1][0] == sql:
            merged[-1][1].extend(rows)
        else:
            merged.append((sql, list(rows)))
    return [Change(sql, rows) for sql, rows in merged]


async def project(
    log_: Log,
    projection: Projection,
    filters: Sequence[str],
    apply: Apply,
    *,
    load: Load | None = None,
    on_batch: OnBatch | None = None,
    on_mismatch: Callable[[], None] | None = None,
    on_reset: Callable[[], None] | None = None,
    gather_s: float = GATHER_S,
) -> None:
    """Open the projection and keep it in step with the log, for ever.

    A file that can't be used now is waited for. `load` takes over what is in it before the first
    batch, again after a failure. `on_batch` gets each batch as it comes; `apply` turns records,
    all of them seen by `on_batch` before, into changes of rows. When the log turns out to be
    another one, `on_mismatch` is called, and then, as when the file is damaged, `on_reset` (drop
    what you hold in memory); everything is built anew. Records that can't be read come as
    `Unknown`, are counted here, and their types stand in `passed_over`. `gather_s` is how long rows
    wait for others when nobody waits for them.
    """
    wrong: Exception | None = None
    while True:
        try:
            await projection.ready(load, wrong)
            wrong = None
            await _follow(log_, projection, filters, Pump(projection, apply, on_batch, gather_s))
        except (LogMismatch, ViewUnfit) as error:
            if on_mismatch and isinstance(error, LogMismatch):
                on_mismatch()
            wrong = error
            if on_reset:
                on_reset()


async def _follow(log_: Log, projection: Projection, filters: Sequence[str], pump: Pump) -> None:
    feeding = asyncio.create_task(_feed(log_, projection, filters, pump))
    writing = asyncio.create_task(pump.write())
    spoiled = asyncio.create_task(projection.spoiled.wait())
    try:
        await asyncio.wait((feeding, writing, spoiled), return_when=asyncio.FIRST_COMPLETED)
    finally:
        feeding.cancel()
        spoiled.cancel()
        await asyncio.wait((feeding, spoiled))
        pump.stop()
        # What they say of the log may be all that is known of it, when it was put back.
        await to_its_end(writing)
    if projection.damage is not None:
        raise projection.damage
    feeding.result()


async def _feed(log_: Log, projection: Projection, filters: Sequence[str], pump: Pump) -> None:
    async with contextlib.aclosing(log_.follow(filters, projection.checkpoint)) as batches:
        async for batch in batches:
            await pump.take(batch, log_.epoch)
            if batch.live:
                projection.caught_up()
