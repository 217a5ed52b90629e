"""The keeper of results: follows outcomes, looks after big ones, answers questions about all.

A blob that is not there is reported; the outcome of its task stands as the log has it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec
import prometheus_client
import structlog

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import JobDone, JobFailed, ResultStored
from contracts.ids import check_token, check_user
from contracts.result import (
    READ_BYTES,
    BlobDrop,
    BlobDropped,
    Kept,
    Pointer,
    ResultDelete,
    ResultFound,
    ResultListRequest,
    ResultPage,
    ResultRead,
    ResultRequest,
    ResultVerified,
)
from services.bus.bus import Handler
from services.log.port import Batch, Log, LogUnavailable
from services.log.projection import Projection, project
from services.process.supervisor import Mailbox
from services.results import domain, pages
from services.results import projection as view
from services.results.copies import Copies
from services.results.domain import OURS, Blob
from services.results.settings import Settings
from services.results.sources import InLog
from services.results.sweeper import ENDINGS, Sweeper
from services.store.blobs import BlobMissing, Blobs, StoreError

FILTERS = (*ENDINGS, subjects.REGISTERED, subjects.REMOVED)
WAITING = 1024
VIEW_S = 5.0
BLOBS_CHECKED = prometheus_client.Counter(
    "metamcp_results_blobs_total", "Pointers to results, by what the object store has.", ["found"]
)

log = structlog.get_logger()


class Keeper:
    """Knows where every result lies."""

    def __init__(
        self,
        log_: Log,
        projection: Projection,
        blobs: Blobs,
        copies: Copies,
        sweeper: Sweeper,
        settings: Settings,
    ) -> None:
        self._log = log_
        self._projection = projection
        self._blobs = blobs
        self._copies = copies
        self._sweeper = sweeper
        self._settings = settings
        self._in_log = InLog(log_)
        self._rows = view.Rows()
        self._unchecked: Mailbox[tuple[str, Pointer]] = Mailbox(WAITING)
        self._known_through = projection.position
        self.on_big: Callable[[], None] = lambda: None
        """Called when a big result has come: there may be something to move."""
        self.found: Counter[Blob] = Counter()
        """What the lookups of this run have found."""

    async def follow(self) -> None:
        """Keep the tables in step with the log, for ever."""
        await project(
            self._log,
            self._projection,
            FILTERS,
            self._rows.apply,
            load=self._load,
            on_batch=self._on_batch,
            on_reset=self._on_reset,
        )

    async def _load(self) -> None:
        await self._rows.restore(self._projection)
        self._known_through = self._projection.position

    async def check(self) -> None:
        """Look up the big results that arrive, for ever, a few at a time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.checks_at_once):
                group.create_task(self._check_next())

    def commands(self) -> dict[str, Handler]:
        """What it answers, by verb."""
        return {
            "get": self.get,
            "list": self.list_results,
            "verify": self.verify,
            "read": self.read,
            "delete": self.delete,
            "drop": self.drop,
        }

    async def get(self, payload: bytes) -> bytes:
        """Handle `cmd.results.get`."""
        kept = self._shown(await self._kept(domain.decoded(payload, ResultRequest)))
        if kept.kind != "inline" or kept.deleted:
            return msgspec.json.encode(ResultFound(kept))
        return msgspec.json.encode(ResultFound(kept, msgspec.Raw(await self._in_log.value(kept))))

    async def list_results(self, payload: bytes) -> bytes:
        """Handle `cmd.results.list`."""
        request = domain.decoded(payload, ResultListRequest)
        check_user(request.user)
        page = await pages.page(self._projection, request)
        shown = tuple(self._shown(kept) for kept in page.results)
        return msgspec.json.encode(ResultPage(shown, page.cursor, page.total, page.size))

    async def read(self, payload: bytes) -> bytes:
        """Handle `cmd.results.read`; the answer is the bytes alone."""
        request = domain.decoded(payload, ResultRead)
        wanted = ResultRequest(request.user, request.task, request.after)
        kept = self._there(await self._kept(wanted))
        if request.offset > kept.size:
            text = f"the result of task {kept.task} has {kept.size} bytes"
            raise Rejected(Reason.BAD_REQUEST, text)
        if kept.kind == "inline":
            value = await self._in_log.value(kept)
            return value[request.offset : request.offset + request.length]
        return await self._copies.read(kept, request.offset, request.length)

    async def verify(self, payload: bytes) -> bytes:
        """Handle `cmd.results.verify`: read all bytes and compare them with their digest."""
        kept = self._there(await self._kept(domain.decoded(payload, ResultRequest)))
        size = 0
        if kept.kind == "inline":
            size = len(await self._in_log.value(kept))
        while size < kept.size and (part := await self._copies.read(kept, size, READ_BYTES)):
            size += len(part)
        return msgspec.json.encode(ResultVerified(self._shown(kept), size))

    async def delete(self, payload: bytes) -> bytes:
        """Handle `cmd.results.delete`; again it changes nothing."""
        request = domain.decoded(payload, ResultDelete)
        wanted = ResultRequest(request.user, request.task, request.after)
        kept = await self._kept(wanted)
        if not kept.deleted:
            await self._sweeper.delete(kept, request.reason)
            kept = await self._kept(wanted)
        return msgspec.json.encode(self._shown(kept))

    async def drop(self, payload: bytes) -> bytes:
        """Handle `cmd.results.drop`."""
        request = domain.decoded(payload, BlobDrop)
        check_token(request.user, "user")
        try:
            size = await self._sweeper.drop(request.user, request.sha256)
        except (StoreError, LogUnavailable) as error:
            text = f"blob {request.sha256} was not deleted: {error}; try again"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        return msgspec.json.encode(BlobDropped(request.sha256, size))

    async def _kept(self, request: ResultRequest) -> Kept:
        check_user(request.user)
        check_token(request.task, "task")
        # Before the look: what is applied during it may be missing from what is seen.
        seen = self._projection.position
        kept = await view.get(self._projection, request.user, request.task)
        if kept is None and request.after > seen:
            await self._projection.shows(request.after, VIEW_S)
            kept = await view.get(self._projection, request.user, request.task)
        if kept is None:
            raise Rejected(Reason.NOT_FOUND, f"task {request.task} has no result (yet)")
        return kept

    def _there(self, kept: Kept) -> Kept:
        if kept.deleted:
            text = f"the result of task {kept.task} is gone: {kept.deleted}"
            raise Rejected(Reason.NOT_FOUND, text)
        return kept

    def _shown(self, kept: Kept) -> Kept:
        until = domain.expires(kept, self._settings.retention_days)
        return msgspec.structs.replace(kept, expires=until) if until else kept

    async def _on_batch(self, batch: Batch) -> None:
        for record in batch.records:
            # History that a rebuilt table reads again was looked up when it was new.
            if record.seq <= self._known_through or not (batch.live or self._known_through):
                continue
            match record.fact:
                case JobDone(result=Pointer() as pointer) as fact:
                    await self._enqueue(fact.task, pointer)
                    self.on_big()
                case (
                    ResultStored(pointer=pointer) | JobFailed(result=Pointer() as pointer)
                ) as fact:
                    await self._enqueue(fact.task, pointer)
                case _:
                    continue

    async def _enqueue(self, task: str, pointer: Pointer) -> None:
        if len(self._unchecked) < WAITING:
            await self._unchecked.put((task, pointer))
            return
        # A slow object store must not hold up the table.
        BLOBS_CHECKED.labels("skipped").inc()
        log.warning("result_not_checked", task=task, uri=pointer.uri, error="too many are waiting")

    def _on_reset(self) -> None:
        self._rows.reset()
        self._known_through = 0

    async def _check_next(self) -> None:
        while True:
            task, pointer = await self._unchecked.get()
            try:
                blob = await self._look_up(pointer)
            except StoreError as error:
                log.warning("result_not_checked", task=task, uri=pointer.uri, error=str(error))
                continue
            self.found[blob] += 1
            BLOBS_CHECKED.labels(blob.value).inc()
            if blob in (Blob.MISSING, Blob.WRONG_SIZE):
                log.error("result_blob_wrong", task=task, uri=pointer.uri, found=blob.value)

    async def _look_up(self, pointer: Pointer) -> Blob:
        if not pointer.uri.startswith(OURS):
            return Blob.FOREIGN
        try:
            return domain.judge(pointer, await self._blobs.info(pointer.uri))
        except BlobMissing:
            return Blob.MISSING
