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

from contracts.facts import FailureKind
from contracts.message import bounded
from contracts.nesting import too_deep
from contracts.result import INLINE_LIMIT
from services.executor.attempt.call import Call, HostError, HostSession, Opening, Spooled
from services.executor.attempt.plan import AttemptPlan, BadInput, KnownHost, misfit
from services.executor.attempt.spool import Sink
from services.executor.attempt.workspace import Workspace
from services.executor.hosts import kinds, orders
from services.executor.hosts.orders import CallEnd, CallOrder, MayBegin, Reported, Stands
from services.outside.apart import zygote
from services.outside.apart.worker import Done, Errand
from services.process import tracing

PROGRESS_S = 0.1
"""Progress is passed on so often at most; the last of it always."""

_order: msgspec.msgpack.Decoder[CallOrder] = msgspec.msgpack.Decoder(CallOrder)


class _Called(Call):
    """A call whose attempt is somewhere else."""

    __slots__ = ("_begun_until", "_errand", "_told_at", "_whole")

    def __init__(self, order: CallOrder, plan: AttemptPlan, errand: Errand) -> None:
        space = Workspace(Path(order.workspaces), order.user, order.task, order.attempt)
        space.made = order.made
        roots = [Path(root) for root in order.roots]
        super().__init__(plan, space, self._report, self._ours, roots)
        self.private = Path(order.private) if order.private is not None else None
        self.isolated = order.isolated
        self.careful = order.careful
        self.called = order.called
        left_s = math.inf if order.left_s is None else order.left_s
        self.deadline = time.monotonic() + left_s
        self._begun_until = order.begun_until
        self._errand = errand
        self._told_at = 0.0
        self._whole = False
        """The end of the work was told."""

    async def begin(self) -> None:
        """See `Call.begin`: noted where the attempt is, before."""
        if time.monotonic() > self._begun_until:
            answer = await self._errand.ask(msgspec.msgpack.encode(MayBegin(self.called)))
            if answer != orders.YES:
                raise HostError(FailureKind.LOST, "the attempt was given up while it waited")
        self._begun_until = 0.0
        self.called = None

    async def _ours(self) -> bool:
        return True

    async def _report(self, progress: float, total: float | None, message: str) -> None:
        now = time.monotonic()
        last = progress == total and not self._whole
        if now - self._told_at < PROGRESS_S and not last:
            return
        self._told_at, self._whole = now, self._whole or last
        report = Reported(progress, total, bounded(message))
        self._errand.tell(msgspec.msgpack.encode(report))


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

    def _answered(self, call: Call, value: dict[str, Any] | Spooled, **failed: Any) -> Done:
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

    def _end(self, call: Call, file: str = "", **fields: Any) -> Done:
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
    )


if __name__ == "__main__":
    zygote.main("executor", Sessions)
