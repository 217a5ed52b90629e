"""What tasks of a project count of its quotas, counted from the log: every gateway comes to the
same. What is on its way to the log from here counts too; from other gateways it does not, yet.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import JobDone, Record, TaskCreated, Unknown
from services.gateway.access.identity import Principal
from services.gateway.access.use import SOON_S, OverBudget
from services.gateway.people import membership
from services.gateway.people.projects import Projects

DAY_S = 86_400
OPEN_TASKS, TASKS_A_DAY = "open_tasks", "tasks_a_day"
QUOTAS: Mapping[str, str] = {
    OPEN_TASKS: "tasks that are not over",
    TASKS_A_DAY: "tasks created in one day, from midnight to midnight UTC",
}
"""Quotas that a project may have, and what they count."""

_Key = tuple[str, str]


class ProjectOpenRow(NamedTuple):
    """An open task of a project, as the tables have it."""

    project: str
    user: str
    task: str


class ProjectDayRow(NamedTuple):
    """How many tasks of a project were created in a day of log time, as the tables have them."""

    project: str
    day: int
    tasks: int


class ProjectCounts:
    """The counts of all projects. No clock: whoever asks says what time it is."""

    def __init__(self) -> None:
        self._open: dict[_Key, str] = {}
        self._coming: dict[_Key, str] = {}
        self._opens: Counter[str] = Counter()
        """Open and coming tasks, by project."""
        self._comings: Counter[str] = Counter()
        """Those of them that are not in the log yet."""
        self._day = 0
        self._today: Counter[str] = Counter()
        """Tasks of the newest day of log time, by project."""

    def restore(self, open_: Iterable[ProjectOpenRow], days: Iterable[ProjectDayRow]) -> None:
        """Begin with what the tables hold; `fold` goes on from there."""
        self.reset()
        for project, user, task in open_:
            self._opened((user, task), project)
        for project, day, count in days:
            self._count(project, day, count)

    def reset(self) -> None:
        """The log is another one."""
        for of in (self._open, self._coming, self._opens, self._comings, self._today):
            of.clear()
        self._day = 0

    def fold(self, records: Sequence[Record]) -> None:
        """Take facts in."""
        for record in records:
            fact: Any = record.fact
            kind = type(fact)
            if kind is TaskCreated and fact.project:
                self._landed((fact.user, fact.task))
                self._opened((fact.user, fact.task), fact.project)
                self._count(fact.project, int(record.at // DAY_S), 1)
            elif kind is JobDone and (self._open or self._coming):
                self._closed((fact.user, fact.task))
            elif kind is Unknown and (over := subjects.ended(record)) is not None:
                self._closed(over)

    def _closed(self, key: tuple[str, str]) -> None:
        self._landed(key)
        if (project := self._open.pop(key, None)) is not None:
            _less(self._opens, project)

    def begin(
        self, project: str, user: str, task: str, limits: Mapping[str, int], now: float
    ) -> None:
        """Reckon with a task that is on its way to the log; `end` it unless it gets there.

        What is open already is only sent again, whatever is used up. Raises OverBudget.
        """
        key = (user, task)
        if key in self._open or key in self._coming:
            return
        open_tasks, today = self.used(project, now)
        most = limits.get(OPEN_TASKS)
        if most is not None and open_tasks >= most:
            raise OverBudget(
                f"quota {OPEN_TASKS} of project {project}: {open_tasks} tasks are not over, of at"
                f" most {most}: wait until some have ended, or cancel some",
                SOON_S,
            )
        most = limits.get(TASKS_A_DAY)
        if most is not None and today >= most:
            wait_s = DAY_S - now % DAY_S
            raise OverBudget(
                f"quota {TASKS_A_DAY} of project {project}: {today} tasks were created today, of"
                f" at most {most}: wait until midnight UTC, {int(wait_s) + 1} s",
                wait_s,
            )
        self._coming[key] = project
        self._opens[project] += 1
        self._comings[project] += 1

    def end(self, user: str, task: str) -> None:
        """A task that was on its way has not become a new one; if the log has it, that counts."""
        self._landed((user, task))

    def used(self, project: str, now: float) -> tuple[int, int]:
        """A project's open tasks, and those that were created today."""
        coming = self._comings[project]
        today = self._today[project] if int(now // DAY_S) <= self._day else 0
        return self._opens[project], today + coming

    def _opened(self, key: _Key, project: str) -> None:
        if key not in self._open:
            self._open[key] = project
            self._opens[project] += 1

    def _landed(self, key: _Key) -> None:
        if (project := self._coming.pop(key, None)) is not None:
            _less(self._opens, project)
            _less(self._comings, project)

    def _count(self, project: str, day: int, more: int) -> None:
        if day > self._day:
            self._day = day
            self._today.clear()
        if day == self._day:
            self._today[project] += more


class ProjectGate:
    """Whether a task may go into a project. Every door asks here."""

    def __init__(self, projects: Projects, clock: Callable[[], float] = time.time) -> None:
        self.projects = projects
        self.counts = ProjectCounts()
        self._clock = clock

    async def begin(self, user: str, task: str, project: str | None) -> None:
        """Reckon with a task on its way into a project; `end` it if it does not get there.

        Raises OverBudget, Rejected, StoreError.
        """
        if project is None:
            return
        # The roles of the installation let nobody submit into what others have.
        found = await self.projects.find(project, Principal(user, frozenset()), "submit")
        membership.check_open(found)
        self.counts.begin(project, user, task, found.limits, self._clock())

    def end(self, user: str, task: str) -> None:
        """A task has not become a new one in the log, as far as is known here."""
        self.counts.end(user, task)

    def used(self, project: str) -> tuple[int, int]:
        """A project's open tasks, and those that were created today."""
        return self.counts.used(project, self._clock())

    @contextlib.asynccontextmanager
    async def on_its_way(self, user: str, task: str, project: str | None) -> AsyncIterator[None]:
        """`begin`, and `end` if the block raises."""
        await self.begin(user, task, project)
        try:
            yield
        except BaseException:
            self.end(user, task)
            raise


def check_limits(limits: Mapping[str, int]) -> dict[str, int]:
    """Return the quotas of a project. Raises Rejected(BAD_REQUEST) for one that is none."""
    for name, most in limits.items():
        if name not in QUOTAS:
            text = f"{name[:64]!r} is no quota of a project: there are {', '.join(QUOTAS)}"
            raise Rejected(Reason.BAD_REQUEST, text)
        if isinstance(most, bool) or not 0 <= most <= 1_000_000_000:
            raise Rejected(Reason.BAD_REQUEST, f"{name}: expected 0 to 1,000,000,000, not {most}")
    return dict(limits)


def _less(count: Counter[str], project: str) -> None:
    count[project] -= 1
    if not count[project]:
        del count[project]
