"""A word that this release does not know, wherever one can stand: nobody stops, nothing is undone.

`WORDS` has a row for each fact with the places in it where one of several words stands. They are
found in the contracts: an enumeration, a kind or a closed struct that is new fails here until its
row is written, and what all services make of it is looked at.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contracts import status, subjects
from contracts.facts import AnyFact, HealthStatus, McpHealth, McpRegistered, Record, Unknown, decode
from contracts.result import Pointer
from services.log.memory import MemoryLog
from services.process.ids import new_id
from services.registry import domain
from services.registry.domain import Listed, ProbeEnded
from services.registry.projection import View
from services.router.domain import evolve, initial
from services.router.state import Phase
from tests.histories.views import Views, views
from tests.support import facts as make
from tests.support.words import CASES, USER, Case, places
from tests.unit.router.world import host

WORDS = {
    "task.created": "type spec.input_pointer.<pointer>.kind spec.priority spec.on_unknown"
    " spec.on_leave",
    "task.cancelled": "type",
    "task.routed": "type",
    "task.asked": "type kind approvers.<None>.roles approvers.<None>.of_tomorrow",
    "task.answered": "type action",
    "task.tagged": "type",
    "job.signed": "type",
    "job.failed": "type kind result.<inline>.kind result.<pointer>.kind",
    "job.done": "type outcome result.<inline>.kind result.<pointer>.kind",
    "result.stored": "type pointer.kind",
    "result.deleted": "type",
    "mcp.registered": "type"
    " spec.endpoint.<stdio>.kind spec.endpoint.<http>.kind spec.endpoint.<openapi>.kind"
    " spec.endpoint.<execute>.kind spec.endpoint.<noop>.kind"
    " spec.placement spec.replay spec.on_leave spec.sessions"
    " spec.access.<None>.roles spec.access.<None>.of_tomorrow"
    " spec.approvers.<None>.roles spec.approvers.<None>.of_tomorrow"
    " spec.tool_access.any.roles spec.tool_access.any.of_tomorrow"
    " spec.task_types.any.of_tomorrow spec.task_types.any.steps.of_tomorrow"
    " spec.task_types.any.access.<None>.roles spec.task_types.any.access.<None>.of_tomorrow"
    " spec.task_types.any.cache.<None>.scope spec.task_types.any.cache.<None>.of_tomorrow"
    " spec.cache.any.scope spec.cache.any.of_tomorrow"
    " spec.flags.of_tomorrow spec.limits.of_tomorrow spec.probe.of_tomorrow",
    "mcp.removed": "type",
    "mcp.health": "type status",
    "mcp.preferred": "type",
    "operation.started": "type action",
    "operation.stepped": "type",
    "operation.stopped": "type",
    "log.router": "type",
    "log.key": "type",
    "log.sealed": "type",
}


def host_fact(host_: str) -> McpRegistered:
    return McpRegistered(id=new_id(), by="registry-1", host=host_, k=1, spec=host(host_))


def healthy(host_: str) -> McpHealth:
    status = HealthStatus.HEALTHY
    return McpHealth(id=new_id(), by="registry-1", host=host_, k=1, status=status)


def before(case: Case) -> list[AnyFact]:
    """What stands in the log before it, so that there is something to lose."""
    kind = case.place.type
    facts: list[AnyFact] = [host_fact(case.host)]
    if kind == "mcp.health":
        facts.append(healthy(case.host))
    if kind != "task.created":
        facts.append(make.created(USER, case.task))
    if kind.startswith("job.") or kind == "task.cancelled":
        facts.append(make.routed(USER, case.task, host=case.host))
    if kind == "task.answered":
        facts.append(make.asked(USER, case.task))
    if kind in ("job.failed", "job.done"):
        facts.append(make.signed(USER, case.task, host=case.host))
    if kind.startswith("result."):
        pointer = Pointer(f"nats://b/{USER}/0", "0" * 64, 7)
        facts.append(make.done(USER, case.task, result=pointer))
    return facts


async def written(log: MemoryLog, case: Case) -> None:
    for fact in before(case):
        await log.append(fact)
    log.foreign(case.subject, case.data)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[MemoryLog, Views]:
    """What all services hold of a log that has one of each."""

    async def follow() -> tuple[MemoryLog, Views]:
        log = MemoryLog()
        for case in CASES:
            await written(log, case)
        return log, await views(log, tmp_path_factory.mktemp("views"))

    return asyncio.run(follow())


def test_every_place_where_a_word_stands_has_its_row() -> None:
    listed = [f"{fact}:{way}" for fact, ways in WORDS.items() for way in ways.split()]
    assert sorted(listed) == sorted(place.name for place in places())
    assert WORDS.keys() == {str(fact.__struct_config__.tag) for fact in AnyFact.__args__}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.place.name)
def test_it_is_read_as_unknown_with_what_its_subject_says(case: Case) -> None:
    fact = decode(case.data, case.subject)
    assert isinstance(fact, Unknown)
    assert (fact.subject, fact.data, fact.id) == (case.subject, case.data, "x")
    assert subjects.parse(fact.subject).type == case.place.type
    assert json.loads(fact.json) == json.loads(case.data)


def row(views_: Views, service: str, table: str, key: str, column: int = 0) -> tuple[Any, ...]:
    rows = [one for one in views_.rows[service][table] if one[column] == key]
    assert len(rows) <= 1
    return rows[0] if rows else ()


def shown(views_: Views, case: Case) -> str:
    """The status of the task in the gateway's list."""
    one = row(views_, "gateway", "tasks", case.task, 1)
    return str(one[4]) if one else ""


