"""The desk: takes tasks, cancellations and preferences; accepted is only what is on disk.

Every door (HTTP, websocket, NATS) comes here; the rules are in `domain`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import Record, TaskCreated
from contracts.ids import is_token
from contracts.result import INLINE_LIMIT, Pointer
from contracts.status import TaskView, begin
from contracts.task import TaskRequest
from contracts.wire import Accepted
from services.gateway import domain
from services.gateway.access.admission import Admission
from services.gateway.access.identity import Principal
from services.gateway.domain import Origin
from services.gateway.people.load import ProjectGate
from services.gateway.seats import Seats
from services.gateway.sources.repository import RepositoryFiles
from services.log.port import AlreadyRecorded, Append, Log, LogUnavailable
from services.process import telemetry, tracing
from services.process.ids import new_id
from services.store.blobs import BlobMissing, Blobs, StoreError, StoreFull
from services.store.usage import Usage

ANSWER_S = 5.0
"""How long a client waits for the log before it is told to ask again."""
IN_FLIGHT = 4096
"""Submissions at once; more wait for a place."""
MOST_USERS = 10_000
TASK_FACTS = 1000
TRIES = 10
"""How often a preference is decided again because another request was first."""

log = telemetry.get_logger()


class Unanswered(Rejected):
    """The log did not answer in time: whether the task was stored is not known."""

    def __init__(self, task: str) -> None:
        super().__init__(
            Reason.UNAVAILABLE,
            f"the log or the object store does not answer; task {task} may have been stored all"
            " the same. Send it again with this id: that is safe",
        )
        self.task = task


class Submitted(NamedTuple):
    """A task on disk: what its submitter is told, and the fact that says so."""

    accepted: Accepted
    fact: TaskCreated
    at: float
    """When: by the log of one that was there, by our clock of a new one."""

    @property
    def view(self) -> TaskView:
        """The task as it was created. Nobody is asked."""
        return begin(Record(self.accepted.seq, self.at, "", self.fact, b""), self.fact)


class _Draft(NamedTuple):
    """A task on its way to the log together with others."""

    fact: TaskCreated
    span: tracing.Span


class Desk:
    """Submits and cancels for all users, and reads single tasks from the log itself."""

    def __init__(
        self,
        log: Log,
        blobs: Blobs,
        instance: str,
        admission: Admission | None = None,
        *,
        gate: ProjectGate,
        files: RepositoryFiles | None = None,
    ) -> None:
        self._log = log
        self._blobs = blobs
        self._by = instance
        self.admission = admission or Admission()
        self.gate, self.files = gate, files
        self._seats = Seats(IN_FLIGHT)
        self._newest: OrderedDict[str, int] = OrderedDict()

    async def submit(
        self, who: Principal, request: TaskRequest, source: str, trace: str = ""
    ) -> Submitted:
        """Store a task and return what stands in the log once it is on disk.

        Raises Rejected; Unanswered (a Rejected) when the log is away for 5 s.
        """
        user = who.user
        task, now = request.id if request.id is not None else new_id(), time.time()
        span = tracing.received("submit task", trace, tracing.PRODUCER, user=user, task=task)
        try:
            size = domain.rough_size(request)
            with span, self.admission.on_its_way(user, task, size, operator=who.operator):
                async with self.gate.on_its_way(user, task, request.project):
                    whole = await self._with_files(who, task, request)
                    async with asyncio.timeout(ANSWER_S), self._seats:
                        origin, fetched = self.origin(who, source), whole is not request
                        fact = await self.prepare(origin, task, whole, fetched=fetched)
                        seq = await self._log.append(fact, trace=span.traceparent)
        except AlreadyRecorded as known:
            return _sent_again(fact, known)
        except (TimeoutError, LogUnavailable, StoreError) as error:
            if isinstance(error, LogUnavailable):
                self.admission.reserve.appended(error)
            raise Unanswered(task) from error
        self.remember(user, seq)
        self.admission.reserve.appended(None)
        return Submitted(Accepted(task, seq), fact, now)

    async def _with_files(self, who: Principal, task: str, request: TaskRequest) -> TaskRequest:
        if self.files is None:
            return request
        found = await self.files.into(self, who.user, task, request, operator=who.operator)
        return found or request

    async def submit_small(
        self, who: Principal, requests: Sequence[TaskRequest], source: str
    ) -> list[Submitted | Exception]:
        """Store tasks whose inputs are small (`domain.is_small`), with one wait for all of them.

        For each, in order, what `submit` would return or raise.
        """
        now = time.time()
        drafts = [self._draft(who, request, source) for request in requests]
        stored = iter(await self._stored([d for d in drafts if isinstance(d, _Draft)]))
        outcomes = [_outcome(d, next(stored), now) if isinstance(d, _Draft) else d for d in drafts]
        if told := [one.accepted.seq for one in outcomes if isinstance(one, Submitted)]:
            self.remember(who.user, max(told))
        return outcomes

    def _draft(self, who: Principal, request: TaskRequest, source: str) -> _Draft | Exception:
        user, task = who.user, request.id if request.id is not None else new_id()
        span = tracing.received("submit task", "", tracing.PRODUCER, user=user, task=task)
        try:
            input_ = domain.plain_input(request.input)
            fact = domain.admit(self.origin(who, source), task, request, input_)
            self.admission.begin(user, task, domain.rough_size(request), operator=who.operator)
            return _Draft(fact, span)
        except Exception as error:
            _end(span, error)
            return error

    async def _stored(self, drafts: Sequence[_Draft]) -> Sequence[int | BaseException]:
        """What has become of each in the log."""
        outcomes: Sequence[int | BaseException] = [asyncio.CancelledError()] * len(drafts)
        try:
            outcomes = await self._answered(drafts)
        finally:
            self._settled(drafts, outcomes)
        return outcomes

    def _settled(self, drafts: Sequence[_Draft], outcomes: Sequence[int | BaseException]) -> None:
        """What is not new in the log is not on its way there any more either."""
        failed: Exception | None = None
        for draft, outcome in zip(drafts, outcomes, strict=True):
            if not isinstance(outcome, int):
                self.admission.end(draft.fact.user, draft.fact.task)
                failed = outcome if isinstance(outcome, LogUnavailable) else failed
        if drafts:
            self.admission.reserve.appended(failed)

    async def _answered(self, drafts: Sequence[_Draft]) -> Sequence[int | BaseException]:
        items = [Append(draft.fact, None, draft.span.traceparent) for draft in drafts]
        count = len(items)
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._seats.take(count, count)
                try:
                    return await self._appended(items)
                finally:
                    self._seats.give(count)
        except TimeoutError as error:
            return [error] * count
        except BaseException as error:
            for draft in drafts:
                _end(draft.span, error)
            raise

    async def _appended(self, items: Sequence[Append]) -> Sequence[int | BaseException]:
        try:
            return await self._log.append_all(items)
        except Exception:
            # This is about one of them. Alone each gets its own answer; the stored ones stay so.
            alone = (self._log.append(item.fact, trace=item.trace) for item in items)
            return await asyncio.gather(*alone, return_exceptions=True)

    async def prepare(
        self, origin: Origin, task: str, request: TaskRequest, *, fetched: bool = False
    ) -> TaskCreated:
        """Return the fact for a request, its input moved to the object store if it is large.

        `fetched`: files of a repository are in the input. Raises Rejected, StoreError.
        """
        pointer = request.input_pointer
        if pointer is not None:
            domain.check_pointer(origin.user, pointer, request.input)
            return domain.admit(origin, task, request, await self._uploaded(pointer))
        if len(request.input) > INLINE_LIMIT:
            await asyncio.sleep(0)  # Reading it took the loop for milliseconds; so will its form.
        input_ = (domain.canonical_input if fetched else domain.plain_input)(request.input)
        if len(input_) <= INLINE_LIMIT:
            return domain.admit(origin, task, request, input_)
        # What is wrong with the rest is said before anything is stored.
        domain.admit(origin, task, request, b"{}")
        await asyncio.sleep(0)
        stored = await self._put(origin.user, input_, "application/json")
        return domain.admit(origin, task, request, stored)

    async def cancel(self, user: str, task: str, trace: str = "") -> int:
        """Ask to end a task; return the sequence of the request, or of an earlier one.

        Raises Rejected, Unanswered.
        """
        span = tracing.received("cancel task", trace, tracing.PRODUCER, user=user, task=task)
        try:
            with span:
                async with asyncio.timeout(ANSWER_S):
                    view = await self.view(user, task)
                    fact = domain.cancel(self._own(user), view, task)
                    seq = await self._log.append(fact, trace=span.traceparent)
        except AlreadyRecorded as known:
            return known.record.seq if known.record else 0
        except (TimeoutError, LogUnavailable) as error:
            raise Unanswered(task) from error
        self.remember(user, seq)
        return seq

    async def prefer(
        self,
        user: str,
        host: str,
        weight: float | None,
        *,
        usable: bool,
        trace: str = "",
        operator: bool = False,
    ) -> int:
        """Store how much a user wants a host (None: no matter); return the fact's sequence.

        What holds already is not stored again: its sequence then, 0 if nothing was ever said.
        Raises OverBudget, Rejected.
        """
        self.admission.check_fact(user, operator=operator)
        try:
            async with asyncio.timeout(ANSWER_S):
                seq = await self._prefer(user, host, weight, usable, trace)
        except (TimeoutError, LogUnavailable) as error:
            raise Rejected(
                Reason.UNAVAILABLE,
                f"the log does not answer; what you said about host {host} may have been stored all"
                " the same. Send it again: that is safe",
            ) from error
        self.remember(user, seq)
        return seq

    async def _prefer(
        self, user: str, host: str, weight: float | None, usable: bool, trace: str
    ) -> int:
        for _ in range(TRIES):
            last = await self._last_said(user, host)
            fact = domain.prefer(self._own(user), host, domain.said(last), weight, usable=usable)
            if fact is None:
                return last.seq if last else 0
            with contextlib.suppress(AlreadyRecorded):
                return await self._log.append(fact, trace=trace)
        text = f"other requests change what you say about host {host}: try again"
        raise Rejected(Reason.CONFLICT, text)

    async def _last_said(self, user: str, host: str) -> Record | None:
        for filter_ in subjects.preferences(user, host):
            if (last := await self._log.last(filter_)) is not None:
                return last
        return None

    async def first_view(self, sent: Submitted) -> TaskView:
        """Return a task just after it was sent: a new one as it was created, so without reading."""
        return await self.latest(sent) if sent.accepted.duplicate else sent.view

    async def latest(self, sent: Submitted) -> TaskView:
        """Return a task as the log has it now; as it was created while the log can't be read."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self.view(sent.fact.user, sent.fact.task) or sent.view
        except (TimeoutError, LogUnavailable) as error:
            log.warning("accepted_task_not_read", task=sent.fact.task, error=str(error))
            return sent.view

    async def view(self, user: str, task: str) -> TaskView | None:
        """Return a task as the log has it now; see `domain.view`."""
        return domain.view(task, await self.facts(user, task))

    async def facts(self, user: str, task: str) -> list[Record]:
        """Return all facts of a task in order. Raises LogUnavailable."""
        if not is_token(task):
            return []
        wanted = subjects.of_task(user, task)
        return await self._log.read(wanted, TASK_FACTS, reach=self.newest(user))

    def origin(self, who: Principal, source: str) -> Origin:
        """Return what a new task of theirs carries."""
        roles = tuple(sorted(who.powers)) if who.roles else ()
        return Origin(who.user, source, new_id(), self._by, who.asked_by, roles)

    def _own(self, user: str) -> Origin:
        """What any other fact of this user carries."""
        return Origin(user, "api", new_id(), self._by)

    def newest(self, user: str) -> int:
        """Return the last sequence this user was told here: lists must have reached it."""
        return self._newest.get(user, 0)

    async def upload(
        self, user: str, data: AsyncIterator[bytes], media_type: str, *, operator: bool = False
    ) -> Pointer:
        """Store a blob. Raises OverBudget, Rejected(TOO_LARGE, DISK_FULL), StoreError."""
        with self.admission.upload(user, operator=operator):
            return await self._put(user, data, media_type)

    async def _put(self, user: str, data: bytes | AsyncIterator[bytes], media_type: str) -> Pointer:
        try:
            return await self._blobs.put(user, data, media_type)
        except StoreFull as error:
            raise Rejected(Reason.DISK_FULL, str(error)) from error

    @property
    def usage(self) -> Usage:
        """What users have in the object store."""
        return self._blobs.usage

    def download(self, pointer: Pointer) -> AsyncIterator[bytes]:
        """Yield a blob's bytes; see `Blobs.get` for what it raises, and when."""
        return self._blobs.get(pointer)

    async def _uploaded(self, pointer: Pointer) -> Pointer:
        try:
            return await self._blobs.info(pointer.uri)
        except BlobMissing:
            raise Rejected(
                Reason.BAD_REQUEST, "`input_pointer` names nothing: send it with PUT /api/blobs"
            ) from None

    def remember(self, user: str, seq: int) -> None:
        """This user was told of that sequence."""
        self._newest[user] = max(seq, self._newest.pop(user, 0))
        if len(self._newest) > MOST_USERS:
            self._newest.popitem(last=False)


def _end(span: tracing.Span, error: BaseException) -> None:
    """The work that a span tells of has failed."""
    span.fail(type(error).__name__)
    span.end()


def _outcome(draft: _Draft, stored: int | BaseException, now: float) -> Submitted | Exception:
    fact, span = draft
    if isinstance(stored, int):
        span.end()
        return Submitted(Accepted(fact.task, stored), fact, now)
    _end(span, stored)
    match stored:
        case AlreadyRecorded():
            try:
                return _sent_again(fact, stored)
            except Rejected as refusal:
                return refusal
        case TimeoutError() | LogUnavailable():
            return Unanswered(fact.task)
        case Exception():
            return stored
    raise stored


def _sent_again(fact: TaskCreated, known: AlreadyRecorded) -> Submitted:
    """The answer about a task that was there. Raises Rejected."""
    if known.record is None:
        raise Unanswered(fact.task) from known
    return Submitted(domain.sent_again(fact, known.record), fact, known.record.at)
