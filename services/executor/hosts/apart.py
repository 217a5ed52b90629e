"""A session with a user's host, as the executor sees it: it is held in a worker process.

The worker makes the calls and judges what comes back. What decides about the attempt stays here:
whether it is still ours, and whether the host was called, noted before a request goes out.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from typing import Any

import msgspec

from contracts.facts import FailureKind
from services.executor.attempt.call import Call, HostError, Opening, Spooled
from services.executor.attempt.inquiry import NobodyAsked
from services.executor.attempt.plan import BadInput
from services.executor.attempt.said import LogLine
from services.executor.hosts import orders
from services.executor.hosts.orders import (
    AskPeople,
    CallEnd,
    CallOrder,
    Logged,
    MayBegin,
    PeoplesAnswer,
    Reported,
    Stands,
)
from services.executor.hosts.steps import CLEANUP_S
from services.outside.apart.pool import RECALL_S, Result, WorkerLost, WorkerPool
from services.process import tracing

BEGUN_S = 1.0
"""How long it counts that a request is about to go out; after that it is asked again."""

_told: msgspec.msgpack.Decoder[orders.Told] = msgspec.msgpack.Decoder(orders.Told)
_end: msgspec.msgpack.Decoder[CallEnd] = msgspec.msgpack.Decoder(CallEnd)


class ApartSession:
    """See `HostSession`; a worker that is gone is replaced by the next call's."""

    def __init__(self, opening: Opening, workers: WorkerPool) -> None:
        self._opening = opening
        self._workers = workers
        self._name = uuid.uuid4().hex
        self._inside: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def _owner(self) -> str:
        return self._opening.host.owner or ""

    async def open(self) -> None:
        """Nothing to start: the first call does it."""

    async def call(self, call: Call) -> dict[str, Any] | Spooled:
        """See `HostSession.call`."""
        if self._closed:
            raise self._error(FailureKind.UNREACHABLE, "the session was closed")
        running = asyncio.create_task(self._run(call))
        self._inside.add(running)
        try:
            return await running
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # It was closed under the call, whose end says so.
            why = "the session was closed"
            raise self._error(FailureKind.CUT, why, called=call.called) from None
        finally:
            self._inside.discard(running)

    async def close(self) -> None:
        """See `HostSession.close`."""
        if self._closed:
            return
        self._closed = True
        inside = list(self._inside)
        for task in inside:
            task.cancel()
        if inside:
            await asyncio.wait(inside)
        await self._workers.dismiss(self._owner, orders.CLOSE, self._name.encode())

    async def _run(self, call: Call) -> dict[str, Any] | Spooled:
        async def hear(data: bytes) -> bytes:
            return await _heard(call, data)

        # Noted before the order goes out, so that a call whose worker starts at once asks nothing.
        before = call.called
        await call.begin()
        body = msgspec.msgpack.encode(self._order(call, before))
        cleaning = sum(step.cleanup for step in call.plan.steps) * CLEANUP_S
        try:
            result = await self._workers.run(
                self._owner, orders.CALL, body, hear, RECALL_S + cleaning
            )
        except WorkerLost as lost:
            kind = FailureKind.CUT if lost.begun else FailureKind.UNREACHABLE
            if not lost.begun:
                call.called = before
            raise self._error(kind, str(lost), called=call.called) from None
        return self._ended(call, result)

    def _order(self, call: Call, called: bool | None) -> CallOrder:
        plan, opening = call.plan, self._opening
        endless = math.isinf(call.deadline)
        return CallOrder(
            session=self._name,
            host=orders.lean(opening.host, plan.type, plan.steps),
            spaces=opening.spaces,
            allow_private=opening.allow_private,
            private=str(call.private) if call.private is not None else None,
            bearer=opening.bearer,
            isolated=opening.isolated,
            careful=call.careful,
            called=called,
            begun_until=time.monotonic() + BEGUN_S,
            left_s=None if endless else call.deadline - time.monotonic(),
            workspaces=str(call.workspace.path.parent),
            made=call.workspace.made,
            roots=tuple(str(root) for root in call.roots),
            user=plan.user,
            task=plan.task,
            attempt=plan.attempt,
            type=plan.type,
            raw=plan.raw,
            required=plan.required,
            steps=plan.steps,
            literal=plan.literal,
            permit=plan.permit,
            timeout_s=plan.timeout_s,
            trace=tracing.carried({}).get("traceparent", ""),
            unlisted=plan.unlisted,
            reply=call.reply,
            read=plan.read,
        )

    def _ended(self, call: Call, result: Result) -> dict[str, Any] | Spooled:
        end = _end.decode(result.body)
        call.called = end.called
        call.workspace.made = call.workspace.made or end.made
        for remark in end.remarks:
            call.course.remark(remark)
        if end.bad_input:
            raise BadInput(end.bad_input)
        if call.plan.unlisted:
            self._opening.changed(self._opening.host.id)
        answer: dict[str, Any] | Spooled | None = None
        if result.file is not None:
            answer = Spooled(result.file, result.file.stat().st_size)
        elif end.value:
            answer = msgspec.json.decode(end.value, type=dict[str, Any])
        if end.kind is not None:
            raise HostError(
                end.kind,
                end.message,
                called=end.error_called,
                transient=end.transient,
                callers=end.callers,
                sign_in=end.sign_in,
                answer=answer,
                question=end.question,
            )
        assert answer is not None
        return answer

    def _error(self, kind: FailureKind, why: str, *, called: bool | None = False) -> HostError:
        return HostError(kind, f"host {self._opening.host.id}: {why}", called=called)


async def _heard(call: Call, data: bytes) -> bytes:
    """Take note of what a worker tells about a call; answer what it asks."""
    match _told.decode(data):
        case Reported(progress, total, message):
            await call.on_progress(progress, total, message)
        case Logged(level, said, logger):
            await call.on_said(LogLine(level, said, logger))
        case Stands(called):
            call.called = called
        case MayBegin(called):
            call.called = called
            try:
                await call.begin()
            except HostError:
                return orders.NO
            return orders.YES
        case AskPeople(question):
            try:
                heard = PeoplesAnswer(*await call.ask(question))
            except NobodyAsked as why:
                heard = PeoplesAnswer(why=str(why))
            return msgspec.msgpack.encode(heard)
    return b""
