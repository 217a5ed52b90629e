"""The invariants of DESIGN section 4 as checks over the whole log and the hosts' own records."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from contracts.facts import (
    JobDone,
    JobFailed,
    JobSigned,
    LogKey,
    LogRouter,
    Record,
    TaskCreated,
    TaskRouted,
)
from services.audit import checks as audits
from services.audit.checks import Recomputed
from services.audit.given_again import given_again
from services.router.domain import evolve, initial, key_of
from services.router.recompute import select_again
from services.router.settings import Settings


def check(records: list[Record], calls: list[dict[str, Any]], accepted: list[str]) -> None:
    """Fail with the first invariant that does not hold."""
    gapless(records)
    terms_rise(records)
    by_task = group(records)
    one_end_each(by_task, accepted)
    for task, facts in by_task.items():
        attempts_agree(task, facts)
    one_call_per_attempt(by_task, calls)
    given_again_by_right(by_task, records)


def given_again_by_right(by_task: dict[str, list[Record]], records: list[Record]) -> None:
    """Whatever is given again was worked for, and its host allows it."""
    for task, facts in by_task.items():
        assert not list(given_again(facts, records)), task


def gapless(records: list[Record]) -> None:
    assert [record.seq for record in records] == list(range(1, len(records) + 1))


def terms_rise(records: list[Record]) -> None:
    """One router decides at a time: each route is of the newest term there was."""
    term, holder = 0, ""
    for record in records:
        match record.fact:
            case LogRouter(again=True) as fact:
                assert (fact.term, fact.by) == (term, holder), record
            case LogRouter() as fact:
                assert fact.term == term + 1, record
                term, holder = fact.term, fact.by
            case TaskRouted() as fact:
                assert (fact.route.term, fact.by) == (term, holder), record


def audited(records: list[Record]) -> None:
    """4 and 6: every check of `metamcp audit` holds for every task, permits and routes included."""
    again = recomputed(records)
    keys = [record for record in records if isinstance(record.fact, LogKey)]
    for task, facts in group(records).items():
        checks = audits.audit(facts, keys, lambda r: again[r.seq], records)
        wrong = [check for check in checks if not check.ok]
        assert not wrong, f"{task}: {wrong}"


def recomputed(records: list[Record], settings: Settings | None = None) -> dict[int, Recomputed]:
    """6: what the router's own function says today to each route, all of it the same as then."""
    routes = [r for r in records if isinstance(r.fact, TaskRouted)]
    state, position = initial(), 0
    found = {}
    for record in sorted(routes, key=lambda r: r.fact.route.basis):  # type: ignore[union-attr]
        assert isinstance(record.fact, TaskRouted)
        route = record.fact.route
        assert route.basis < record.seq, record
        for folded in records[position : route.basis]:
            evolve(state, folded)
        position = max(position, route.basis)
        chosen = select_again(state, record.fact, settings or Settings())
        assert (chosen.host, chosen.host_seq) == (route.host, route.host_seq), record
        assert chosen.candidates == route.candidates, record
        assert chosen.removed == route.removed, record
        assert settings is None or chosen.policy == route.policy, record
        task = state.tasks[key_of(record.fact.user, record.fact.task)]
        assert route.isolated == task.isolated, record
        found[record.seq] = Recomputed(chosen.host, chosen.score, chosen.candidates)
    return found


def group(records: list[Record]) -> dict[str, list[Record]]:
    """Facts by task, in log order."""
    tasks: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        task = getattr(record.fact, "task", None)
        if task:
            tasks[task].append(record)
    return tasks


def one_end_each(by_task: dict[str, list[Record]], accepted: list[str]) -> None:
    """1 and 2: what was accepted is there and ends exactly once, after its creation."""
    for task in accepted:
        assert task in by_task, f"{task} was accepted and is not in the log"
    for task, facts in by_task.items():
        kinds = Counter(type(record.fact) for record in facts)
        assert kinds[TaskCreated] == 1, f"{task}: {kinds}"
        assert kinds[JobDone] == 1, f"{task}: {kinds}"
        assert isinstance(facts[0].fact, TaskCreated), task


def attempts_agree(task: str, facts: list[Record]) -> None:
    """3 and 4: attempts count up from 1; route, claim and outcome name one host and one input."""
    routes = {r.fact.attempt: r for r in facts if isinstance(r.fact, TaskRouted)}
    assert sorted(routes) == list(range(1, len(routes) + 1)), task
    claims = {r.fact.attempt: r for r in facts if isinstance(r.fact, JobSigned)}
    for attempt, claim in claims.items():
        route = routes[attempt]
        assert route.seq < claim.seq, task
        assert route.fact.route.host == claim.fact.host, task
        assert route.fact.route.input_sha256 == claim.fact.input_sha256, task
    for record in facts:
        match record.fact:
            case JobFailed() as fact:
                assert routes[fact.attempt].fact.route.host == fact.host, task
                assert record.seq > routes[fact.attempt].seq, task
            case JobDone(from_=str(from_)) as fact if from_:
                assert (fact.attempt, routes, claims) == (0, {}, {}), task
            case JobDone(attempt=0, outcome="succeeded"):
                raise AssertionError(f"{task} succeeded without work")
            case JobDone() as fact if fact.attempt and fact.outcome == "succeeded":
                assert claims[fact.attempt].fact.host == fact.host, task
                assert claims[fact.attempt].fact.input_sha256 == fact.input_sha256, task
                assert record.seq > claims[fact.attempt].seq, task


def one_call_per_attempt(by_task: dict[str, list[Record]], calls: list[dict[str, Any]]) -> None:
    """3: the hosts' own record has at most one call per attempt, and each was claimed before."""
    begun = [call for call in calls if call["event"] == "start" and call.get("task")]
    counted = Counter((call["task"], call["attempt"]) for call in begun)
    assert max(counted.values(), default=0) <= 1, counted.most_common(3)
    for call in begun:
        claims = [
            record
            for record in by_task[call["task"]]
            if isinstance(record.fact, JobSigned) and record.fact.attempt == call["attempt"]
        ]
        assert len(claims) == 1, f"{call} was never claimed"
        assert claims[0].at <= call["at"], f"{call} came before its claim"
