"""What the frames of one connection have started: bounded, and beside the reading of more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from contracts import wire
from contracts.errors import Reason, Rejected
from services.gateway import domain
from services.gateway.access.identity import Principal
from services.gateway.actor import Desk, Submitted
from services.gateway.domain import TaskBody
from services.gateway.seats import Seats
from services.gateway.stream import frames
from services.process import telemetry

log = telemetry.get_logger()


class SubmitFrame(
    msgspec.Struct, frozen=True, tag_field="op", tag="submit", forbid_unknown_fields=True
):
    """`contracts.wire.Submit`, with the original specification's priorities."""

    ref: int
    task: TaskBody


OnRefusal = Callable[[SubmitFrame | wire.Cancel, Rejected], None]


class Work:
    """Submissions and cancellations of one connection; at most `most` of them are under way."""

    def __init__(
        self, desk: Desk, offer: Callable[[bytes], None], denied: OnRefusal, most: int
    ) -> None:
        """`offer` sends finished frames; `denied` hears of each that is refused."""
        self.running: set[asyncio.Task[None]] = set()
        self._desk = desk
        self._offer = offer
        self._denied = denied
        self._seats = Seats(most)
        self._small: list[SubmitFrame] = []

    async def submit(self, frame: SubmitFrame, who: Principal) -> None:
        """Take a submission. One with a small input only lies ready: `begin` begins with it."""
        if domain.is_small(frame.task):
            self._small.append(frame)
        else:
            await self._beside(frame, self._submit(frame, who))

    async def begin(self, who: Principal) -> None:
        """Store what lies ready, all of it together; waits while too much is under way."""
        while self._small:
            count = await self._seats.take(1, len(self._small))
            batch, self._small = self._small[:count], self._small[count:]
            self._start(self._store(batch, who))

    async def cancel(self, frame: wire.Cancel, user: str) -> None:
        """Ask to end a task; waits while too much is under way."""
        await self._beside(frame, self._cancel(frame, user))

    async def _beside(
        self, frame: SubmitFrame | wire.Cancel, work: Coroutine[Any, Any, wire.Ack]
    ) -> None:
        await self._seats.take(1, 1)
        self._start(self._carry_out(frame, work))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _store(self, batch: Sequence[SubmitFrame], who: Principal) -> None:
        requests = [frame.task for frame in batch]
        try:
            outcomes = await self._desk.submit_small(who, requests, "websocket")
            self._answer(
                [self._told(frame, one) for frame, one in zip(batch, outcomes, strict=True)]
            )
        except Exception as error:
            self._answer([self._failed(frame, error) for frame in batch])
        finally:
            self._seats.give(len(batch))

    async def _carry_out(
        self, frame: SubmitFrame | wire.Cancel, work: Coroutine[Any, Any, wire.Ack]
    ) -> None:
        try:
            self._answer([await work])
        except Exception as error:
            self._answer([self._failed(frame, error)])
        finally:
            self._seats.give(1)

    async def _submit(self, frame: SubmitFrame, who: Principal) -> wire.Ack:
        sent = await self._desk.submit(who, frame.task, "websocket")
        return _ack(frame.ref, sent)

    async def _cancel(self, frame: wire.Cancel, user: str) -> wire.Ack:
        seq = await self._desk.cancel(user, frame.task)
        return wire.Ack(frame.ref, task=frame.task, seq=seq)

    def _answer(self, answers: Sequence[wire.ServerFrame]) -> None:
        """Each is a frame of its own; all of them are one write."""
        self._offer(b"".join([frames.message(answer) for answer in answers]))

    def _told(self, frame: SubmitFrame, outcome: Submitted | Exception) -> wire.ServerFrame:
        if isinstance(outcome, Submitted):
            return _ack(frame.ref, outcome)
        return self._failed(frame, outcome)

    def _failed(self, frame: SubmitFrame | wire.Cancel, error: Exception) -> wire.ErrorFrame:
        """The answer to what was refused, or went wrong here."""
        if isinstance(error, Rejected):
            self._denied(frame, error)
            return refused(frame.ref, error.reason, error.message)
        log.error("stream_frame_failed", exc_info=error)
        return refused(frame.ref, Reason.INTERNAL, "the gateway failed; its log has the reason")


def _ack(ref: int, submitted: Submitted) -> wire.Ack:
    return wire.Ack(ref, task=submitted.accepted.task, seq=submitted.accepted.seq)


def refused(ref: int | None, reason: Reason, message: str) -> wire.ErrorFrame:
    """The answer to a frame that is not carried out."""
    return wire.ErrorFrame(reason.value, domain.shortened(message), ref)
