"""What counts of a project's quotas: the fold and the tables come to the same, ends make room."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import Rejected
from contracts.facts import AnyFact, Outcome, Record, encode
from contracts.subjects import of
from services.gateway import lists
from services.gateway import projection as tables
from services.gateway.access.use import OverBudget
from services.gateway.people.load import (
    DAY_S,
    OPEN_TASKS,
    TASKS_A_DAY,
    ProjectCounts,
    check_limits,
)
from services.log.projection import Checkpoint, Projection
from tests.support import facts

PROJECTS = ("p1", "p2", "")


def created(project: str, user: str = "ann", task: str = "t1") -> AnyFact:
    return msgspec.structs.replace(facts.created(user, task), project=project)


def records(*made: AnyFact, at: float = 0.0, first: int = 1) -> list[Record]:
    return [Record(n, at, of(fact), fact, encode(fact)) for n, fact in enumerate(made, first)]


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Tasks of two people in two projects, some over, over some days."""
    pairs = draw(st.permutations(list(itertools.product(("ann", "ben"), ("t1", "t2")))))
    found, at = [], 0.0
    for user, task in pairs:
        at += draw(st.sampled_from([1.0, DAY_S / 3, DAY_S * 1.5]))
        made: list[AnyFact] = [created(draw(st.sampled_from(PROJECTS)), user, task)]
        if draw(st.booleans()):
            made.append(facts.done(user, task, Outcome.FAILED))
        found += records(*made, at=at, first=len(found) + 1)
    return found


@settings(max_examples=40, deadline=None)
@given(logs(), st.integers(0, 8))
async def test_the_tables_hold_what_the_fold_counts(history: list[Record], cut: int) -> None:
    whole, resumed = ProjectCounts(), ProjectCounts()
    whole.fold(history)
    with tempfile.TemporaryDirectory() as folder:
        view = await Projection.open(Path(folder) / "v.sqlite", tables.SCHEMA, tables.VERSION)
        await view.commit(tables.apply(history[:cut]), Checkpoint("epoch", cut, "f"))
        resumed.restore(await lists.open_in_projects(view), await lists.today_in_projects(view))
        await view.close()
    resumed.fold(history[cut:])
    now = history[-1].at
    for project in PROJECTS[:2]:
        assert resumed.used(project, now) == whole.used(project, now)


def test_a_quota_names_itself_and_the_end_of_a_task_makes_room() -> None:
    counts, limits = ProjectCounts(), {OPEN_TASKS: 1}
    counts.begin("p1", "ann", "t1", limits, 0.0)
    counts.begin("p1", "ann", "t1", limits, 0.0)
    with pytest.raises(OverBudget, match="quota open_tasks of project p1"):
        counts.begin("p1", "ben", "t1", limits, 0.0)
    counts.begin("p2", "ben", "t1", limits, 0.0)
    counts.fold(records(created("p1")))
    assert counts.used("p1", 0.0) == (1, 1)
    with pytest.raises(OverBudget):
        counts.begin("p1", "ben", "t2", limits, 0.0)
    counts.fold(records(facts.done("ann", "t1", Outcome.FAILED), first=2))
    counts.begin("p1", "ben", "t2", limits, 0.0)
    counts.end("ben", "t2")
    counts.begin("p1", "ben", "t3", limits, 0.0)


def test_a_days_quota_is_free_again_at_midnight() -> None:
    counts, limits = ProjectCounts(), {TASKS_A_DAY: 2}
    noon = 10.5 * DAY_S
    counts.fold(records(created("p1"), facts.done("ann", "t1", Outcome.FAILED), at=noon))
    counts.begin("p1", "ann", "t2", limits, noon)
    with pytest.raises(OverBudget, match="quota tasks_a_day of project p1") as refused:
        counts.begin("p1", "ann", "t3", limits, noon)
    assert refused.value.wait_s == DAY_S / 2
    counts.end("ann", "t2")
    counts.begin("p1", "ann", "t3", limits, noon)
    counts.end("ann", "t3")
    assert counts.used("p1", noon + DAY_S) == (0, 0)
    counts.begin("p1", "ann", "t4", {TASKS_A_DAY: 1}, noon + DAY_S)


def test_nothing_is_left_of_what_has_ended() -> None:
    counts = ProjectCounts()
    for n in range(100):
        counts.begin("p1", "ann", f"t{n}", {}, 0.0)
        counts.fold(records(created("p1", "ann", f"t{n}"), first=n + 1))
        counts.fold(records(facts.done("ann", f"t{n}", Outcome.FAILED), first=n + 1))
    left = (counts._open, counts._coming, counts._opens, counts._comings)
    assert not any(left)


@pytest.mark.parametrize("limits", [{"tasks": 1}, {OPEN_TASKS: -1}, {TASKS_A_DAY: 10**10}])
def test_what_is_no_quota_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(Rejected):
        check_limits(limits)
