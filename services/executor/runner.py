"""One claimed attempt: make the call within its limit, then write down how it ended, once.

Past the limit nothing is called and no success is written. Whoever is refused has been overtaken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from contracts import subjects
from contracts.errors import Rejected
from contracts.facts import (
    FailureKind,
    TaskCancelled,
    TaskCreated,
)
from contracts.replay import repeatable, replayable
from contracts.result import Pointer, Result
from contracts.wire import PermitClaims, Progress
from services.executor import domain
from services.executor.attempt import output, plan, workspace
from services.executor.attempt.attempt import Asked, Attempt, Ending, is_success
from services.executor.attempt.call import Call, HostError
from services.executor.hosts.pool import Pool
from services.executor.settings import Settings
from services.log.port import AlreadyRecorded, Log, LogUnavailable
from services.process import telemetry, tracing
from services.process.ids import new_id
from services.store.blobs import BlobCorrupt, BlobMissing

RECHECK_S = 2.0
"""A claim older than this is looked up again before the call: this process may have been paused."""
PROGRESS_S = 0.1
RETRY_S = (0.1, 2.0)

Publish = Callable[[str, bytes], Awaitable[None]]
"""Sends on a subject, at most once."""

log = telemetry.get_logger()


class Signs(Protocol):
    """Signs permits, with whichever key is current."""

    def sign(self, claims: PermitClaims) -> str:
        """Return the JWT."""


class Ports(NamedTuple):
    """The world outside, as an executor uses it."""

    log: Log
    pool: Pool
    key: Signs
    blobs: output.BlobStore | None
    publish: Publish
    workspaces: Path
    """Folder of this instance's workspaces."""


class CalledOff(Exception):
    """The user wanted the task cancelled before this attempt was claimed."""


