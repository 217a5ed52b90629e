"""Retention: results that are old enough are deleted, and bytes that nothing refers to are dropped.

The fact comes first and the bytes go after it; what a crash leaves in between, a sweep finds.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable

import structlog
from prometheus_client import Counter

from contracts import subjects
from contracts.account import Provider
from contracts.errors import Reason, Rejected
from contracts.facts import ResultDeleted
from contracts.result import Kept
from services.huggingface.datasets import Datasets
from services.huggingface.hub import HubError
from services.keys.accounts import Accounts
from services.keys.vault import VaultError
from services.log.port import AlreadyRecorded, Log, LogUnavailable
from services.log.projection import Projection
from services.process.ids import new_id
from services.results import domain
from services.results import projection as view
from services.results.settings import Settings
from services.store.blobs import Blobs, ListedBlob, StoreError

MOST = 1000
"""Results that one sweep deletes, and blobs it drops; the next one goes on."""
PAGE = 1000
"""Deleted results whose bytes are taken away at once."""
MOVE_BYTES = 2**32
"""Bytes in blobs of earlier releases that one sweep moves to where blobs lie now."""
ERASE_DAYS = 7
"""How long bytes of deleted results are looked for in Datasets."""
REFER = frozenset({"job.done", "job.failed", "result.stored"})
"""Types of facts that refer to bytes: while some can't be read, no bytes are taken away."""
ENDINGS = (subjects.DONE, subjects.FAILED, *subjects.RESULTS)
"""Where they stand, and with them those that say that bytes are gone."""
REACHED_S = 10.0
LAGS = "the tables lag behind the log: what refers to the bytes is not known"
DELETED = Counter("metamcp_results_deleted", "Results deleted by policy or on request.")
DROPPED = Counter("metamcp_blobs_dropped", "Blobs dropped because nothing refers to them.")

log = structlog.get_logger()


