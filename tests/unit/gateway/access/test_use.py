"""What users use of their budgets: the counts come from the log, in whatever order it was read."""

from __future__ import annotations

import sqlite3
from collections import Counter
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.budget import Budget
from contracts.errors import Reason, Rejected
from contracts.facts import AnyFact, McpPreferred, Record, encode
from contracts.subjects import of, parse
from services.gateway import projection as tables
from services.gateway.access.admission import Admission
from services.gateway.access.use import FactsRow, OpenRow, OverBudget, UserCounts
from services.process.ids import new_id
from tests.support import facts

HOUR = 3600.0
BUDGET = Budget(open_tasks=3, open_bytes=10_000, facts=5)
NOW = 100 * HOUR


def recorded(made: list[tuple[AnyFact, float]]) -> list[Record]:
    return [Record(seq, at, of(fact), fact, encode(fact)) for seq, (fact, at) in enumerate(made, 1)]


def preferred(user: str, k: int) -> McpPreferred:
    return McpPreferred(id=new_id(), by="test", user=user, host="h1", k=k, weight=0.5)


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Tasks of two users that are created, cancelled and ended, woven into each other."""
    lives: list[list[AnyFact]] = []
    for n in range(draw(st.integers(0, 8))):
        user, task = draw(st.sampled_from(["u1", "u2"])), f"t{n}"
        life: list[AnyFact] = [facts.created(user, task)]
        if draw(st.booleans()):
            life.append(facts.cancelled(user, task))
        if draw(st.booleans()):
            life += [facts.signed(user, task), facts.done(user, task)]
        if draw(st.booleans()):
            life.append(preferred(user, n))
        lives.append(life)
    made: list[AnyFact] = []
    while lives:
        life = lives[draw(st.integers(0, len(lives) - 1))]
        made.append(life.pop(0))
        lives = [life for life in lives if life]
    at = NOW
    timed: list[tuple[AnyFact, float]] = []
    for fact in made:
        at += draw(st.sampled_from([0.0, 1.0, 1800.0, 2 * HOUR, -1800.0]))
        timed.append((fact, at))
    return recorded(timed)


def from_tables(records: list[Record], cuts: set[int]) -> UserCounts:
    db = sqlite3.connect(":memory:")
    for statement in tables.SCHEMA:
        db.execute(statement)
    edges = [0, *sorted(c for c in cuts if c < len(records)), len(records)]
    for a, b in pairwise(edges):
        for sql, rows in tables.apply(records[a:b]):
            db.executemany(sql, rows)
    use = UserCounts()
    opened = db.execute("SELECT user, id, size FROM tasks WHERE done_at IS NULL")
    spent = db.execute("SELECT user, hour, count, tasks FROM spent")
    use.restore([OpenRow(*row) for row in opened], [FactsRow(*row) for row in spent])
    use._newest_hour = max((int(r.at // HOUR) for r in records), default=0)
    db.close()
    return use


@given(logs(), st.sets(st.integers(0, 30)))
def test_counts_after_a_restart_are_those_from_before(
    records: list[Record], cuts: set[int]
) -> None:
    use = UserCounts()
    use.fold(records)
    now = max((record.at for record in records), default=NOW)
    again = from_tables(records, cuts)
    for user in ("u1", "u2"):
        assert again.of(user, now) == use.of(user, now)
        assert again.open_tasks(user) == use.open_tasks(user)


@given(logs(), st.integers(0, 30))
def test_a_gateway_that_starts_midway_comes_to_the_same(records: list[Record], cut: int) -> None:
    whole = UserCounts()
    whole.fold(records)
    late = from_tables(records[:cut], set())
    late.fold(records[cut:])
    now = max((record.at for record in records), default=NOW)
    for user in ("u1", "u2"):
        assert late.of(user, now) == whole.of(user, now)


@given(logs())
def test_what_is_open_is_what_was_created_and_has_no_end(records: list[Record]) -> None:
    use = UserCounts()
    use.fold(records)
    parsed = [(parse(record.subject), len(record.data)) for record in records]
    created = {(what.user, what.task): s for what, s in parsed if what.type == "task.created"}
    ended = {(what.user, what.task) for what, _ in parsed if what.type == "job.done"}
    sizes: Counter[str] = Counter()
    for (user, _), size in ((key, s) for key, s in created.items() if key not in ended):
        sizes[user] += size
    for user in ("u1", "u2"):
        assert use.of(user, NOW).open_bytes == sizes[user]
        assert set(use.open_tasks(user)) == {t for u, t in created.keys() - ended if u == user}


def test_a_task_too_many_waits_for_an_end() -> None:
    use = UserCounts()
    for n in range(3):
        use.begin("u", f"t{n}", 100, BUDGET, NOW)
    with pytest.raises(OverBudget, match=r"open_tasks: u has 3 .* of at most 3: wait") as refused:
        use.begin("u", "t3", 100, BUDGET, NOW)
    assert refused.value.reason is Reason.RATE_LIMITED
    assert refused.value.wait_s > 0
    use.begin("other", "t3", 100, BUDGET, NOW)
    use.fold(recorded([(facts.created("u", "t0"), NOW), (facts.done("u", "t0"), NOW)]))
    use.begin("u", "t3", 100, BUDGET, NOW)


def test_a_task_that_never_got_to_the_log_leaves_its_place() -> None:
    use = UserCounts()
    for n in range(50):
        use.begin("u", f"t{n}", 100, BUDGET, NOW)
        use.end("u", f"t{n}")
    assert use.of("u", NOW).open_tasks == 0
    assert use.of("u", NOW).open_bytes == 0


def test_a_task_that_is_open_may_be_sent_again_at_the_limit() -> None:
    use = UserCounts()
    use.fold(recorded([(facts.created("u", f"t{n}"), NOW) for n in range(3)]))
    use.begin("u", "t1", 100, BUDGET, NOW)
    assert use.of("u", NOW).open_tasks == 3


def test_bytes_are_bounded_and_a_task_that_never_fits_is_told_so() -> None:
    use = UserCounts()
    use.begin("u", "t0", 6_000, BUDGET, NOW)
    with pytest.raises(OverBudget, match=r"open_bytes: .* have 6000 bytes, of at most 10000"):
        use.begin("u", "t1", 6_000, BUDGET, NOW)
    with pytest.raises(Rejected, match="PUT /api/blobs") as refused:
        use.begin("u", "t1", 10_001, BUDGET, NOW)
    assert refused.value.reason is Reason.TOO_LARGE


def waiting(use: UserCounts, budget: Budget, now: float) -> float:
    """Seconds that a fact of this user has to wait."""
    try:
        use.check_facts("u", budget, now)
    except OverBudget as over:
        return over.wait_s
    return 0.0


@given(st.lists(st.floats(0, 2 * HOUR), min_size=1, max_size=30))
def test_whoever_waits_as_long_as_he_is_told_may_store_a_fact(steps: list[float]) -> None:
    use, now = UserCounts(), NOW
    budget = msgspec.structs.replace(BUDGET, open_tasks=10**6, open_bytes=10**9)
    for n, step in enumerate(steps):
        now += step
        if wait_s := waiting(use, budget, now):
            assert wait_s <= 2 * HOUR
            assert waiting(use, budget, now + wait_s * 0.98), "it would have been sooner"
            now += wait_s + 0.01
            assert not waiting(use, budget, now)
        use.fold(recorded([(facts.created("u", f"t{n}"), now)]))


def test_a_cancellation_counts_and_is_never_refused_for_it() -> None:
    use = UserCounts()
    use.fold(recorded([(facts.cancelled("u", f"t{n}"), NOW) for n in range(5)]))
    with pytest.raises(OverBudget, match="budget facts: u has stored 5"):
        use.begin("u", "t9", 100, BUDGET, NOW)


def test_users_who_do_nothing_are_forgotten() -> None:
    use = UserCounts()
    use.fold(recorded([(preferred(f"u{n}", 1), NOW) for n in range(100)]))
    use.fold(recorded([(preferred("new", 1), NOW + 2 * HOUR)]))
    assert list(use._users) == ["new"]


def test_whoever_created_tasks_today_is_remembered_until_they_are_a_day_old() -> None:
    use = UserCounts()
    mine = [(facts.created("u1", "t1"), NOW), (facts.done("u1", "t1"), NOW + 1)]
    use.fold(recorded([*mine, (facts.created("u2", "t2"), NOW + 5 * HOUR)]))
    assert use.of("u1", NOW + 5 * HOUR).tasks_a_day == 1
    budget = msgspec.structs.replace(BUDGET, tasks_a_day=1)
    with pytest.raises(OverBudget, match="budget tasks_a_day: u1 has created 1 tasks") as over:
        use.begin("u1", "t3", 10, budget, NOW + 5 * HOUR)
    assert over.value.wait_s == pytest.approx(19 * HOUR, abs=1)
    use.fold(recorded([(facts.created("u2", "t4"), NOW + 30 * HOUR)]))
    assert "u1" not in use._users
    use.begin("u1", "t3", 10, budget, NOW + 30 * HOUR)


def test_before_it_is_known_what_is_open_only_operators_get_tasks_in() -> None:
    admission = Admission(counted=False)
    with pytest.raises(Rejected) as refused:
        admission.begin("alice", "t1", 10)
    assert refused.value.reason is Reason.UNAVAILABLE
    admission.begin("alice", "t1", 10, operator=True)
    admission.counted = True
    admission.begin("alice", "t2", 10)
