"""Tags of tasks, tasks that repeat others, and lists that are filtered, counted and written out."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.facts import Failure, Outcome, TaskTagged
from contracts.scopes import TASKS_WRITE
from contracts.status import Status
from contracts.task import Priority
from services.bus.bus import Bus
from services.gateway import exported, tagging
from services.gateway.http import exports, filters
from services.gateway.rows import TaskRow
from tests.support import facts
from tests.unit.gateway.scoped import take_scoped_tokens, token
from tests.unit.gateway.world import TASK, World, made, world

WHO = "alice-token"


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with world(tmp_path, bus) as gateway:
        yield gateway


@pytest.fixture
async def alice(one: World) -> AsyncIterator[httpx.AsyncClient]:
    async with one.http(WHO) as client:
        yield client


async def tag(client: httpx.AsyncClient, task: str, tags: Any) -> httpx.Response:
    return await client.put(f"/api/tasks/{task}/tags", json={"tags": tags})


async def again(client: httpx.AsyncClient, task: str, **edits: Any) -> httpx.Response:
    return await client.post(f"/api/tasks/{task}/again", json=edits)


async def ids(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/api/tasks", params=params)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["data"]]


async def test_tags_are_set_also_after_the_end_and_only_when_they_are_others(
    one: World, alice: httpx.AsyncClient
) -> None:
    await made(alice, id="t1", tags={"run": "7"})
    await one.append(facts.routed("alice", "t1"), facts.done("alice", "t1", result=None))
    head = await one.log.head()
    same = await tag(alice, "t1", {"run": "7"})
    assert (same.status_code, same.json()["message"]) == (200, "it has these tags")
    assert await one.log.head() == head
    new = (await tag(alice, "t1", {"run": "8", "by": "ü"})).json()["data"]
    assert new == {"task": "t1", "tags": {"run": "8", "by": "ü"}, "seq": head + 1}
    view = (await alice.get("/api/tasks/t1")).json()["data"]
    assert (view["tags"], view["status"], view["spec"]["tags"]) == (
        {"run": "8", "by": "ü"},
        "succeeded",
        {"run": "7"},
    )
    assert await ids(alice, tag="run=8") == ["t1"]
    assert await ids(alice, tag="run=7") == []
    assert await ids(alice, tag=["run", "by=ü"]) == ["t1"]
    assert (await tag(alice, "t1", {})).status_code == 200
    assert await ids(alice, tag="run") == []
    record = (await one.log.read(("task.tagged.>",)))[-1]
    assert isinstance(record.fact, TaskTagged)
    assert (record.fact.k, record.fact.tagged_by, record.subject) == (
        2,
        "alice",
        "task.tagged.alice.t1.2",
    )


async def test_of_two_who_tag_at_once_both_stand_one_after_the_other(
    one: World, alice: httpx.AsyncClient
) -> None:
    await made(alice, id="t1")
    await asyncio.gather(*(tag(alice, "t1", {"n": str(n)}) for n in range(6)))
    told = [record.fact for record in await one.log.read(("task.tagged.>",))]
    assert [fact.k for fact in told if isinstance(fact, TaskTagged)] == [1, 2, 3, 4, 5, 6]
    view = (await alice.get("/api/tasks/t1")).json()["data"]
    assert view["tags"] == told[-1].tags  # type: ignore[union-attr]


async def test_what_can_not_be_is_refused(
    one: World, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(alice, id="t1")
    for tags in ({"a b": ""}, {"a": 1}, {f"k{n}": "" for n in range(17)}, [], None):
        answer = await tag(alice, "t1", tags)
        assert answer.status_code == 400, tags
        assert "not tags" in answer.text
    assert (await tag(alice, "none", {})).status_code == 404
    async with one.http("bob-token") as bob:
        assert (await tag(bob, "t1", {})).status_code == 404
        assert (await again(bob, "t1")).status_code == 404
    monkeypatch.setattr(tagging, "MOST_CHANGES", 1)
    assert (await tag(alice, "t1", {"a": "1"})).status_code == 200
    refused = await tag(alice, "t1", {"a": "2"})
    assert (refused.status_code, "1 times" in refused.text) == (409, True)


async def test_a_task_is_repeated_with_what_is_to_be_another_way(
    one: World, alice: httpx.AsyncClient
) -> None:
    await made(alice, id="t1", tags={"run": "7"}, host="h1", batch="b", deadline_s=50)
    await one.append(facts.done("alice", "t1", Outcome.FAILED, error=Failure("tool", "broke")))
    await tag(alice, "t1", {"run": "8"})
    edits = {"id": "t2", "host": None, "priority": "high", "input": {"x": 1}}
    first = await again(alice, "t1", **edits)
    view = first.json()["data"]
    assert (first.status_code, view["again"], view["id"]) == (201, "t1", "t2")
    assert view["spec"] == {
        "type": TASK["type"],
        "input": {"x": 1},
        "priority": "high",
        "deadline_s": 50.0,
        "tags": {"run": "8"},
        "again": "t1",
    }
    await tag(alice, "t1", {"run": "9"})
    same = await again(alice, "t1", **edits)
    assert (same.status_code, same.json()["data"]["id"]) == (200, "t2")
    other = await again(alice, "t1", id="t2")
    assert (other.status_code, other.json()["error"]["reason"]) == (409, "conflict")
    plain = (await alice.post("/api/tasks/t1/again")).json()["data"]
    assert (plain["spec"]["input"], plain["tags"]) == (TASK["input"], {"run": "9"})
    for wrong in ({"again": "t9"}, {"tpye": "x"}, {"timeout_s": -1}):
        assert (await again(alice, "t1", **wrong)).status_code == 400, wrong
    take_scoped_tokens(one)
    async with one.http(token("alice", TASKS_WRITE)) as narrow:
        assert (await again(narrow, "t1")).json()["error"]["reason"] == "insufficient_scope"


async def test_an_input_that_lies_apart_stays_there_unless_there_is_another(
    alice: httpx.AsyncClient,
) -> None:
    await made(alice, id="t1", input={"a": "x" * 70_000})
    view = (await again(alice, "t1")).json()["data"]
    pointer = view["spec"]["input_pointer"]
    assert pointer["size"] > 70_000
    small = (await again(alice, "t1", input={"a": 1})).json()["data"]["spec"]
    assert (small["input"], "input_pointer" in small) == ({"a": 1}, False)


async def test_what_could_not_be_understood_is_not_repeated(
    one: World, alice: httpx.AsyncClient
) -> None:
    await one.append(facts.created("alice", "t1", invalid="no task"))
    await one.append(
        facts.done("alice", "t1", Outcome.REJECTED, error=Failure("invalid", "no task"))
    )
    refused = await again(alice, "t1")
    assert (refused.status_code, "nothing to repeat" in refused.text) == (400, True)


async def test_lists_are_filtered_and_counted(one: World, alice: httpx.AsyncClient) -> None:
    for n in range(6):
        await made(alice, id=f"run-{n}", type=f"type.{n % 2}", tags={"n": str(n % 3)})
    await one.append(facts.routed("alice", "run-1", host="h1"))
    await one.append(*(facts.done("alice", f"run-{n}", Outcome.FAILED) for n in (2, 3)))
    await one.append(facts.done("alice", "run-4"))
    await one.settled()
    assert await ids(alice, status=["failed", "queued"]) == ["run-3", "run-2", "run-1"]
    assert await ids(alice, host="h1") == ["run-1"]
    assert await ids(alice, text="RUN-4") == ["run-4"]
    assert await ids(alice, type="type.0", tag="n=1", over="true") == ["run-4"]
    assert len(await ids(alice, created_after="2020-01-01", ended_after="0", longer_s=0)) == 3
    for early in ("1577836800", "2020-01-01T00:00:00Z", "2020-01-01T01:00:00+01:00", "2020-01-01"):
        assert await ids(alice, created_before=early) == []
        assert len(await ids(alice, created_after=early)) == 6
    counts = (await alice.get("/api/tasks/counts", params={"type": "type.0"})).json()["data"]
    assert counts == {
        "total": 3,
        "by_status": {"pending": 1, "failed": 1, "succeeded": 1},
        "more": False,
    }
    for name, value in {
        "created_after": "soon",
        "ended_before": "-1",
        "ended_after": "nan",
        "created_before": "1e300",
        "tag": "=x",
        "status": "done",
        "text": "x" * (filters.TEXT_CHARS + 1),
        "longer_s": "-1",
    }.items():
        for path in ("/api/tasks", "/api/tasks/counts", "/api/tasks/export"):
            answer = await alice.get(path, params={name: value})
            assert (answer.status_code, name in answer.text) == (400, True), (path, name)
    theirs = await alice.get("/api/tasks/counts", params={"user": "bob"})
    assert theirs.status_code == 404
    async with one.http("bob-token") as bob:
        assert (await bob.get("/api/tasks/counts")).json()["data"]["total"] == 0
        assert (await bob.get("/api/tasks/export")).text == ""


async def test_a_list_is_written_out(
    one: World, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(7):
        await made(alice, id=f"t{n}", tags={"note": "=1+1"})
    monkeypatch.setattr(exports, "MOST_LISTED", 2)
    monkeypatch.setattr(exports, "MOST_EXPORTED", 5)
    answer = await alice.get("/api/tasks/export", params={"tag": "note"})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["id"] for row in rows] == ["t6", "t5", "t4", "t3", "t2"]
    last = {"cursor": rows[-1]["created_seq"], "format": "csv"}
    answer = await alice.get("/api/tasks/export", params=last)
    assert answer.headers["content-disposition"] == 'attachment; filename="tasks.csv"'
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [line["id"] for line in table] == ["t1", "t0"]
    assert json.loads(table[0]["tags"]) == {"note": "=1+1"}


def test_no_cell_is_a_formula() -> None:
    row = TaskRow(
        *("-t1", "@ann", "=scan", Priority.HIGH, Status.FAILED),
        *(41, 0.5, 44, 3.0),
        done_at=3.0,
        host='"h",1',
        error=Failure("tool", "+1\r\n=2"),
        again="\tx",
    )
    text = (exported.csv_head() + exported.csv_lines([row])).decode()
    (line,) = csv.DictReader(io.StringIO(text, newline=""))
    assert list(line) == list(exported.COLUMNS)
    assert (line["id"], line["user"], line["type"], line["again"]) == (
        "'-t1",
        "'@ann",
        "'=scan",
        "'\tx",
    )
    assert (line["host"], line["message"], line["took_s"]) == ('"h",1', "'+1\r\n=2", "2.500")
    assert (line["created_at"], line["attempt"]) == ("1970-01-01T00:00:00.500+00:00", "")
