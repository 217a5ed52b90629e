"""The audit of a result that was given again: honest ones pass, each lie is named."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from contracts.facts import JobDone, JobFailed, McpRegistered, Outcome, Record, TaskCreated
from contracts.host import Access, Cache
from contracts.result import inline
from contracts.route import OF_ANOTHER
from services.audit.checks import audit
from services.audit.given_again import sources
from services.cli.commands.log import recomputer
from services.cli.show import tasks as render
from services.cli.show.why import why
from tests.unit.router.test_again import ALL, answered, call, deleted, server
from tests.unit.router.world import World, one_end

Lie = Callable[[list[Record]], list[Record]]


def given(user: str = "alice", **fields: Any) -> World:
    """`t2` got the result of alice's `t1`."""
    world = answered(server(cache=ALL, **fields))
    call(world, "t2", user)
    one_end(world)
    return world


def of(records: list[Record], task: str = "t2") -> list[Record]:
    return [record for record in records if getattr(record.fact, "task", "") == task]


def found(records: list[Record]) -> dict[str, str]:
    """What does not hold, by check; nothing of it is for want of a key."""
    checks = audit(of(records), [], recomputer(records), records)
    assert any(check.name == "given again" for check in checks)
    return {check.name: check.detail for check in checks if not check.ok}


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_an_honest_one_passes(user: str) -> None:
    records = given(user).records
    assert found(records) == {}
    (earlier,) = sources(of(records))
    assert records[earlier.seq - 1].fact.task == "t1"


def test_one_that_was_deleted_later_passes() -> None:
    world = given()
    deleted("t1")(world)
    assert found(world.records) == {}


def test_work_is_held_against_nothing_of_the_kind() -> None:
    checks = audit(of(given().records, "t1"), [], recomputer([]))
    assert "given again" not in {check.name for check in checks}


def change(task: str, kind: type, **fields: Any) -> Lie:
    """The first fact of this kind, of this task or of any host, says something else."""

    def lie(records: list[Record]) -> list[Record]:
        for n, record in enumerate(records):
            if isinstance(record.fact, kind) and getattr(record.fact, "task", "") == task:
                fact = msgspec.structs.replace(record.fact, **fields)
                return [*records[:n], replace(record, fact=fact), *records[n + 1 :]]
        raise AssertionError(kind)

    return lie


def spec(task: str, **fields: Any) -> Lie:
    def lie(records: list[Record]) -> list[Record]:
        known = next(r.fact.spec for r in of(records, task) if isinstance(r.fact, TaskCreated))
        return change(task, TaskCreated, spec=replace(known, **fields))(records)

    return lie


def host(**fields: Any) -> Lie:
    return change("", McpRegistered, spec=server(**{"cache": ALL} | fields))


def earlier(**fields: Any) -> Lie:
    def lie(records: list[Record]) -> list[Record]:
        (known,) = sources(of(records))
        return change("t2", JobDone, earlier=replace(known, **fields))(records)

    return lie


def late(records: list[Record]) -> list[Record]:
    return [replace(r, at=r.at - 3700) if r in of(records, "t1") else r for r in records]


def gone(records: list[Record]) -> list[Record]:
    """The deletion came long before."""
    world = World()
    deleted("t1")(world)
    return [*records, replace(world.records[0], seq=99, at=records[0].at - 60)]


def registered_anew(records: list[Record]) -> list[Record]:
    """As if the host had been another when it worked; what allows it is a later registration."""
    first = next(r for r in records if isinstance(r.fact, McpRegistered))
    later = replace(first, seq=first.seq + 50)
    return earlier(host_seq=later.seq)([*host(server="s 0")(records), later])


LIES: dict[str, Lie] = {
    "no success": change("t1", JobDone, outcome=Outcome.FAILED),
    "does not have the earlier result": earlier(seq=1000),
    "is no success of a task": earlier(seq=2),
    "only the result of work": change("t1", JobDone, from_="t0"),
    "without an attempt": change("t2", JobDone, attempt=1),
    "it names t9": change("t2", JobDone, from_="t9"),
    "it names -": change("t2", JobDone, from_=OF_ANOTHER),
    "another input": change("t1", JobDone, input_sha256="0" * 64),
    "had another input": spec("t2", input=msgspec.Raw(b'{"tool":"look"}')),
    "asked for something else": spec("t2", is_heavy=True),
    "not that of the earlier": change("t2", JobDone, result=inline(b"2")),
    "does not register": earlier(host="elsewhere"),
    "does not register h": earlier(host_seq=1000),
    "another version": registered_anew,
    "does not let": host(cache={"write": Cache(60)}),
    "asked for work": spec("t2", fresh=True),
    "was disabled": host(enabled=False),
    "older than 3600 s": late,
    "older than 3600": earlier(now=2e9),
    "may not use h": host(tool_access={"look": Access(users=("bob",))}),
    "alice may not use h": host(owner="bob"),
    "had been deleted": gone,
}


@pytest.mark.parametrize("said", LIES)
def test_a_lie_is_named(said: str) -> None:
    wrong = found(LIES[said](given().records))
    assert said in wrong["given again"]


def test_what_is_for_its_user_alone_was_not_for_others() -> None:
    records = host(cache={"look": Cache(3600)})(given("bob").records)
    assert "not for others" in found(records)["given again"]


def test_a_success_without_work_that_names_no_source_is_a_lie() -> None:
    wrong = audit(
        of(change("t2", JobDone, from_="", earlier=None)(given().records)), [], recomputer([])
    )
    assert "claim before outcome" in {check.name for check in wrong if not check.ok}


def shown(renderable: Any) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("user", "words"), [("alice", "t1"), ("bob", "a task of another user")])
def test_people_are_told_where_it_comes_from(user: str, words: str) -> None:
    records = of(given(user).records)
    assert f"given again from {words}" in shown(render.timeline(records))
    told = shown(why(records))
    assert f"No host was asked: the result is given again from {words}" in told
    assert "as h allows; --fresh asks for work" in told
    view = {"id": "t2", "status": "succeeded", "from": "t1" if user == "alice" else OF_ANOTHER}
    assert f"given again from {words}" in shown(render.task_head(view))
    assert not any(isinstance(record.fact, JobFailed) for record in records)
