"""The queue as those hear of it who wait: in which order, for what, and how many for the same.

It only looks, and at most once in `FRESH_S`, however many ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from contracts.queue import (
    MOST_NAMED_HOSTS,
    MOST_PLACED,
    MOST_WAITS,
    QueueAnswer,
    QueuedTask,
    QueueRequest,
    WaitCount,
    WaitReason,
)
from services.router.actor import Router
from services.router.plan import TermPlan
from services.router.queue import QueuePlace
from services.router.state import Phase, State

FRESH_S = 1.0
"""How long the order holds that was found."""
MOST_OPEN = 100_000
"""With more open tasks it is not told how many of them wait for their time, or for an answer."""
MOST_PAGE = 500

# user, reason, hosts
_Wait = tuple[str, WaitReason, tuple[str, ...]]


class Survey(NamedTuple):
    """What was found at one moment."""

    placed: list[QueuePlace]
    """The first of the queue, in order."""
    waits: Counter[_Wait]


def survey(state: State, plan: TermPlan, now: float) -> Survey:
    """Look at the queue and at what waits outside of it. Pure."""
    waits = Counter[_Wait]()
    for place, count in plan.queue.lanes():
        waits[(place.user, *reason_of(place))] += count
    for key in plan.hopeless:
        if (task := state.tasks.get(key)) is not None:
            waits[task.user, WaitReason.NO_HOST, ()] += 1
    if len(state.tasks) <= MOST_OPEN:
        for user, reason in _outside(state, plan):
            waits[user, reason, ()] += 1
    return Survey(list(islice(plan.queue.order(now), MOST_PLACED)), waits)


def _outside(state: State, plan: TermPlan) -> Iterator[tuple[str, WaitReason]]:
    """Those who wait for an answer or their time: they are not in the queue."""
    for key, task in state.tasks.items():
        if task.phase is Phase.ASKED or task.phase is Phase.HELD:
            yield task.user, WaitReason.ANSWER
        elif (
            task.phase is Phase.WAITING
            and not task.unread
            and key not in plan.queue
            and key not in plan.hopeless
            and not plan.awaits(key)
        ):
            yield task.user, WaitReason.LATER


def reason_of(place: QueuePlace) -> tuple[WaitReason, tuple[str, ...]]:
    """What a task of the queue waits for, and at which hosts."""
    if place.parked is not None:
        # Names that begin with a slash are no hosts, but shares of them.
        hosts = tuple(host for host in place.parked if not host.startswith("/"))
        shown = hosts[:MOST_NAMED_HOSTS]
        return (WaitReason.HOST_BUSY if hosts else WaitReason.HOST_DOWN), shown
    return (WaitReason.SHARE if place.held else WaitReason.TURN), ()


class QueueLine:
    """Answers for one router."""

    def __init__(self, router: Router, instance: str) -> None:
        self._router = router
        self._instance = instance
        self._found: Survey | None = None
        self._plan: TermPlan | None = None
        self._stale_at = 0.0

    def answer(self, request: QueueRequest, mono: float) -> QueueAnswer:
        """What waits, as far as this router knows it."""
        state, plan = self._router.state, self._router.plan
        if plan is None:
            return QueueAnswer(self._instance, False, state.term, state.seq)
        found = self._survey(state, plan, mono)
        counts = Counter[tuple[WaitReason, tuple[str, ...]]]()
        for (user, reason, hosts), count in found.waits.items():
            if request.user in (None, user):
                counts[reason, hosts] += count
        outside = (WaitReason.NO_HOST, WaitReason.LATER, WaitReason.ANSWER)
        return QueueAnswer(
            self._instance,
            True,
            state.term,
            state.seq,
            waiting=sum(n for (reason, _), n in counts.items() if reason not in outside),
            every=len(plan.queue),
            in_flight=state.flights.total,
            slots=self._router.beats.slots(mono),
            waits=tuple(
                WaitCount(reason, n, at) for (reason, at), n in counts.most_common(MOST_WAITS)
            ),
            tasks=tuple(islice(_tasks(found, state, plan, request), min(request.limit, MOST_PAGE))),
            hosts=dict(state.flights.hosts),
        )

    def _survey(self, state: State, plan: TermPlan, mono: float) -> Survey:
        if self._found is None or plan is not self._plan or mono >= self._stale_at:
            self._found = survey(state, plan, self._router.moment().now)
            self._plan, self._stale_at = plan, mono + FRESH_S
        return self._found


def _tasks(
    found: Survey, state: State, plan: TermPlan, request: QueueRequest
) -> Iterator[QueuedTask]:
    """Those that are still there; the positions are those of the moment of the survey."""
    for at, place in enumerate(found.placed, start=1):
        task = state.tasks.get(place.key)
        if at <= request.after or task is None or place.key not in plan.queue:
            continue
        if request.user in (None, task.user):
            what = (task.user, task.task, task.need.type, task.priority, task.at)
            yield QueuedTask(at, *what, *reason_of(place))