def created(v: Views, case: Case) -> None:
    assert case.key not in v.router.tasks
    assert shown(v, case) == ""


def cancelled(v: Views, case: Case) -> None:
    task = v.router.tasks[case.key]
    assert (task.phase, task.unread) == (Phase.ROUTED, False)


def routed(v: Views, case: Case) -> None:
    assert v.router.tasks[case.key].unread
    assert shown(v, case) == "pending"


def asked(v: Views, case: Case) -> None:
    task = v.router.tasks[case.key]
    assert (task.unread, task.questions) == (True, 1), "the next one counts on from it"
    assert shown(v, case) == "pending"


def answered(v: Views, case: Case) -> None:
    task = v.router.tasks[case.key]
    assert (task.unread, task.phase) == (True, Phase.ASKED)
    assert shown(v, case) == "input_required"


def tagged(v: Views, case: Case) -> None:
    task = v.router.tasks[case.key]
    assert (task.phase, task.unread) == (Phase.WAITING, False), "no decision depends on it"
    assert shown(v, case) == "pending"


def signed(v: Views, case: Case) -> None:
    task = v.router.tasks[case.key]
    assert (task.unread, task.head > 0, task.phase) == (True, True, Phase.ROUTED)


def failed(v: Views, case: Case) -> None:
    task = v.router.tasks[case.key]
    assert (task.unread, task.phase) == (True, Phase.WAITING)
    assert v.router.flights.hosts.get(case.host, 0) == 0, "its host has a free slot"
    assert shown(v, case) == "running"


def done(v: Views, case: Case) -> None:
    assert case.key not in v.router.tasks
    assert v.router.flights.hosts.get(case.host, 0) == 0
    assert shown(v, case) == "running"
    assert row(v, "gateway", "tasks", case.task, 1)[9] is not None, "it is over, however"
    assert row(v, "results", "results", case.task) == ()


def result(v: Views, case: Case) -> None:
    kept = row(v, "results", "results", case.task)
    assert (kept[2], kept[11]) == ("pointer", ""), "where it was, and not deleted"


def registered(v: Views, case: Case) -> None:
    assert case.host not in v.router.hosts
    assert row(v, "gateway", "hosts", case.host) == ()
    assert row(v, "executor", "hosts", case.host)[2] is None
    known = row(v, "registry", "hosts", case.host)
    assert (known[1], known[3], known[10]) == (None, 2, 1), "the next one counts on from it"


