"""Tasks from outside publishers: the durable INTAKE queue, and requests on `submit.<user>`.

The subject, never the payload, says who the user is. A message is acknowledged only after its fact
is on disk, or after its publisher has been told; one bad message stops nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import TaskCreated
from contracts.ids import intake_task_id, is_token
from contracts.wire import Refused
from services.bus.names import intake_error_subject
from services.gateway import domain
from services.gateway.actor import Desk
from services.log.port import AlreadyRecorded, Append, Delivery, Log, LogUnavailable
from services.process import telemetry, tracing
from services.store.blobs import StoreError

ROOM = 2048
"""Messages taken from the queue and not yet acknowledged."""
RETRY_S = 1.0
SUBMIT_SUBJECTS = "submit.*"

log = telemetry.get_logger()

Publish = Callable[[str, bytes], Awaitable[None]]


class Request(Protocol):
    """A NATS message that wants an answer."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None


class Intake:
    """Moves outside messages into the log. Any number may run: the queue shares them out."""

    def __init__(self, log_: Log, desk: Desk, publish: Publish, epoch: str) -> None:
        """`epoch`: creation time of the INTAKE stream, so that derived ids never repeat."""
        self._log = log_
        self._epoch = epoch
        self._desk = desk
        self._publish = publish
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests = asyncio.Semaphore(ROOM)
        self.refused = 0
        """Messages whose publisher could only be told live."""

    async def run(self) -> None:
        """Work through the queue until cancelled; what is unfinished then comes again."""
        inbox = self._log.inbox(subjects.INTAKE_STREAM, subjects.INTAKE_DURABLE)
        inbox.want(ROOM)
        try:
            while True:
                deliveries = await inbox.receive()
                self._spawn(self._batch(deliveries, inbox.want))
        finally:
            await inbox.close()
            for task in list(self._tasks):
                task.cancel()

    async def answer(self, request: Request) -> None:
        """Take a request on `submit.<user>`; the answer is sent from a task of its own."""
        await self._requests.acquire()
        self._spawn(self._answer(request))

    async def _batch(self, deliveries: Sequence[Delivery], want: Callable[[int], None]) -> None:
        try:
            ready = await asyncio.gather(*(self._fact(delivery) for delivery in deliveries))
            pairs = [(d, f) for d, f in zip(deliveries, ready, strict=True) if f is not None]
            await self._append(pairs)
        finally:
            want(len(deliveries))

    async def _append(self, pairs: Sequence[tuple[Delivery, TaskCreated]]) -> None:
        items = [Append(fact, None, _trace(delivery, fact)) for delivery, fact in pairs]
        try:
            outcomes = await self._log.append_all(items)
        except LogUnavailable as error:
            log.warning("intake_waits_for_the_log", messages=len(pairs), error=str(error))
            for delivery, _ in pairs:
                await delivery.nak(RETRY_S)
            return
        for (delivery, fact), outcome in zip(pairs, outcomes, strict=True):
            if isinstance(outcome, AlreadyRecorded) and outcome.record is not None:
                try:
                    domain.sent_again(fact, outcome.record)
                except Rejected as refusal:
                    await self._refuse(fact.user, refusal, fact.task)
            await delivery.ack()

    async def _fact(self, delivery: Delivery) -> TaskCreated | None:
        """Return the fact for a message; None if it has been dealt with otherwise."""
        user = delivery.subject.split(".")[1]
        if not is_token(user):
            log.error("intake_subject_unknown", subject=delivery.subject)
            self.refused += 1
            await delivery.ack()
            return None
        origin = self._desk.origin(user, "nats")
        derived = intake_task_id(self._epoch, delivery.seq)
        try:
            request = domain.parse_task(delivery.data)
            return await self._desk.prepare(origin, request.id or derived, request)
        except Rejected as refusal:
            task = domain.id_in(delivery.data) or derived
            log.info("intake_invalid", user=user, task=task, reason=refusal.message)
            return domain.invalid_task(origin, task, delivery.data, refusal.message)
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

    async def _refuse(self, user: str, refusal: Rejected, task: str) -> None:
        self.refused += 1
        log.info("intake_refused", user=user, task=task, reason=refusal.message)
        await self._send(intake_error_subject(user), Refused(refusal.reason, refusal.message, task))

    async def _answer(self, request: Request) -> None:
        try:
            user = request.subject.split(".")[1]
            body: msgspec.Struct
            task = ""
            try:
                parsed = domain.parse_task(request.data)
                task = parsed.id or ""
                trace = (request.headers or {}).get("traceparent", "")
                body = (await self._desk.submit(user, parsed, "nats", trace)).accepted
            except Rejected as refusal:
                body = Refused(refusal.reason, refusal.message, getattr(refusal, "task", task))
            except Exception:
                log.exception("intake_request_failed", user=user)
                body = Refused(Reason.INTERNAL, "the gateway failed; its log has the reason", task)
            if request.reply:
                await self._send(request.reply, body)
        finally:
            self._requests.release()

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


def _trace(delivery: Delivery, fact: TaskCreated) -> str:
    """The span of taking this message, in its publisher's trace if it names one."""
    return tracing.passed("take task", delivery.trace, user=fact.user, task=fact.task)
