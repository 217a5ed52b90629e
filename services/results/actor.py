"""The keeper of results: follows outcomes, looks after big ones, answers questions about all.

A blob that is not there is reported; the outcome of its task stands as the log has it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
import prometheus_client
import structlog

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import JobDone, ResultStored
from contracts.ids import check_token
from contracts.result import Inline, Pointer
from services.actor import Mailbox
from services.log import Batch, Log
from services.projection import Projection, project
from services.results import domain
from services.results import projection as view
from services.results.domain import Blob, Found, GetRequest, Kept, ListRequest, Verified
from services.store import BlobCorrupt, BlobMissing, Blobs, StoreError

FILTERS = (subjects.DONE, *subjects.RESULTS)
WAITING = 1024
OURS = f"nats://{subjects.BLOBS_BUCKET}/"
BLOBS_CHECKED = prometheus_client.Counter(
    "metamcp_results_blobs_total", "Pointers to results, by what the object store has.", ["found"]
)

log = structlog.get_logger()

R = TypeVar("R", bound=msgspec.Struct)


class Keeper:
    """Knows where every result lies."""

    def __init__(self, log_: Log, projection: Projection, blobs: Blobs, checks: int = 4) -> None:
        self._log = log_
        self._projection = projection
        self._blobs = blobs
        self._unchecked: Mailbox[tuple[str, Pointer]] = Mailbox(WAITING)
        self._checks = checks
        self._known_through = projection.position
        self.found: Counter[Blob] = Counter()
        """What the lookups of this run have found."""

    async def follow(self) -> None:
        """Keep the table in step with the log, for ever."""
        await project(
            self._log,
            self._projection,
            FILTERS,
            view.apply,
            on_batch=self._on_batch,
            on_reset=self._on_reset,
        )

    async def check(self) -> None:
        """Look up the big results that arrive, for ever, a few at a time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._checks):
                group.create_task(self._check_next())

    async def get(self, payload: bytes) -> bytes:
        """Handle `cmd.results.get`."""
        kept = await self._kept(_decode(payload, GetRequest))
        if kept.kind != "inline" or kept.deleted:
            return msgspec.json.encode(Found(kept))
        return msgspec.json.encode(Found(kept, msgspec.Raw(await self._value(kept))))

    async def list_results(self, payload: bytes) -> bytes:
        """Handle `cmd.results.list`."""
        request = _decode(payload, ListRequest)
        check_token(request.user, "user")
        return msgspec.json.encode(await view.page(self._projection, request))

    async def verify(self, payload: bytes) -> bytes:
        """Handle `cmd.results.verify`: read all bytes and compare them with their digest."""
        kept = await self._kept(_decode(payload, GetRequest))
        size = 0
        async for chunk in self.read(kept):
            size += len(chunk)
        return msgspec.json.encode(Verified(kept, size))

    async def read(self, kept: Kept) -> AsyncIterator[bytes]:
        """Yield the result's bytes; when they end without an error, they were the right ones.

        Raises Rejected: NOT_FOUND, DIGEST_MISMATCH, UNAVAILABLE.
        """
        if kept.deleted:
            raise Rejected(
                Reason.NOT_FOUND, f"the result of task {kept.task} is gone: {kept.deleted}"
            )
        if kept.kind == "inline":
            yield await self._value(kept)
            return
        try:
            pointer = Pointer(kept.uri, kept.sha256, kept.size, kept.media_type)
            async for chunk in self._blobs.get(pointer):
                yield chunk
        except BlobMissing as error:
            raise Rejected(Reason.NOT_FOUND, str(error)) from error
        except BlobCorrupt as error:
            raise Rejected(Reason.DIGEST_MISMATCH, str(error)) from error
        except StoreError as error:
            raise Rejected(Reason.UNAVAILABLE, str(error)) from error

    async def _kept(self, request: GetRequest) -> Kept:
        check_token(request.user, "user")
        check_token(request.task, "task")
        kept = await view.get(self._projection, request.user, request.task)
        if kept is None:
            raise Rejected(Reason.NOT_FOUND, f"task {request.task} has no result (yet)")
        return kept

    async def _value(self, kept: Kept) -> bytes:
        """An inline value, from the log itself: it is not stored a second time."""
        record = await self._log.at(kept.seq)
        if record is None or not isinstance(record.fact, JobDone):
            raise Rejected(Reason.NOT_FOUND, f"the log has lost the result of task {kept.task}")
        if not isinstance(record.fact.result, Inline):
            raise Rejected(Reason.DIGEST_MISMATCH, f"task {kept.task} has another kind of result")
        return domain.checked(record.fact.result)

    async def _on_batch(self, batch: Batch) -> None:
        for record in batch.records:
            # History that a rebuilt table reads again was looked up when it was new.
            if record.seq <= self._known_through or not (batch.live or self._known_through):
                continue
            match record.fact:
                case JobDone(result=Pointer() as pointer) as fact:
                    await self._enqueue(fact.task, pointer)
                case ResultStored(pointer=pointer) as fact:
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


def _decode(payload: bytes, type_: type[R]) -> R:
    try:
        return msgspec.json.decode(payload, type=type_)
    except msgspec.DecodeError as error:
        raise Rejected(Reason.BAD_REQUEST, f"this is no {type_.__name__}: {error}") from None
