"""What runs in an executor's worker processes: sessions with users' hosts, and the calls in them.

Run as a module it is what workers are forked from.
"""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import msgspec

from contracts.asks import AnswerAction
from contracts.facts import FailureKind
from contracts.message import bounded
from contracts.nesting import too_deep
from contracts.result import INLINE_LIMIT
from services.executor.attempt.call import Call, HostError, HostSession, Opening, Spooled
from services.executor.attempt.inquiry import HostQuestion, NobodyAsked
from services.executor.attempt.pace import ReportPace
from services.executor.attempt.plan import AttemptPlan, BadInput, HostRead, KnownHost, misfit
from services.executor.attempt.said import LogLine, SaidPace
from services.executor.attempt.spool import Sink
from services.executor.attempt.workspace import Workspace
from services.executor.hosts import kinds, orders
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
from services.outside.apart import zygote
from services.outside.apart.worker import Done, Errand
from services.process import tracing

_order: msgspec.msgpack.Decoder[CallOrder] = msgspec.msgpack.Decoder(CallOrder)
_heard: msgspec.msgpack.Decoder[PeoplesAnswer] = msgspec.msgpack.Decoder(PeoplesAnswer)


class _Called(Call):
    """A call whose attempt is somewhere else."""

    __slots__ = ("_begun_until", "_errand", "_pace", "_said")

    def __init__(self, order: CallOrder, plan: AttemptPlan, errand: Errand) -> None:
        space = Workspace(Path(order.workspaces), order.user, order.task, order.attempt)
        space.made = order.made
        roots = [Path(root) for root in order.roots]
        super().__init__(plan, space, self._report, self._ours, roots)
        self.private = Path(order.private) if order.private is not None else None
        self.isolated = order.isolated
        self.careful = order.careful
        self.called = order.called
        self.reply = order.reply
        left_s = math.inf if order.left_s is None else order.left_s
        self.deadline = time.monotonic() + left_s
        self.ask = self._asked
        self._begun_until = order.begun_until
        self._errand = errand
        self._pace = ReportPace()
        self._said = SaidPace()
        self.on_said = self._hear

    async def begin(self) -> None:
        """See `Call.begin`: noted where the attempt is, before."""
        if time.monotonic() > self._begun_until:
            answer = await self._errand.ask(msgspec.msgpack.encode(MayBegin(self.called)))
            if answer != orders.YES:
                raise HostError(FailureKind.LOST, "the attempt was given up while it waited")
        self._begun_until = 0.0
        self.called = None

    async def _asked(self, question: HostQuestion) -> tuple[AnswerAction, dict[str, Any]]:
        """See `Call.ask`: people are asked where the attempt is; its time stands still here too."""
        until, began = self.deadline, time.monotonic()
        self.deadline = math.inf
        try:
            answer = await self._errand.ask(msgspec.msgpack.encode(AskPeople(question)))
        finally:
            self.deadline = until + time.monotonic() - began
        heard = _heard.decode(answer)
        if heard.action is None:
            raise NobodyAsked(heard.why)
        return heard.action, heard.content

    async def _ours(self) -> bool:
        return True

    async def _report(self, progress: float, total: float | None, message: str) -> None:
        if not self._pace.lets(time.monotonic(), progress, total):
            return
        report = Reported(progress, total, bounded(message))
        self._errand.tell(msgspec.msgpack.encode(report))

    async def _hear(self, message: LogLine) -> None:
        self._tell(self._said.passed(time.monotonic(), message))

    def tell_rest(self) -> None:
        """Tell what is left to be told of the host's log messages."""
        self._tell(self._said.rest())

    def _tell(self, messages: list[LogLine]) -> None:
        for message in messages:
            self._errand.tell(msgspec.msgpack.encode(Logged(*message)))


class _Held:
    """A session, and the schemas of its host."""

    def __init__(self, opening: Opening) -> None:
        self.session: HostSession = kinds.open_session(opening)
        self.known = KnownHost(0, opening.host)


class Sessions:
    """The sessions of one worker, by the names that the executor gives them."""

    def __init__(self, folder: Path | None) -> None:
        assert folder is not None
        self._folder = folder
        self._held: dict[str, _Held] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def handle(self, errand: Errand) -> Done:
        """Make the calls of an attempt, or close a session."""
        if errand.verb == orders.CLOSE:
            held = self._held.pop(errand.body.decode(), None)
            if held is not None:
                await held.session.close()
            return Done(b"")
        return await self._call(_order.decode(errand.body), errand)

    async def close(self) -> None:
        """End every session."""
        held, self._held = self._held, {}
        await asyncio.gather(*(one.session.close() for one in held.values()))

    async def _call(self, order: CallOrder, errand: Errand) -> Done:
        call = _Called(order, _plan(order), errand)
        try:
            held = self._session(order)
            binding = order.host.task_types.get(order.type)
            if binding is not None and (
                remark := misfit(held.known, order.type, binding, call.plan.input)
            ):
                call.course.remark(remark)
            with tracing.under(order.trace):
                value = await held.session.call(call)
        except BadInput as wrong:
            return self._end(call, bad_input=str(wrong))
        except HostError as error:
            failed: dict[str, Any] = {
                "kind": error.kind,
                "message": error.message,
                "error_called": error.called,
                "transient": error.transient,
                "callers": error.callers,
                "sign_in": error.sign_in,
                "question": error.question,
            }
            if error.answer is None:
                return self._end(call, **failed)
            return self._answered(call, error.answer, **failed)
        except asyncio.CancelledError:
            errand.tell(msgspec.msgpack.encode(Stands(call.called)))
            raise
        return self._answered(call, value)

    def _session(self, order: CallOrder) -> _Held:
        held = self._held.get(order.session)
        if held is None:
            opening = Opening(
                order.host,
                self._folder,
                allow_private=order.allow_private,
                spool=self._folder,
                spaces=order.spaces,
                bearer=order.bearer,
                isolated=order.isolated,
            )
            held = self._held[order.session] = _Held(opening)
        # Each call brings the task type that it needs.
        if order.type not in held.known.host.task_types:
            held.known.host.task_types.update(order.host.task_types)
        return held

    def _answered(self, call: _Called, value: dict[str, Any] | Spooled, **failed: Any) -> Done:
        """`failed`: the failure that the answer is, if it is one."""
        if isinstance(value, Spooled):
            return self._end(call, file=value.path.name, **failed)
        data = msgspec.json.encode(value)
        if len(data) <= INLINE_LIMIT and not too_deep(data):
            return self._end(call, value=data, **failed)
        return self._end(call, file=self._spooled(data), **failed)

    def _spooled(self, data: bytes) -> str:
        sink = Sink(self._folder, len(data), in_memory=0)
        sink.write(data)
        whole = sink.finish()
        assert isinstance(whole, Spooled)
        return whole.path.name

    def _end(self, call: _Called, file: str = "", **fields: Any) -> Done:
        call.tell_rest()
        end = CallEnd(call.called, call.workspace.made, call.course.remarks, **fields)
        return Done(msgspec.msgpack.encode(end), file)


def _plan(order: CallOrder) -> AttemptPlan:
    return AttemptPlan(
        user=order.user,
        task=order.task,
        attempt=order.attempt,
        type=order.type,
        host=order.host,
        raw=order.raw,
        input=msgspec.json.decode(order.raw),
        required=order.required,
        steps=order.steps,
        literal=order.literal,
        permit=order.permit,
        timeout_s=order.timeout_s,
        unlisted=order.unlisted,
        read=None if order.read is None else HostRead(*order.read),
    )


if __name__ == "__main__":
    zygote.main("executor", Sessions)
