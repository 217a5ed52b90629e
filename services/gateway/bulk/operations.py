"""Operations at one gateway: accepted as facts, and carried out step by step to their end.

Whoever comes back after a crash goes on where no step is told of. Two gateways at one operation do
no harm: each step is told of once, and doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import Record
from contracts.ids import check_token
from contracts.operation import (
    OperationStarted,
    OperationStepped,
    OperationStopped,
    check_short,
    parts_of,
)
from services.gateway.access.identity import Principal
from services.gateway.access.use import SOON_S, OverBudget
from services.gateway.bulk import tables
from services.gateway.bulk.choice import NewOperation
from services.gateway.bulk.steps import StepTools, step
from services.gateway.bulk.views import OpenOperation
from services.gateway.stream.waits import TABLES_WAIT_S
from services.log.port import AlreadyRecorded, Append, LogUnavailable
from services.process import telemetry
from services.process.ids import new_id

LOOK_S = 2.0
"""How often it is looked for operations that nobody works on."""
QUIET_S = 30.0
"""An operation of another gateway is taken over when so long nothing was heard of it."""
MOST_OPEN_OF_USER = 10
"""Operations of one user that are not over."""
MOST_AT_ONCE = 4
"""Operations that one gateway works on at once; the others wait."""
ANSWER_S = 10.0

log = telemetry.get_logger()


class Started(NamedTuple):
    """An operation that stands in the log."""

    operation: str
    seq: int
    duplicate: bool


class Operations:
    """What one gateway has to do with operations; `run` carries them out."""

    def __init__(self, tools: StepTools, now: Callable[[], float]) -> None:
        """`now`: log time."""
        self._tools = tools
        self._now = now
        self._wake = asyncio.Event()
        self._heard = 0
        """Sequence of the newest operation that has passed by."""
        self._at_work: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def start(
        self,
        who: Principal,
        wanted: NewOperation,
        tasks: Sequence[str],
    ) -> Started:
        """Accept an operation on these tasks, which are the user's.

        One with the same id is the same one, whatever tasks would be chosen now. Raises OverBudget,
        Rejected, LogUnavailable.
        """
        operation = check_short(check_token(wanted.id or new_id(), "operation id"), "operation id")
        self._tools.desk.admission.check_fact(who.user, operator=who.operator)
        first = subjects.operation_part(who.user, operation, 1)
        if (there := await self._tools.log.last(first)) is not None:
            return Started(operation, _same(there, wanted), duplicate=True)
        if await tables.open_of(self._tools.projection, who.user) >= MOST_OPEN_OF_USER:
            raise OverBudget(
                f"{who.user} has {MOST_OPEN_OF_USER} operations that are not over, the most there"
                " may be: wait until one is done, or stop one",
                SOON_S,
            )
        items = [Append(fact) for fact in self._parts(who, operation, wanted, tasks)]
        try:
            async with asyncio.timeout(ANSWER_S):
                seqs = await self._tools.log.append_together(items)
        except AlreadyRecorded as known:
            if known.record is None:
                raise LogUnavailable(f"operation {operation} can't be read") from known
            return Started(operation, _same(known.record, wanted), duplicate=True)
        except TimeoutError:
            raise LogUnavailable(f"operation {operation} was not stored in time") from None
        self._tools.desk.remember(who.user, seqs[-1])
        return Started(operation, seqs[0], duplicate=False)

    async def stop(self, user: str, operation: str) -> int:
        """Begin no further part; the sequence of the wish. Raises Rejected, LogUnavailable."""
        found = await tables.operation(self._tools.projection, user, operation)
        if found is None:
            raise no_operation(operation)
        if found.state == "done":
            raise Rejected(Reason.ALREADY_OVER, f"operation {operation} is over: done")
        by = self._tools.instance
        fact = OperationStopped(id=new_id(), by=by, user=user, operation=operation)
        try:
            seq = await self._tools.log.append(fact)
        except AlreadyRecorded as known:
            return known.record.seq if known.record else 0
        self._tools.desk.remember(user, seq)
        return seq

    def fold(self, records: Sequence[Record]) -> None:
        """Hear of operations that have begun, here or elsewhere."""
        for record in records:
            if isinstance(record.fact, OperationStarted):
                self._heard = record.seq
                self._wake.set()

    async def run(self) -> None:
        """Carry out what is not over, for ever."""
        try:
            while True:
                self._wake.clear()
                await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()
        finally:
            for task in self._at_work.values():
                task.cancel()
            if self._at_work:
                await asyncio.wait(self._at_work.values())

    async def _look(self) -> None:
        try:
            await self._tools.projection.shows(self._heard, TABLES_WAIT_S)
            found = await tables.open_operations(self._tools.projection)
        except Rejected as error:
            log.warning("operations_not_read", error=str(error))
            return
        for one in mine(found, self._tools.instance, self._now()):
            key = (one.user, one.id)
            if key not in self._at_work and len(self._at_work) < MOST_AT_ONCE:
                work = self._at_work[key] = asyncio.create_task(self._carry_out(one))
                work.add_done_callback(partial(self._leave, key))

    def _leave(self, key: tuple[str, str], _: asyncio.Task[None]) -> None:
        del self._at_work[key]

    async def _carry_out(self, one: OpenOperation) -> None:
        try:
            await self._go_on(one)
        except (LogUnavailable, Rejected, TimeoutError) as error:
            log.warning("operation_interrupted", operation=one.id, user=one.user, error=str(error))
        except Exception as error:
            # Of one operation: the others go on, and so does the gateway.
            log.error("operation_failed", operation=one.id, user=one.user, exc_info=error)  # noqa: TRY400
        else:
            self._wake.set()

    async def _go_on(self, one: OpenOperation) -> None:
        """Work on the parts that no step is told of, until all are, or it is stopped."""
        log_, user, seq = self._tools.log, one.user, one.seq
        # What was chosen stands in the tables before the operation does.
        await self._tools.projection.shows(seq, TABLES_WAIT_S)
        for k in range(1, one.parts + 1):
            said = (
                subjects.operation_part(user, one.id, k),
                subjects.operation_step(user, one.id, k),
                subjects.operation_stopped(user, one.id),
            )
            found = {type(r.fact): r for r in await log_.read_last(said, reach=one.seq)}
            if OperationStopped in found:
                seq = found[OperationStopped].seq
                break
            if (done := found.get(OperationStepped)) is not None:
                seq = done.seq
                continue
            part = found[OperationStarted].fact
            if isinstance(part, OperationStarted):
                seq = await self._step(part)
        # Until the tables say so, it would be begun with again.
        await self._tools.projection.shows(seq, TABLES_WAIT_S)

    async def _step(self, part: OperationStarted) -> int:
        """Do a part and tell of it; the sequence of the fact."""
        try:
            seq = await self._tools.log.append(await step(self._tools, part))
        except AlreadyRecorded as known:
            return known.record.seq if known.record else 0
        self._tools.desk.remember(part.user, seq)
        return seq

    def _parts(
        self,
        who: Principal,
        operation: str,
        wanted: NewOperation,
        tasks: Sequence[str],
    ) -> list[OperationStarted]:
        parts = parts_of(tuple(tasks))
        return [
            OperationStarted(
                id=new_id(),
                by=self._tools.instance,
                user=who.user,
                operation=operation,
                k=k,
                parts=len(parts),
                total=len(tasks),
                action=wanted.action,
                tasks=part,
                tags=wanted.tags or {},
                asked_by=who.asked_by,
                roles=tuple(sorted(who.powers)),
            )
            for k, part in enumerate(parts, 1)
        ]


def mine(found: Sequence[OpenOperation], instance: str, now: float) -> list[OpenOperation]:
    """Those that this gateway works on: its own, and those that others have left alone. Pure."""
    return [one for one in found if one.by == instance or now - one.updated_at > QUIET_S]


def no_operation(operation: str) -> Rejected:
    """The answer about an operation that is not there, or somebody else's."""
    return Rejected(Reason.NOT_FOUND, f"there is no operation {operation[:80]}")


def _same(known: Record, wanted: NewOperation) -> int:
    """The sequence of an operation that was there before. Raises Rejected(CONFLICT) if it is about
    something else."""
    first = known.fact
    asked = (wanted.action, wanted.tags or {})
    if isinstance(first, OperationStarted) and (first.action, first.tags) == asked:
        return known.seq
    text = "an operation with this id does something else: choose another id"
    raise Rejected(Reason.CONFLICT, text)