def removed(v: Views, case: Case) -> None:
    assert case.host not in v.router.hosts
    assert row(v, "gateway", "hosts", case.host) == row(v, "executor", "hosts", case.host) == ()
    assert row(v, "registry", "hosts", case.host)[1] is None


def health(v: Views, case: Case) -> None:
    assert v.router.hosts[case.host].status is HealthStatus.HEALTHY, "as it was before"
    known = row(v, "registry", "hosts", case.host)
    assert (known[1] is not None, known[5], known[6]) == (True, 2, "unknown")


def preferred(v: Views, case: Case) -> None:
    assert (USER, case.host) not in v.router.tastes


def term(v: Views, case: Case) -> None:
    assert v.router.term == subjects.parse(case.subject).number


def operated(v: Views, case: Case) -> None:
    nothing(v, case)
    assert v.rows["gateway"]["operations"] == [], "what can't be read is not carried out"


def nothing(v: Views, case: Case) -> None:
    assert case.host in v.router.hosts


LOOKS: dict[str, Callable[[Views, Case], None]] = {
    "task.created": created,
    "task.cancelled": cancelled,
    "task.routed": routed,
    "task.asked": asked,
    "task.answered": answered,
    "task.tagged": tagged,
    "job.signed": signed,
    "job.failed": failed,
    "job.done": done,
    "result.stored": result,
    "result.deleted": result,
    "mcp.registered": registered,
    "mcp.removed": removed,
    "mcp.health": health,
    "mcp.preferred": preferred,
    "operation.started": operated,
    "operation.stepped": operated,
    "operation.stopped": operated,
    "log.router": term,
    "log.key": nothing,
    "log.sealed": nothing,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.place.name)
async def test_services_leave_alone_what_it_is_about(
    case: Case, found: tuple[MemoryLog, Views]
) -> None:
    log, views_ = found
    LOOKS[case.place.type](views_, case)
    facts = await log.read(subjects.of_task(USER, case.task))
    view = status.fold(facts)
    if case.place.type.startswith(("task.", "job.")):
        assert view is None or "can read what sequence" in view.waiting
        assert status.unrouted(facts) is None, "nobody says that it waits for its turn"


@pytest.mark.parametrize(
    "name", ["mcp.registered:spec.sessions", "mcp.removed:type", "mcp.health:status"]
)
async def test_a_host_of_a_manifest_has_work_again_after_the_next_start(name: str) -> None:
    log, view, state = MemoryLog(), View(), initial()
    case = next(one for one in CASES if one.place.name == name)
    await log.append(host_fact(case.host))
    await log.append(healthy(case.host))
    log.foreign(case.subject, case.data)
    seen = 0

    async def follow() -> None:
        nonlocal seen
        for record in (await log.read((">",)))[seen:]:
            view.fold([record])
            evolve(state, record)
            seen = record.seq

    await follow()
    for decide in (
        lambda: Listed((host(case.host),)),
        lambda: ProbeEnded(case.host, view.hosts[case.host].seq),
    ):
        for fact in domain.decide(view.hosts, decide()):
            await log.append(msgspec.structs.replace(fact, id=new_id()))
        await follow()
    assert state.hosts[case.host].status is HealthStatus.HEALTHY
    assert view.hosts[case.host].status is HealthStatus.HEALTHY


async def test_what_can_be_read_again_tells_where_the_task_is() -> None:
    log = MemoryLog()
    case = next(one for one in CASES if one.place.name == "job.failed:kind")
    await written(log, case)
    await log.append(make.routed(USER, case.task, 2))
    records: list[Record] = await log.read(subjects.of_task(USER, case.task))
    view = status.fold(records)
    assert view is not None
    assert (view.status, view.attempt, view.waiting) == (status.Status.QUEUED, 2, "")
