"""The tables say what the fold of `contracts.status` says, however the log is cut into batches."""

from __future__ import annotations

import sqlite3
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts import facts as kinds
from contracts.facts import AnyFact, Failure, Outcome, Record, encode
from contracts.host import HealthStatus, Host, Stdio
from contracts.result import inline
from contracts.status import Status, fold
from contracts.subjects import of
from contracts.task import TaskSpec
from services.gateway import lists
from services.gateway import projection as tables
from services.gateway.lookup import words
from services.process.ids import new_id
from tests.support import facts

USERS, TASKS, HOSTS = ["u1", "u2"], ["t1", "t2"], ["h1", "h2"]


def host_fact(kind: str, host: str, k: int) -> AnyFact:
    common: dict[str, Any] = {"id": new_id(), "by": "registry-1", "host": host, "k": k}
    match kind:
        case "registered":
            spec = Host(id=host, name=f"{host} {k}", endpoint=Stdio("x"), owner=[None, "u1"][k % 2])
            return kinds.McpRegistered(spec=spec, **common)
        case "removed":
            return kinds.McpRemoved(**common)
        case _:
            return kinds.McpHealth(status=HealthStatus.WARNING, reason=f"r{k}", **common)


def task_fact(kind: str, user: str, task: str, n: int) -> AnyFact:
    match kind:
        case "cancelled":
            return facts.cancelled(user, task)
        case "tagged":
            return facts.tagged(user, task, n, tags={"n": str(n)} if n % 3 else {})
        case "asked":
            return facts.asked(user, task, n)
        case "answered":
            return facts.answered(user, task, n)
        case "signed":
            return facts.signed(user, task, n)
        case "failed":
            return facts.failed(user, task, n, message=f"m{n}")
        case "stored":
            pointer = kinds.Pointer("u", "0" * 64, 1)
            return kinds.ResultStored(
                id=new_id(), by="results-1", user=user, task=task, pointer=pointer
            )
        case "succeeded":
            return facts.done(user, task, attempt=n, host="h1", result=inline(b"1"))
        case "given":
            earlier = kinds.Earlier(1, "h1", 1, 0.0)
            return facts.done(user, task, result=inline(b"1"), from_="t0", earlier=earlier)
        case _:
            return facts.done(user, task, Outcome.FAILED, error=Failure("tool", "broke"))


TASK_STEP = st.tuples(
    st.sampled_from(
        [
            *("cancelled", "asked", "answered", "signed", "failed", "stored"),
            *("succeeded", "given", "broken", "tagged"),
        ]
    ),
    st.sampled_from(USERS),
    st.sampled_from(TASKS),
)
SPECS = {
    "t1": TaskSpec(type="mcp.call", tags={"run": "7", "n": "1"}, again="t0"),
    "t2": TaskSpec(type="mcp.call", batch="b"),
}
PROJECTS = st.sampled_from(["", "p1"])
HOST_STEP = st.tuples(
    st.sampled_from(["registered", "removed", "health"]), st.sampled_from(HOSTS), st.just("")
)


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Any order of facts after the creation of some tasks."""
    steps = draw(st.lists(TASK_STEP | HOST_STEP, max_size=25))
    created = draw(st.lists(st.tuples(st.sampled_from(USERS), st.sampled_from(TASKS)), unique=True))
    made: list[AnyFact] = [
        msgspec.structs.replace(
            facts.created(user, task, asked_by=f"token:{task}", spec=SPECS[task]),
            project=draw(PROJECTS),
        )
        for user, task in created
    ]
    for n, (kind, first, second) in enumerate(steps, 1):
        made.append(task_fact(kind, first, second, n) if second else host_fact(kind, first, n))
    return [Record(n, n / 10, of(fact), fact, encode(fact)) for n, fact in enumerate(made, 1)]


def rows_after(batches: list[list[Record]]) -> dict[str, list[tuple[Any, ...]]]:
    db = sqlite3.connect(":memory:")
    for statement in tables.SCHEMA:
        db.execute(statement)
    for batch in batches:
        for sql, rows in tables.apply(batch):
            db.executemany(sql, rows)
    found = {
        t: sorted(db.execute(f"SELECT * FROM {t}"), key=repr)
        for t in ("tasks", "hosts", "keys", "spent", "tags", "times", "figures")
    }
    db.close()
    return found


@given(logs(), st.sets(st.integers(0, 30)))
def test_rows_do_not_depend_on_the_batches(records: list[Record], cuts: set[int]) -> None:
    edges = [0, *sorted(c for c in cuts if c < len(records)), len(records)]
    batches = [records[a:b] for a, b in pairwise(edges)]
    assert rows_after(batches) == rows_after([[record] for record in records])
    assert rows_after([records]) == rows_after(batches)


@given(logs())
def test_rows_say_what_the_fold_says(records: list[Record]) -> None:
    found = rows_after([records])
    every = found["tasks"]
    questions = {(row[0], row[1]): row[17] for row in every}
    rows = {
        (row[0], row[1]): lists._task_row((row[1], row[0], *row[2:14], *row[15:21]))
        for row in every
    }
    for user in USERS:
        for task in TASKS:
            own = [
                r
                for r in records
                if (getattr(r.fact, "user", ""), getattr(r.fact, "task", "")) == (user, task)
            ]
            view, row = fold(own), rows.get((user, task))
            if view is None:
                assert row is None
                continue
            assert row is not None
            if view.status is Status.INPUT_REQUIRED:
                assert questions[user, task] == msgspec.json.encode(view.question).decode()
            assert row.asks == (view.question.message if view.question else "")
            for field in ("id", "user", "type", "status", "created_seq", "created_at", "seq"):
                assert getattr(row, field) == getattr(view, field), field
            for field in (
                "updated_at",
                "done_at",
                "attempt",
                "host",
                "cancel_requested",
                "asked_by",
                "project",
                "tags",
                "again",
                "batch",
            ):
                assert getattr(row, field) == getattr(view, field), field
            looked_up = [
                tag for owner, id_, tag, *_ in found["tags"] if (owner, id_) == (user, task)
            ]
            assert sorted(looked_up) == sorted(words(view.tags))


def test_every_fact_of_a_task_says_something_about_it() -> None:
    assert tables._TELL.keys() == set(kinds.TaskFact.__args__)
