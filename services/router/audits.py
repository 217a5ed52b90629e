"""Answers `cmd.router.recompute`: the routes of a task, decided once more from the log alone.

One at a time, bounded in facts and seconds: whoever audits must not hold up who routes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from contracts.audit import RecomputeRequest, RouteRecomputed, RoutesRecomputed
from contracts.errors import Reason, Rejected
from contracts.facts import McpRegistered, Record, TaskRouted
from contracts.ids import check_token, check_user
from contracts.subjects import HOSTS, of_task, of_user, parse, preferences_of
from services.audit import checks as audits
from services.audit.checks import Recomputed
from services.audit.given_again import sources
from services.log.port import Log, LogUnavailable
from services.router.domain import State, evolve, initial
from services.router.recompute import CannotRecompute, select_again
from services.router.settings import Settings

MOST_FACTS = 1000
"""Of one task; more attempts than this allows can't be asked for."""
MOST_FOLDED = 500_000
"""Facts that are read for one answer: those of the task's user and of hosts."""
LONGEST_S = 30.0
"""How long that may take."""
MOST_WAITING = 8
"""Audits that wait for their turn; more are refused."""
_INSTEAD = "`metamcp audit` recomputes it without this limit"


class RouteAudits:
    """Recomputes for whoever asks, one after the other."""

    def __init__(self, log: Log, settings: Settings, most_folded: int = MOST_FOLDED) -> None:
        self._log = log
        self._settings = settings
        self._most_folded = most_folded
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def answer(self, payload: bytes) -> bytes:
        """Answer a `RecomputeRequest`. Raises Rejected."""
        try:
            request = msgspec.json.decode(payload, type=RecomputeRequest)
        except msgspec.MsgspecError as error:
            raise Rejected(Reason.BAD_REQUEST, str(error)) from None
        if self._waiting >= MOST_WAITING:
            text = f"{MOST_WAITING} audits wait for this router already: try again in a while"
            raise Rejected(Reason.UNAVAILABLE, text)
        self._waiting += 1
        try:
            async with asyncio.timeout(LONGEST_S), self._turn:
                user, task = check_user(request.user), check_token(request.task, "task")
                found = await self.recompute(user, task)
        except TimeoutError:
            text = f"the router could not recompute it within {LONGEST_S:g} s: {_INSTEAD}"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        except LogUnavailable as error:
            raise Rejected(Reason.UNAVAILABLE, f"the log does not answer: {error}") from None
        finally:
            self._waiting -= 1
        return msgspec.json.encode(found)

    async def recompute(self, user: str, task: str) -> RoutesRecomputed:
        """Decide each route of the task again. Raises Rejected, LogUnavailable."""
        records = await self._log.read(of_task(user, task), MOST_FACTS)
        if not records:
            raise Rejected(Reason.NOT_FOUND, f"there is no task {task}")
        earlier = await self._earlier(records)
        fold = _Fold(records, earlier, self._settings)
        folded = 0
        async for past in self._past(user, fold.through):
            folded += len(past)
            if folded > self._most_folded:
                text = f"more than {self._most_folded:,} facts would have to be read: {_INSTEAD}"
                raise Rejected(Reason.TOO_LARGE, text)
            fold.take(past)
        fold.end()
        checks = audits.recomputed(records, fold.again, [*fold.hosts, *earlier])
        return RoutesRecomputed(task, tuple(fold.routes()), tuple(checks), folded)

    async def _past(self, user: str, through: int) -> AsyncIterator[list[Record]]:
        filters = (*of_user(user), *HOSTS, *preferences_of(user))
        async for batch in self._log.scan(filters, 0, through):
            yield batch.records

    async def _earlier(self, records: Sequence[Record]) -> list[Record]:
        """All facts of the tasks whose results were given again."""
        found: list[Record] = []
        for source in sources(records):
            record = await self._log.at(source.seq)
            what = parse(record.subject) if record else None
            if what is not None and what.task:
                found += await self._log.read(of_task(what.user, what.task), MOST_FACTS)
        return found


class _Fold:
    """The state at the basis of each route, one after the other in one reading of the log."""

    def __init__(
        self, records: Sequence[Record], earlier: Sequence[Record], settings: Settings
    ) -> None:
        self._settings = settings
        self._state: State = initial()
        self._routed = _routed(records)
        self._due = sorted(self._routed, key=lambda pair: -pair[1].route.basis)
        self._found: dict[int, Recomputed] = {}
        given = {one.host_seq for one in sources(records)}
        routes = (fact.route for _, fact in (*self._routed, *_routed(earlier)))
        self._named = given | {route.host_seq for route in routes}
        # What a route names from after itself is a lie, which the checks tell: nothing is read.
        bases = [fact.route.basis for r, fact in self._routed if fact.route.basis < r.seq]
        self.through = max([*bases, *given], default=0)
        """The last sequence that has to be read."""
        self.hosts: list[Record] = []
        """Registrations that the routes name."""

    def take(self, records: Sequence[Record]) -> None:
        """Fold what comes next in the log."""
        for record in records:
            self._decide(record.seq)
            evolve(self._state, record)
            if record.seq in self._named and isinstance(record.fact, McpRegistered):
                self.hosts.append(record)
        # Nobody writes these to a view.
        self._state.take_changes()

    def end(self) -> None:
        """All has come: what is left has its basis here."""
        self._decide(None)

    def _decide(self, before: int | None) -> None:
        while self._due and (before is None or self._due[-1][1].route.basis < before):
            record, fact = self._due.pop()
            self._found[record.seq] = self._select(fact)

    def _select(self, fact: TaskRouted) -> Recomputed:
        try:
            chosen = select_again(self._state, fact, self._settings)
        except CannotRecompute as error:
            return Recomputed(None, problem=str(error))
        return Recomputed(chosen.host, chosen.score, chosen.candidates)

    def again(self, record: Record) -> Recomputed:
        """What was found for this route."""
        return self._found[record.seq]

    def routes(self) -> Iterator[RouteRecomputed]:
        """All of them, in order."""
        for record, fact in self._routed:
            one = self._found[record.seq]
            yield RouteRecomputed(
                record.seq, fact.attempt, one.host or "", one.score, one.candidates, one.problem
            )


def _routed(records: Sequence[Record]) -> list[tuple[Record, TaskRouted]]:
    return [(record, record.fact) for record in records if isinstance(record.fact, TaskRouted)]
