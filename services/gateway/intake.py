"""Tasks from outside publishers: the durable INTAKE queue, and requests on `submit.…`.

The subject, never the payload, says who the user is. A message is acknowledged only after its fact
is on disk, or after its publisher has been told; one bad message stops nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import TaskCreated
from contracts.ids import check_user, intake_task_id, is_user
from contracts.result import INLINE_LIMIT
from contracts.task import TaskRequest
from contracts.wire import Refused
from services.bus.names import Sender, intake_error_subject, sender
from services.gateway import domain
from services.gateway.access.identity import NO_ROLES, Principal
from services.gateway.actor import Desk
from services.gateway.domain import Origin
from services.gateway.turns import Turns
from services.log.damage import ViewError
from services.log.port import AlreadyRecorded, Append, Delivery, Log, LogUnavailable
from services.process import telemetry, tracing
from services.store.blobs import StoreError

ROOM, ROOM_BYTES = 2048, 8 * 1024 * 1024
"""Messages taken from the queue and not yet acknowledged, and bytes of them.

The server cuts off who has 64 MiB of all its messages still to read.
"""
REQUESTS, REQUESTS_BYTES = 8192, 16 * 1024 * 1024
"""Requests that are being answered, and bytes of them."""
SHARE = 4
"""One publisher may have this part of them."""
RETRY_S = 1.0
SUBMIT_SUBJECTS = ("submit.*.*", "submit.*")
"""The latter is that of servers that were set up before release 0.5."""

log = telemetry.get_logger()

Publish = Callable[[str, bytes], Awaitable[None]]


class Request(Protocol):
    """A NATS message that wants an answer."""

    @property
    def subject(self) -> str:
        """`submit.<user>.<publisher>`."""

    @property
    def reply(self) -> str:
        """Where the answer goes; empty if nobody wants one."""

    @property
    def data(self) -> bytes:
        """A task."""

    def header(self, name: bytes) -> bytes:
        """One header's value; empty if it is not there."""