class Runner:
    """Runs claimed attempts."""

    def __init__(self, ports: Ports, settings: Settings, instance: str) -> None:
        self._ports = ports
        self._settings = settings
        self._by = instance
        self._limits = workspace.WorkspaceLimits(settings.max_files, settings.max_files_bytes)
        # Not the loop's time: that stands still within one turn of the loop, also in a long pause.
        self._now = time.monotonic

    async def run(self, attempt: Attempt) -> None:
        """Call, and record the end."""
        telemetry.trace.set(attempt.trace or None)
        began = self._now()
        fact = await self._end(attempt, began)
        await self._record(attempt, fact, began)

    async def _end(self, attempt: Attempt, began: float) -> Ending:
        """Make the call and say how it ended."""
        try:
            if attempt.cancelled is not None:
                return self._cancelled(attempt, began)
            attempt.calling = True
            async with asyncio.timeout_at(attempt.deadline):
                result = await self._work(attempt)
            return self._succeeded(attempt, result, began)
        except HostError as error:
            return self._failed(attempt, error, began)
        except TimeoutError:
            return self._failed(attempt, _too_late(attempt), began)
        except CalledOff:
            return self._cancelled(attempt, began)
        except asyncio.CancelledError:
            if attempt.cancelled is None and not attempt.cut:
                raise
            _forget_cancellation()
            if attempt.cancelled is not None:
                return self._cancelled(attempt, began)
            stopped = HostError(FailureKind.CUT, "the executor was stopped", called=None)
            return self._failed(attempt, stopped, began)
        except Exception as error:
            log.exception("attempt_broke", task=attempt.routed.task)
            broken = HostError(FailureKind.CUT, f"error in the executor: {error!r}", called=None)
            return self._failed(attempt, broken, began)
        finally:
            attempt.calling = False

    async def read(self, attempts: Sequence[Attempt]) -> Asked:
        """Fetch what was asked for, and what is wanted no more. Raises LogUnavailable."""
        names = dict.fromkeys((a.routed.user, a.routed.task) for a in attempts)
        wanted = [of(*name) for name in names for of in (subjects.created, subjects.cancelled)]
        asked = Asked({}, {})
        for record in await self._ports.log.read_last(wanted):
            match record.fact:
                case TaskCreated() as fact:
                    asked.created[fact.user, fact.task] = fact
                case TaskCancelled() as fact:
                    asked.cancelled[fact.user, fact.task] = fact.reason
                case _:
                    pass
        return asked

    async def _asked(self, attempt: Attempt) -> Asked:
        """Wait for what was asked for; while the log is away, ask again."""
        delay, most = RETRY_S
        while True:
            try:
                return await asyncio.shield(attempt.reading)
            except LogUnavailable as error:
                log.warning("task_not_read_yet", task=attempt.routed.task, error=str(error))
                await asyncio.sleep(delay)
                delay = min(most, delay * 2)
                attempt.reading = asyncio.create_task(self.read([attempt]))

    async def _work(self, attempt: Attempt) -> Result:
        routed = attempt.routed
        if attempt.cut:
            raise HostError(FailureKind.CUT, "the executor is stopping", called=False)
        asked = await self._asked(attempt)
        attempt.created = asked.created.get((routed.user, routed.task))
        if attempt.cancelled is None:
            attempt.cancelled = asked.cancelled.get((routed.user, routed.task))
        if attempt.cancelled is not None:
            raise CalledOff
        if why := domain.unfit(routed, attempt.created):
            raise HostError(FailureKind.BAD_INPUT, why)
        space = workspace.Workspace(
            self._ports.workspaces, routed.user, routed.task, routed.attempt
        )
        try:
            call = attempt.call = await self._prepare(attempt, space)
            call.deadline = attempt.deadline
            with tracing.begin("call host", attempt.trace, tracing.CLIENT, host=call.plan.host.id):
                value = await self._ports.pool.call(attempt.known, call)
            # Nothing may be awaited in between: what lies in a file is removed by `keep`.
            limit = attempt.known.host.limits.max_output_bytes
            return await output.keep(value, routed.user, self._ports.blobs, limit)
        except (plan.BadInput, workspace.BadFiles, BlobMissing, BlobCorrupt) as error:
            raise HostError(FailureKind.BAD_INPUT, str(error)) from error
        except workspace.ForbiddenPath as error:
            raise HostError(FailureKind.FORBIDDEN_PATH, str(error)) from error
        finally:
            await space.remove()

    async def _prepare(self, attempt: Attempt, space: workspace.Workspace) -> Call:
        routed, spec = attempt.routed, attempt.spec
        raw = bytes(spec.input)
        if spec.input_pointer is not None:
            raw = await self._fetch(spec.input_pointer, routed.user)
        left_s = max(0.001, attempt.deadline - self._now())
        prepared = plan.prepare(attempt.known, routed, spec, raw, attempt.permit, left_s)
        if files := prepared.input.get("files"):
            await space.fill(routed.user, files, self._ports.blobs, self._limits)

        async def on_progress(progress: float, total: float | None, message: str) -> None:
            await self._progress(attempt, progress, total, message)

        async def still_ours() -> bool:
            return await self._still_ours(attempt)

        return Call(prepared, space, on_progress, still_ours, self._settings.roots)

    async def _fetch(self, pointer: Pointer, user: str) -> bytes:
        """Read an input that lies in the object store."""
        workspace.own(pointer, user)
        if self._ports.blobs is None:
            raise plan.BadInput("the input is in the object store, and there is none here")
        data = bytearray()
        async for part in self._ports.blobs.get(pointer):
            data += part
            if len(data) > self._settings.max_input_bytes:
                raise plan.BadInput(
                    f"the input is over {self._settings.max_input_bytes} bytes; big data belongs"
                    " into input.files"
                )
        return bytes(data)

    async def _still_ours(self, attempt: Attempt) -> bool:
        if self._now() - attempt.claimed_at < RECHECK_S:
            return True
        routed = attempt.routed
        try:
            head = await self._ports.log.last(_guard(attempt).subject)
        except LogUnavailable:
            return False
        log.info("claim_checked", task=routed.task, ours=head is not None and head.seq)
        return head is not None and head.seq == attempt.seq

    async def _progress(
        self, attempt: Attempt, progress: float, total: float | None, message: str
    ) -> None:
        """Pass progress on, at most ten times a second; nobody waits for it."""
        now = self._now()
        if now - attempt.reported_at < PROGRESS_S and progress != total:
            return
        attempt.reported_at = now
        routed = attempt.routed
        report = Progress(
            routed.user, routed.task, routed.attempt, progress, total, domain.bounded(message)
        )
        subject = subjects.progress(routed.user, routed.task)
        try:
            await self._ports.publish(subject, msgspec.json.encode(report))
        except Exception as error:
            log.debug("progress_not_sent", task=routed.task, error=repr(error))

    async def _record(self, attempt: Attempt, fact: Ending, began: float) -> None:
        """Append the end; while the log is away, try again: a success up to the deadline only."""
        delay, most = RETRY_S
        while True:
            if is_success(fact) and self._now() >= attempt.deadline:
                fact = self._failed(attempt, _too_late(attempt), began)
            try:
                async with asyncio.timeout_at(attempt.deadline if is_success(fact) else None):
                    await self._ports.log.append(fact, _guard(attempt), attempt.trace)
            except TimeoutError:
                # Should the success be stored after all, the guard refuses this.
                fact = self._failed(attempt, _too_late(attempt), began)
                continue
            except AlreadyRecorded as error:
                log.info("attempt_overtaken", task=attempt.routed.task, found=str(error))
            except Rejected as error:
                too_large = HostError(FailureKind.TOO_LARGE, error.message, called=True)
                fact = self._failed(attempt, too_large, began)
                continue
            except LogUnavailable as error:
                log.warning("end_not_recorded_yet", task=attempt.routed.task, error=str(error))
                await asyncio.sleep(delay)
                delay = min(most, delay * 2)
                continue
            else:
                attempt.ended(fact)
            return

    def _succeeded(self, attempt: Attempt, result: Result, began: float) -> Ending:
        elapsed_ms = (self._now() - began) * 1000
        return domain.succeeded(attempt.routed, result, self._by, new_id(), elapsed_ms)

    def _cancelled(self, attempt: Attempt, began: float) -> Ending:
        elapsed_ms = (self._now() - began) * 1000
        reason = attempt.cancelled or ""
        return domain.cancelled(attempt.routed, reason, self._by, new_id(), elapsed_ms)

    def _failed(self, attempt: Attempt, error: HostError, began: float) -> Ending:
        spec, call = attempt.spec, attempt.call
        called = error.called
        if called is not True and call is not None:
            # An earlier step of the same attempt may have reached the host.
            called = call.called if called is False else None
        host = attempt.known.host
        retryable = repeatable(
            error.kind,
            called,
            replayable=call.plan.replayable if call is not None else replayable(host, spec.type),
            transient=error.transient,
            on_unknown=spec.on_unknown,
            retry_tool_errors=spec.retry_tool_errors,
        )
        elapsed_ms = (self._now() - began) * 1000
        ended = domain.Ended(error.kind, error.message, called, retryable, elapsed_ms)
        log.info(
            "attempt_failed",
            task=attempt.routed.task,
            host=attempt.routed.route.host,
            kind=error.kind.value,
            retryable=retryable,
        )
        return domain.failed(attempt.routed, ended, self._by, new_id())


def _guard(attempt: Attempt) -> subjects.Guard:
    return subjects.job_head(attempt.routed.user, attempt.routed.task, attempt.seq)


def _too_late(attempt: Attempt) -> HostError:
    called = attempt.call.called if attempt.call is not None else False
    message = f"not done within {attempt.budget_s:g} s"
    return HostError(FailureKind.TIMEOUT, message, called=called)


def _forget_cancellation() -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
