"""One claimed attempt: make the call within its limit, then write down how it ended, once.

Past the limit nothing is called and no success is written. Whoever is refused has been overtaken.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from contracts import subjects
from contracts.errors import Rejected
from contracts.facts import (
    FailureKind,
    TaskAnswered,
    TaskAsked,
    TaskCancelled,
    TaskCreated,
    Unknown,
)
from contracts.replay import repeatable
from contracts.result import Pointer, Result
from contracts.wire import PermitClaims
from services.executor import domain
from services.executor.attempt import asks, inquiry, output, plan, workspace
from services.executor.attempt.archive import Unpacked
from services.executor.attempt.attempt import Asked, Attempt, Ending, ToolRefusal, is_success
from services.executor.attempt.call import Call, HostError, Spooled
from services.executor.attempt.deadlines import Deadlines
from services.executor.attempt.ending import CalledOff, Stopped, ending
from services.executor.attempt.held import HeldCalls
from services.executor.attempt.live import LiveNews, Publish
from services.executor.attempt.patience import RETRY_S, patiently
from services.executor.attempt.tree import WorkspaceLimits
from services.executor.hosts.pool import Pool
from services.executor.settings import Settings
from services.log.port import AlreadyRecorded, Log, LogUnavailable
from services.outside.apart.pool import is_apart
from services.process import backoff, telemetry, tracing
from services.process.ids import new_id
from services.store.blobs import StoreError

RECHECK_S = 2.0
"""A claim older than this is looked up again before the call: this process may have been paused."""
UNPACK_AT_ONCE = 2
"""Archives unpacked side by side; the others wait, within their own limits."""

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


class Runner:
    """Runs claimed attempts."""

    def __init__(self, ports: Ports, settings: Settings, instance: str) -> None:
        self._ports = ports
        self._settings = settings
        self._by = instance
        self._deadlines = Deadlines()
        self._live = LiveNews(ports.publish)
        self.held = HeldCalls(ports.log, self._deadlines, instance, settings.held_calls)
        self._limits = WorkspaceLimits(settings.max_files, settings.max_files_bytes)
        self._unpacking = asyncio.Semaphore(UNPACK_AT_ONCE)
        # Not the loop's time: that stands still within one turn of the loop, also in a long pause.
        self._now = time.monotonic

    async def run(self, attempt: Attempt) -> None:
        """Call, and record the end."""
        telemetry.trace.set(attempt.trace or None)
        attempt.began = self._now()
        self._deadlines.watch(attempt)
        try:
            result = await self._work(attempt)
            # From here on only the limit may stop it: the work is done.
            attempt.calling = False
            await self._record(attempt, self._succeeded(attempt, result))
        except (Exception, asyncio.CancelledError) as error:
            self._deadlines.release(attempt)
            if isinstance(error, asyncio.CancelledError):
                if not attempt.absorb():
                    raise
                late = attempt.expired
            else:
                over = attempt.expired or self._now() >= attempt.deadline
                late = over and isinstance(error, TimeoutError)
            attempt.calling = False
            question = error.question if isinstance(error, HostError) else None
            await self._record(attempt, self._stopped(attempt, error, late=late), question)
        finally:
            self._deadlines.release(attempt)

    async def read(self, attempts: Sequence[Attempt]) -> Asked:
        """Fetch what was asked for, and what is wanted no more. Raises LogUnavailable."""
        names = dict.fromkeys(attempt.name for attempt in attempts)
        created = {subjects.created(*name): name for name in names}
        wanted = [*created, *(subjects.cancelled(*name) for name in names)]
        for attempt in attempts:
            wanted += inquiry.places(attempt.routed)
        asked = Asked({}, {}, set(), {})
        # A route names its task: that is in the log, whatever a replica says.
        reach = max(attempt.delivery.seq for attempt in attempts)
        for record in await self._ports.log.read_last(wanted, reach=reach):
            match record.fact:
                case TaskCreated() as fact:
                    asked.created[fact.user, fact.task] = fact
                case TaskCancelled() as fact:
                    asked.cancelled[fact.user, fact.task] = fact.reason
                case TaskAsked() | TaskAnswered() as fact:
                    asked.told.setdefault((fact.user, fact.task), []).append(fact)
                case Unknown() as fact if fact.subject in created:
                    asked.unread.add(created[fact.subject])
                case _:
                    pass
        return asked

    async def _asked(self, attempt: Attempt) -> Asked:
        """Wait for what was asked for; while the log is away, ask again."""
        reading = attempt.reading
        if reading.done() and reading.exception() is None:
            return reading.result()

        async def ask() -> Asked:
            if attempt.reading.done():
                attempt.reading = asyncio.create_task(self.read([attempt]))
            return await asyncio.shield(attempt.reading)

        return await patiently(attempt.course, "the task could not be read from the log", ask)

    async def _work(self, attempt: Attempt) -> Result:
        routed, course = attempt.routed, attempt.course
        attempt.calling = True
        if course.stopped:
            raise Stopped
        asked = await self._asked(attempt)
        attempt.created = asked.created.get(attempt.name)
        if course.cancelled is None:
            course.cancelled = asked.cancelled.get(attempt.name)
        if course.cancelled is not None:
            raise Stopped
        self._check(attempt, asked)
        space = workspace.Workspace(
            self._ports.workspaces, routed.user, routed.task, routed.attempt
        )
        try:
            call = await self._prepare(attempt, space)
            with tracing.begin("call host", attempt.trace, tracing.CLIENT, host=routed.route.host):
                value = await self._ports.pool.call(attempt.known, call)
            # Nothing may be awaited in between: what lies in a file is removed by `keep`.
            return await self._keep(attempt, value)
        except HostError as error:
            if error.answer is not None:
                await self._keep_refusal(attempt, error, error.answer)
            raise
        finally:
            if space.made:
                await space.remove()
            await self._live.rest(attempt)

    def _check(self, attempt: Attempt, asked: Asked) -> None:
        """See that this may be called for whoever has asked for it. Raises HostError."""
        routed, created, host = attempt.routed, attempt.created, attempt.known.host
        told = asked.told.get(attempt.name, [])
        why = inquiry.unread(routed, told)
        if attempt.name in asked.unread:
            why = "the executor's release can't read the task"
        if why:
            raise HostError(FailureKind.CUT, why, called=False)
        why = domain.unfit(routed, created)
        if not why and created is not None:
            why = domain.unpermitted(host, created) or inquiry.unapproved(
                host, routed, created, told
            )
        if why:
            raise HostError(FailureKind.BAD_INPUT, why)
        attempt.reply = inquiry.reply(routed, told)

    async def _keep(self, attempt: Attempt, value: dict[str, Any] | Spooled) -> Result:
        limit = attempt.known.host.limits.max_output_bytes
        return await output.keep(
            value, attempt.routed.user, self._ports.blobs, limit, attempt.course
        )

    async def _keep_refusal(
        self, attempt: Attempt, error: HostError, answer: dict[str, Any] | Spooled
    ) -> None:
        """Keep an answer that is an error. That it failed is certain, whatever becomes of it."""
        attempt.refused = ToolRefusal(error)
        try:
            attempt.refused = ToolRefusal(error, await self._keep(attempt, answer))
        except HostError as unfit:
            attempt.refused = ToolRefusal(error, why=unfit.message)
        except (Rejected, StoreError) as unkept:
            log.warning("answer_not_kept", task=attempt.routed.task, error=str(unkept))

    async def _prepare(self, attempt: Attempt, space: workspace.Workspace) -> Call:
        routed, spec, created = attempt.routed, attempt.spec, attempt.created
        raw = bytes(spec.input)
        if spec.input_pointer is not None:
            pointer = spec.input_pointer
            raw = await patiently(
                attempt.course,
                "the input could not be read",
                lambda: self._fetch(pointer, routed.user),
            )
        left_s = max(0.001, attempt.deadline - self._now())
        prepare = functools.partial(
            plan.prepare,
            *(attempt.known, routed, spec, raw, attempt.permit, left_s),
            judged=not is_apart(attempt.known.host),
            hidden=domain.hidden_tools(attempt.known.host, created) if created else frozenset(),
        )
        # To check thousands of pointers against a schema takes a while.
        large = spec.input_pointer is not None
        prepared = await asyncio.to_thread(prepare) if large else prepare()
        attempt.plan = prepared
        if prepared.remark:
            attempt.course.remark(prepared.remark)
        files, archive = prepared.input.get("files"), prepared.input.get("archive")
        if files or archive:
            found = await patiently(
                attempt.course,
                "the input's files could not be read",
                lambda: self._fill(space, routed.user, files, archive),
            )
            await self._tell(attempt, found)
        call = Call(
            prepared,
            space,
            functools.partial(self._live.progress, attempt),
            functools.partial(self._still_ours, attempt),
            self._settings.roots,
            attempt.course,
        )
        call.on_said = functools.partial(self._live.said, attempt)
        call.deadline = attempt.deadline
        call.isolated = routed.route.isolated
        call.reply = attempt.reply
        call.ask = functools.partial(self.held.ask, attempt, call)
        return call

    async def _fill(
        self, space: workspace.Workspace, user: str, files: Any, archive: Any
    ) -> Unpacked | None:
        """Write what the input brings along, all of it anew."""
        await space.remove()
        blobs, limits = self._ports.blobs, self._limits
        if not workspace.is_archive(archive):
            return await space.fill(user, files, blobs, limits)
        async with self._unpacking:
            return await space.fill(user, files, blobs, limits, archive)

    async def _tell(self, attempt: Attempt, found: Unpacked | None) -> None:
        """Say what came out of an archive: at once, in the log, and with the task's success."""
        if found is None:
            return
        remark = found.remark()
        attempt.course.remark(remark)
        log.info("archive_unpacked", task=attempt.routed.task, remark=remark)
        await self._live.progress(attempt, 0, None, remark)

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
            head = await self._ports.log.last(subjects.job_head(*attempt.name, 0).subject)
        except LogUnavailable:
            return False
        log.info("claim_checked", task=routed.task, ours=head is not None and head.seq)
        return head is not None and head.seq == attempt.seq

    async def _record(
        self, attempt: Attempt, fact: Ending, question: inquiry.HostQuestion | None = None
    ) -> None:
        """Append the end; while the log is away, try again.

        Raises TimeoutError for a success after the deadline. Should one be stored after all that
        was given up, the guard refuses what is recorded then.
        """
        failures = 0
        while True:
            if is_success(fact) and self._now() >= attempt.deadline:
                raise TimeoutError
            try:
                await asks.recorded(self._ports.log, attempt, fact, question, self._by)
            except AlreadyRecorded as error:
                log.info("attempt_overtaken", task=attempt.routed.task, found=str(error))
            except LogUnavailable as error:
                log.warning("end_not_recorded_yet", task=attempt.routed.task, error=str(error))
                failures += 1
                await asyncio.sleep(backoff.delay(failures, *RETRY_S, random.random()))
                continue
            else:
                attempt.ended(fact)
            return

    def _succeeded(self, attempt: Attempt, result: Result) -> Ending:
        elapsed_ms = (self._now() - attempt.began) * 1000
        fact = domain.succeeded(attempt.routed, result, self._by, new_id(), elapsed_ms)
        remarks = attempt.course.remarks
        return msgspec.structs.replace(fact, remarks=remarks) if remarks else fact

    def _stopped(self, attempt: Attempt, error: BaseException, *, late: bool) -> Ending:
        """The end of an attempt that did not succeed, as a fact."""
        refused = attempt.refused
        if refused is not None and attempt.course.cancelled is None:
            error, late = refused.error, False
        end = ending(attempt.course, error, attempt.budget_s, late=late)
        elapsed_ms = (self._now() - attempt.began) * 1000
        if isinstance(end, CalledOff):
            return domain.cancelled(attempt.routed, end.reason, self._by, new_id(), elapsed_ms)
        if end.mistake:
            log.error("attempt_broke", task=attempt.routed.task, exc_info=error)
        again = repeatable(
            end.kind,
            end.called,
            replayable=attempt.replayable,
            transient=end.transient,
            on_unknown=attempt.spec.on_unknown,
            retry_tool_errors=attempt.spec.retry_tool_errors,
        )
        log.info(
            "attempt_failed",
            task=attempt.routed.task,
            host=attempt.routed.route.host,
            kind=end.kind.value,
            retryable=again,
        )
        text, kept = end.message, None
        if refused is not None and (kept := refused.kept) is None:
            why = refused.why or attempt.course.lacks or "there was no time for that"
            text = f"{text}; the whole answer is not kept: {why}"
        ended = domain.Ended(end.kind, text, end.called, again, elapsed_ms, end.shared, kept)
        return domain.failed(attempt.routed, ended, self._by, new_id())
