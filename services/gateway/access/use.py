"""What each user uses of the budgets, counted from the log: every gateway comes to the same.

Nothing is asked for a submission: the counts are kept as facts pass by. What is on its way to the
log from here counts too; what is on its way from other gateways does not, yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from contracts import subjects
from contracts.budget import HOUR_S, Budget, InUse
from contracts.errors import Reason, Rejected
from contracts.facts import JobDone, McpPreferred, Record, TaskCancelled, TaskCreated, Unknown
from services.gateway.access.days import HOURS, RollingDay
from services.gateway.domain import weight

SOON_S = 5.0
"""When to ask again for something that others' ends make room for."""


class OverBudget(Rejected):
    """A user has used a budget up: it may be tried again after `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(Reason.RATE_LIMITED, message)
        self.wait_s = wait_s


class OpenRow(NamedTuple):
    """An open task, as the tables have it."""

    user: str
    task: str
    size: int


class FactsRow(NamedTuple):
    """Facts of a user in one hour of log time, as the tables have them; of the newest 25."""

    user: str
    hour: int
    facts: int
    tasks: int
    """How many of them created a task."""


class _User:
    __slots__ = (
        *("before", "coming", "coming_bytes", "day", "facts", "hour", "open", "open_bytes"),
    )

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self.open_bytes = 0
        self.coming: dict[str, int] = {}
        self.coming_bytes = 0
        self.hour = self.facts = self.before = 0
        self.day: RollingDay | None = None

    def count(self, hour: int, more: int = 1) -> None:
        """Count facts of an hour. Of the newest two all are known, in whatever order they come."""
        if hour > self.hour:
            self.before = self.facts if hour == self.hour + 1 else 0
            self.hour, self.facts = hour, 0
        if hour == self.hour:
            self.facts += more
        elif hour == self.hour - 1:
            self.before += more

    def created(self, hour: int, more: int = 1) -> None:
        """Count tasks of an hour."""
        if self.day is None:
            self.day = RollingDay()
        self.day.count(hour, more)

    def in_a_day(self, now: float) -> float:
        """Tasks of the last 24 hours, with those on their way."""
        return len(self.coming) + (0.0 if self.day is None else self.day.used(now))

    def of_hour(self, now: float) -> tuple[int, int]:
        """Facts of the hour on the clock, and of the one before."""
        hour = int(now // HOUR_S)
        if hour > self.hour:
            return 0, self.facts if hour == self.hour + 1 else 0
        return self.facts, self.before

    def landed(self, task: str) -> None:
        """What was on its way is in the log, or never will be."""
        self.coming_bytes -= self.coming.pop(task, 0)


class UserCounts:
    """The counts of all users. No clock: whoever asks says what time it is."""

    def __init__(self) -> None:
        self._users: dict[str, _User] = {}
        self._newest_hour = 0

    def restore(self, tasks: Iterable[OpenRow], facts: Iterable[FactsRow]) -> None:
        """Begin with what the tables hold; `fold` goes on from there."""
        self._users.clear()
        for user, task, size in tasks:
            self._opened(self._of(user), task, size)
        for user, hour, count, created in facts:
            self._of(user).count(hour, count)
            if created:
                self._of(user).created(hour, created)

    def reset(self) -> None:
        """The log is another one."""
        self._users.clear()
        self._newest_hour = 0

    def fold(self, records: Sequence[Record]) -> None:
        """Take facts in. One that can't be read counts for nobody, as in the tables; an end that
        can't be read is an end."""
        for record in records:
            fact: Any = record.fact
            kind = type(fact)
            if kind is TaskCreated:
                of = self._of(fact.user)
                self._opened(of, fact.task, weight(fact.spec, len(record.data)))
                of.created(int(record.at // HOUR_S))
                self._counted(of, record.at)
            elif kind is JobDone:
                self._closed(fact.user, fact.task)
            elif kind is Unknown and (over := subjects.ended(record)) is not None:
                self._closed(*over)
            elif kind is TaskCancelled or kind is McpPreferred:
                self._counted(self._of(fact.user), record.at)

    def _closed(self, user: str, task: str) -> None:
        if (known := self._users.get(user)) is not None:
            known.landed(task)
            known.open_bytes -= known.open.pop(task, 0)

    def begin(
        self,
        user: str,
        task: str,
        size: int,
        budget: Budget,
        now: float,
        *,
        operator: bool = False,
    ) -> None:
        """Reckon with a task that is on its way to the log; `end` it unless it gets there.

        What is open already is only sent again, whatever is used up. How often operators act does
        not hold them up. Raises OverBudget, Rejected(TOO_LARGE).
        """
        of = self._of(user)
        if task in of.open or task in of.coming:
            return
        _check_tasks(user, of, size, budget)
        if not operator:
            _check_facts(user, of, budget, now)
            _check_day(user, of, budget, now)
        of.coming[task] = size
        of.coming_bytes += size

    def end(self, user: str, task: str) -> None:
        """A task that was on its way has not become a new one; if the log has it, that counts."""
        if (known := self._users.get(user)) is not None:
            known.landed(task)

    def check_facts(self, user: str, budget: Budget, now: float) -> None:
        """Refuse one fact more of a user who has stored too many this hour. Raises OverBudget."""
        if (known := self._users.get(user)) is not None:
            _check_facts(user, known, budget, now)

    def of(self, user: str, now: float) -> InUse:
        """What a user has used."""
        known = self._users.get(user) or _User()
        return InUse(
            open_tasks=len(known.open) + len(known.coming),
            open_bytes=known.open_bytes + known.coming_bytes,
            facts=int(_sliding(known, now)),
            tasks_a_day=int(known.in_a_day(now)),
        )

    def open_tasks(self, user: str) -> Mapping[str, int]:
        """A user's open tasks and the bytes of each."""
        known = self._users.get(user)
        return {} if known is None else known.open

    def _of(self, user: str) -> _User:
        found = self._users.get(user)
        if found is None:
            found = self._users[user] = _User()
        return found

    def _opened(self, of: _User, task: str, size: int) -> None:
        of.landed(task)
        of.open_bytes += size - of.open.get(task, 0)
        of.open[task] = size

    def _counted(self, of: _User, at: float) -> None:
        hour = int(at // HOUR_S)
        of.count(hour)
        if hour > self._newest_hour:
            self._newest_hour = hour
            self._forget_idle()

    def _forget_idle(self) -> None:
        """Whoever has nothing open, did nothing for an hour and created nothing for a day is like
        somebody new."""
        old, past = self._newest_hour - 1, self._newest_hour - HOURS
        idle = [
            user
            for user, of in self._users.items()
            if not of.open
            and not of.coming
            and of.hour < old
            and (of.day is None or of.day.newest < past)
        ]
        for user in idle:
            del self._users[user]


def _check_tasks(user: str, of: _User, size: int, budget: Budget) -> None:
    count = len(of.open) + len(of.coming)
    if count >= budget.open_tasks:
        raise OverBudget(
            f"budget open_tasks: {user} has {count} tasks that are not over, of at most"
            f" {budget.open_tasks}: wait until some have ended, or cancel some",
            SOON_S,
        )
    if size > budget.open_bytes:
        raise Rejected(
            Reason.TOO_LARGE,
            f"budget open_bytes: the task counts about {size} bytes, and all open tasks of {user}"
            f" may have {budget.open_bytes} together: send the input with PUT /api/blobs, or name"
            " fewer capabilities",
        )
    if of.open_bytes + of.coming_bytes + size > budget.open_bytes:
        raise OverBudget(
            f"budget open_bytes: the open tasks of {user} have {of.open_bytes + of.coming_bytes}"
            f" bytes, of at most {budget.open_bytes}: wait until some have ended, cancel some, or"
            " send inputs with PUT /api/blobs",
            SOON_S,
        )


def _check_facts(user: str, of: _User, budget: Budget, now: float) -> None:
    if not budget.facts:
        return
    used = _sliding(of, now)
    if used < budget.facts:
        return
    wait_s = _wait_s(*of.of_hour(now), len(of.coming), budget.facts, now % HOUR_S / HOUR_S)
    raise OverBudget(
        f"budget facts: {user} has stored {int(used)} tasks, cancellations and preferences in an"
        f" hour, of at most {budget.facts}: wait {int(wait_s) + 1} s",
        wait_s,
    )


def _check_day(user: str, of: _User, budget: Budget, now: float) -> None:
    most = budget.tasks_a_day
    if not most or (used := of.in_a_day(now)) < most:
        return
    wait_s = SOON_S if of.day is None else of.day.wait_s(now, most, len(of.coming))
    raise OverBudget(
        f"budget tasks_a_day: {user} has created {int(used)} tasks in 24 hours, of at most {most}:"
        f" wait {int(wait_s) + 1} s",
        wait_s,
    )


def _sliding(of: _User, now: float) -> float:
    """Facts of the last hour, estimated from two hours on the clock."""
    here, before = of.of_hour(now)
    return here + len(of.coming) + before * (1 - now % HOUR_S / HOUR_S)


def _wait_s(here: int, before: int, coming: int, most: int, passed: float) -> float:
    """Seconds until a fact may be stored, if there are no others until then."""
    here += coming
    if here < most:
        return (1 - (most - here) / before - passed) * HOUR_S if before else SOON_S
    return (1 - passed + 1 - most / here) * HOUR_S