class UnderWay:
    """What is being answered, by publisher: none takes the room of all."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._users: dict[str, tuple[int, int]] = {}
        self._all = (0, 0)

    def enter(self, user: str, size: int) -> Rejected | None:
        """Take a request in; or why not."""
        mine, all_ = self._users.get(user, (0, 0)), self._all
        if self._over(mine, size, SHARE):
            text = "too many of your requests are under way: wait for answers"
            return Rejected(Reason.RATE_LIMITED, text)
        if self._over(all_, size, 1):
            text = "too many requests are under way: try again"
            return Rejected(Reason.UNAVAILABLE, text)
        self._users[user] = (mine[0] + 1, mine[1] + size)
        self._all = (all_[0] + 1, all_[1] + size)
        return None

    def leave(self, user: str, size: int) -> None:
        """It is answered."""
        count, bytes_ = self._users.pop(user)
        if count > 1:
            self._users[user] = (count - 1, bytes_ - size)
        self._all = (self._all[0] - 1, self._all[1] - size)

    def _over(self, now: tuple[int, int], size: int, part: int) -> bool:
        most, most_bytes = self._most // part, self._most_bytes // part
        return now[0] >= most or now[1] + size > most_bytes


class Intake:
    """Moves outside messages into the log. Any number may run: the queue shares them out."""

    def __init__(
        self,
        log_: Log,
        desk: Desk,
        publish: Publish,
        epoch: str,
        barred: Callable[[str], bool] = lambda user: False,
    ) -> None:
        """`epoch`: creation time of the INTAKE stream, so that derived ids never repeat.

        `barred`: whether a user's account may not come in.
        """
        self._barred = barred
        self._log = log_
        self._epoch = epoch
        self._desk = desk
        self._publish = publish
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = UnderWay(REQUESTS, REQUESTS_BYTES)
        self._turns = Turns()
        self._one_big = asyncio.Lock()
        self.refused = 0
        """Messages whose publisher could only be told live."""

    async def run(self) -> None:
        """Work through the queue until cancelled; what is unfinished then comes again."""
        inbox = self._log.inbox(subjects.INTAKE_STREAM, subjects.INTAKE_DURABLE, ROOM_BYTES)
        inbox.want(ROOM)
        try:
            while True:
                deliveries = await inbox.receive()
                self._spawn(self._batch(deliveries, inbox.want))
        finally:
            await inbox.close()
            for task in list(self._tasks):
                task.cancel()

    def answer(self, request: Request) -> None:
        """Take a request on `submit.…`; the answer is sent from a task of its own.

        Nobody waits here: behind one publisher's requests are those of the others.
        """
        user, size = sender(request.subject).user, len(request.data)
        why = self._under_way.enter(user, size)
        self._spawn(self._refuse_request(request, why) if why else self._answer(request))

    async def _batch(
        self, deliveries: Sequence[Delivery], want: Callable[[int, int], None]
    ) -> None:
        try:
            ready = await asyncio.gather(*(self._fact(delivery) for delivery in deliveries))
            pairs = [(d, f) for d, f in zip(deliveries, ready, strict=True) if f is not None]
            await self._append(pairs)
        finally:
            want(len(deliveries), sum(delivery.size for delivery in deliveries))

    async def _append(self, pairs: Sequence[tuple[Delivery, TaskCreated]]) -> None:
        items = [Append(fact, None, _trace(delivery, fact)) for delivery, fact in pairs]
        outcomes: Sequence[int | AlreadyRecorded | None] = [None] * len(pairs)
        try:
            outcomes = await self._log.append_all(items)
        except LogUnavailable as error:
            log.warning("intake_waits_for_the_log", messages=len(pairs), error=str(error))
            for delivery, _ in pairs:
                await delivery.nak(RETRY_S)
            return
        finally:
            # What has become new in the log is counted there, when it passes by.
            for (_, fact), outcome in zip(pairs, outcomes, strict=True):
                if not isinstance(outcome, int):
                    self._desk.admission.end(fact.user, fact.task)
                    self._desk.gate.end(fact.user, fact.task)
        for (delivery, fact), outcome in zip(pairs, outcomes, strict=True):
            if isinstance(outcome, AlreadyRecorded) and outcome.record is not None:
                try:
                    domain.sent_again(fact, outcome.record)
                except Rejected as refusal:
                    await self._refuse(fact.user, refusal, fact.task)
            await delivery.ack()

    async def _fact(self, delivery: Delivery) -> TaskCreated | None:
        """Return the fact for a message; None if it has been dealt with otherwise."""
        who = sender(delivery.subject)
        user = who.user
        if not is_user(user):
            log.error("intake_subject_unknown", subject=delivery.subject)
            self.refused += 1
            await delivery.ack()
            return None
        size = len(delivery.data)
        if self._barred(user):
            await self._refuse(user, _no_account(user), domain.id_in(delivery.data) or "")
            await delivery.ack()
            return None
        if size > INLINE_LIMIT:
            wait_s = self._turns.wait_s(user, delivery.seq, size, time.monotonic())
            if wait_s:
                await delivery.nak(wait_s)
                return None
        origin = self._desk.origin(_publisher(who), "nats")
        derived = intake_task_id(self._epoch, delivery.seq)
        try:
            self._desk.admission.check_frame(user)
            if size <= INLINE_LIMIT:
                return await self._read(origin, derived, delivery.data)
            async with self._one_big:
                # Reading one takes the loop for milliseconds: whoever waits for it has its turn.
                await asyncio.sleep(0)
                return await self._read(origin, derived, delivery.data)
        except Rejected as refusal:
            return await self._unfit(delivery, origin, derived, refusal)
        except StoreError as error:
            log.warning("intake_waits_for_the_store", error=str(error))
            await delivery.nak(RETRY_S)
            return None
        except Exception as error:
            log.exception("intake_failed", user=user)
            text = f"{type(error).__name__}: the gateway's log has it"
            await self._refuse(user, Rejected(Reason.INTERNAL, text), derived)
            await delivery.ack()
            return None

    async def _read(self, origin: Origin, derived: str, data: bytes) -> TaskCreated:
        request = domain.parse_task(data)
        return await self._prepared(origin, request.id or derived, request)

    async def _prepared(self, origin: Origin, task: str, request: TaskRequest) -> TaskCreated:
        admission, gate = self._desk.admission, self._desk.gate
        with admission.on_its_way(origin.user, task, domain.rough_size(request), operator=False):
            async with gate.on_its_way(origin.user, task, request.project):
                return await self._desk.prepare(origin, task, request)

    async def _unfit(
        self, delivery: Delivery, origin: Origin, derived: str, refusal: Rejected
    ) -> TaskCreated | None:
        """What is not taken is answered in the log, as long as its publisher may store facts."""
        user, task = origin.user, domain.id_in(delivery.data) or derived
        if refusal.reason is Reason.DISK_FULL or isinstance(refusal, ViewError):
            # There is room for it in the queue, which has its own limit.
            await delivery.nak(RETRY_S)
            return None
        try:
            self._desk.admission.check_fact(user)
        except Rejected as over:
            await self._refuse(user, over, task)
            await delivery.ack()
            return None
        log.info("intake_invalid", user=user, task=task, reason=refusal.message)
        return domain.invalid_task(origin, task, delivery.data, refusal.message)

    async def _refuse(self, user: str, refusal: Rejected, task: str) -> None:
        self.refused += 1
        log.info("intake_refused", user=user, task=task, reason=refusal.message)
        await self._send(intake_error_subject(user), Refused(refusal.reason, refusal.message, task))

    async def _refuse_request(self, request: Request, why: Rejected) -> None:
        if request.reply:
            await self._send(request.reply, Refused(why.reason, why.message, ""))

    async def _answer(self, request: Request) -> None:
        who, size = sender(request.subject), len(request.data)
        user = who.user
        try:
            body: msgspec.Struct
            task = ""
            try:
                self._check_account(user)
                self._desk.admission.check_frame(user)
                parsed = domain.parse_task(request.data)
                task = parsed.id or ""
                trace = request.header(b"traceparent").decode(errors="replace")
                check_user(user, "the publisher")
                asking = _publisher(who)
                body = (await self._desk.submit(asking, parsed, "nats", trace)).accepted
            except Rejected as refusal:
                body = Refused(refusal.reason, refusal.message, getattr(refusal, "task", task))
            except Exception:
                log.exception("intake_request_failed", user=user)
                body = Refused(Reason.INTERNAL, "the gateway failed; its log has the reason", task)
            if request.reply:
                await self._send(request.reply, body)
        finally:
            self._under_way.leave(user, size)

    def _check_account(self, user: str) -> None:
        if self._barred(user):
            raise _no_account(user)

    async def _send(self, subject: str, body: msgspec.Struct) -> None:
        try:
            await self._publish(subject, msgspec.json.encode(body))
        except Exception as error:
            log.warning("intake_answer_not_sent", subject=subject, error=repr(error))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("intake_task_failed", exc_info=error)


def _no_account(user: str) -> Rejected:
    return Rejected(Reason.FORBIDDEN, f"the account of {user} is disabled or deleted")


def _publisher(who: Sender) -> Principal:
    """Who asks: a service has no roles, whoever its user is."""
    return Principal(who.user, NO_ROLES, asked_by=f"publisher:{who.publisher}")


def _trace(delivery: Delivery, fact: TaskCreated) -> str:
    """The span of taking this message, in its publisher's trace if it names one."""
    return tracing.passed("take task", delivery.trace, user=fact.user, task=fact.task)