class Sweeper:
    """Deletes and drops. `run` it; `delete` is for owners who ask."""

    def __init__(
        self,
        log_: Log,
        projection: Projection,
        blobs: Blobs,
        datasets: Datasets,
        accounts: Accounts,
        settings: Settings,
        by: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._log = log_
        self._projection = projection
        self._blobs = blobs
        self._datasets = datasets
        self._accounts = accounts
        self._settings = settings
        self._by = by
        self._now = now

    async def run(self) -> None:
        """Sweep for ever; the first time soon after the start, then at times of its own."""
        wait = min(60.0, self._settings.sweep_s)
        while True:
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))
            wait = self._settings.sweep_s
            try:
                await self.sweep()
            except (StoreError, LogUnavailable, HubError, Rejected) as error:
                log.warning("sweep_broken_off", error=str(error))

    async def sweep(self) -> None:
        """Do once what is due. Raises StoreError, LogUnavailable."""
        if not await self._caught_up():
            log.warning("sweep_put_off", error=LAGS)
            return
        if days := self._settings.retention_days:
            for kept in await view.outlived(self._projection, self._days_ago(days), MOST):
                await self.delete(kept, f"retention: older than {days:g} days", erase=False)
        if unread := self._projection.passed_over & REFER:
            # What could not be read may refer to any bytes.
            log.warning("bytes_kept", why="facts can't be read", types=sorted(unread))
        else:
            await self._drop_blobs()
            await self._erase_from_datasets()
        await self._tidy()
        await self._datasets.trim(self._settings.hub_cache_bytes)

    async def _tidy(self) -> None:
        """What has nothing to do with what refers to the bytes."""
        if lost := await self._blobs.drop_lost():
            log.info("lost_chunks_dropped", blobs=lost)
        if moved := await self._blobs.move(MOVE_BYTES):
            log.info("blobs_moved", count=moved)

    async def delete(self, kept: Kept, reason: str, *, erase: bool = True) -> None:
        """Record that the result is gone; then, with `erase`, take its bytes away at once.

        Bytes in the log itself stay there: they are only shown to nobody any more.
        """
        fact = ResultDeleted(
            id=new_id(), by=self._by, user=kept.user, task=kept.task, reason=reason
        )
        try:
            seq = await self._log.append(fact)
            DELETED.inc()
        except AlreadyRecorded as known:
            seq = known.record.seq if known.record else 0
        reached = await self._projection.reached(seq, REACHED_S)
        if not erase or self._projection.passed_over & REFER:
            return
        if not reached:
            log.warning("result_not_erased_yet", task=kept.task, error=LAGS)
            return
        try:
            if domain.place_of(kept.uri) == "dataset":
                if not await view.shared(self._projection, kept):
                    await self._erase(kept.user, [kept])
            elif kept.uri and (blob := await self._blobs.find(kept.uri)):
                await self._drop(blob, domain.erasable_before(kept))
        except (StoreError, HubError, VaultError) as error:
            log.warning("result_not_erased_yet", task=kept.task, error=str(error))

    async def drop(self, user: str, sha256: str) -> int:
        """Drop bytes that their owner needs no more; return how many they were.

        Raises Rejected(NOT_FOUND, CONFLICT, UNAVAILABLE), StoreError, LogUnavailable.
        """
        uri = f"nats://{subjects.BLOBS_BUCKET}/{user}/{sha256}"
        blob = await self._blobs.find(uri)
        if blob is None:
            raise Rejected(Reason.NOT_FOUND, f"there is no blob {sha256}")
        if self._projection.passed_over & REFER:
            raise Rejected(Reason.CONFLICT, "facts that can't be read may refer to the blob")
        if await view.referred(self._projection, uri):
            text = f"blob {sha256} is the result of a task: delete that (DELETE /api/results/TASK)"
            raise Rejected(Reason.CONFLICT, text)
        if not await self._drop(blob, math.inf):
            raise Rejected(Reason.UNAVAILABLE, f"blob {sha256} was not deleted: try again")
        return blob.size

    def _days_ago(self, days: float) -> float:
        return self._now() - days * domain.DAY_S

    async def _caught_up(self) -> bool:
        """Whether the tables have what the log holds now of who refers to what."""
        newest = [await self._log.last(filter_) for filter_ in ENDINGS]
        seq = max((record.seq for record in newest if record), default=0)
        return await self._projection.reached(seq, REACHED_S)

    async def _drop_blobs(self) -> None:
        before = self._days_ago(self._settings.blob_days)
        after = dropped = 0
        while dropped < MOST and (page := await self._blobs.page(after)):
            after = page[-1].seq
            for blob in page:
                dropped += await self._drop(blob, before)
        if dropped:
            DROPPED.inc(dropped)
            log.info("blobs_dropped", count=dropped)

    async def _drop(self, blob: ListedBlob, before: float) -> bool:
        """Drop a blob that was stored last before this time and that nothing refers to.

        Whoever has its bytes stored again may not have said so in the log yet; but then the blob is
        not the one any more that was found.
        """
        if not blob.uri or blob.stored_at >= before:
            return False
        # Asked before, since most are referred to; and after, since by then all that was is known.
        if await view.referred(self._projection, blob.uri) or not await self._caught_up():
            return False
        if await view.referred(self._projection, blob.uri):
            return False
        return await self._blobs.delete(blob.uri, seq=blob.seq)

    async def _erase_from_datasets(self) -> None:
        if not await self._caught_up():
            return
        since = self._days_ago(ERASE_DAYS)
        after = 0
        while page := await view.erased(self._projection, since, after, PAGE):
            after = page[-1].seq
            gone: dict[str, list[Kept]] = {}
            for kept in page:
                gone.setdefault(kept.user, []).append(kept)
            for user, every in gone.items():
                try:
                    await self._erase(user, every)
                except (HubError, VaultError, StoreError) as error:
                    log.warning("results_not_erased_yet", user=user, error=str(error))

    async def _erase(self, user: str, every: list[Kept]) -> None:
        """Take files away; those gone already are none."""
        token = await self._accounts.token(user, Provider.HUGGINGFACE)
        if token is None:
            return
        for repo, paths in domain.by_repo(every).items():
            await self._datasets.delete(token, repo, paths, f"{len(paths)} results deleted")
