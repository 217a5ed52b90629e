"""Operations over HTTP: each task once, whatever crashes, and only one's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts import operation, subjects
from contracts.facts import TaskCancelled, TaskCreated, TaskTagged
from contracts.operation import MOST_TASKS, OperationStarted
from services.bus.bus import Bus
from services.gateway.bulk import steps
from services.gateway.bulk.operations import QUIET_S, mine
from services.gateway.bulk.views import OpenOperation
from services.log.memory import MemoryLog
from services.log.port import AlreadyRecorded, Append, LogUnavailable
from tests.support import facts
from tests.unit.gateway.world import World, error_of, world


async def asked(client: httpx.AsyncClient, status: int = 202, **body: Any) -> dict[str, Any]:
    answer = await client.post("/api/operations", json=body)
    assert answer.status_code == status, answer.text
    return answer.json().get("data") or {}


async def over(client: httpx.AsyncClient, gateway: World, id_: str) -> dict[str, Any]:
    """The operation once it is over."""
    feed = gateway.site.feed
    async with asyncio.timeout(20):
        while True:
            seen = feed.position
            view = (await client.get(f"/api/operations/{id_}")).json()["data"]
            if view["state"] != "running":
                return view  # type: ignore[no-any-return]
            if feed.position == seen:  # What comes with the answer is no longer waited for.
                await feed.moved()


async def tasks(gateway: World, count: int, user: str = "alice") -> list[str]:
    ids = [f"t{n}" for n in range(count)]
    await gateway.append(*(facts.created(user, task) for task in ids))
    await gateway.settled()
    return ids


def count(log: MemoryLog, kind: type) -> Counter[str]:
    """How often there is a fact of this kind for each task."""
    every = log._records
    return Counter(r.fact.task for r in every if isinstance(r.fact, kind))  # type: ignore[attr-defined]


async def test_tasks_are_cancelled_run_again_and_tagged_and_failures_are_told(
    gateway: World,
) -> None:
    await tasks(gateway, 4)
    await gateway.append(facts.done("alice", "t1"), facts.created("bob", "theirs"))
    await gateway.settled()
    async with gateway.http() as client, gateway.stream() as stream:
        await stream.follow(to="operations")
        named = ["t0", "t1", "t2", "theirs", "t0"]
        begun = await asked(client, action="cancel", ids=named, id="op")
        assert (begun["id"], begun["total"], begun["action"]) == ("op", 4, "cancel")
        view = await over(client, gateway, "op")
        assert (view["state"], view["done"], view["failed"]) == ("done", 2, 2)
        why = {one["task"]: one["reason"] for one in view["failures"]}
        assert why == {"t1": "already_over", "theirs": "not_found"}
        again = await asked(client, 200, action="cancel", ids=["t3"], id="op")
        assert again["total"] == 4, "what was chosen first stands"
        await asked(client, 409, action="again", ids=["t0"], id="op")
        await asked(client, action="again", ids=["t1", "none"], id="redo")
        assert (await over(client, gateway, "redo"))["done"] == 1
        made = (await client.get("/api/tasks/redo-1")).json()["data"]
        assert (made["again"], made["type"]) == ("t1", "mcp.call")
        await asked(client, action="tag", ids=["t1", "t2"], tags={"a": "b"}, id="label")
        assert (await over(client, gateway, "label"))["done"] == 2
        assert (await client.get("/api/tasks/t1")).json()["data"]["tags"] == {"a": "b"}
        listed = (await client.get("/api/operations", params={"limit": 2})).json()
        assert [one["id"] for one in listed["data"]] == ["label", "redo"]
        await gateway.settled()
        await stream.through(await gateway.log.head())
        told = [one["event"]["type"] for one in stream.events()]
        assert told == ["operation.started", "operation.stepped"] * 3
        ended = await client.post("/api/operations/op/stop")
        assert error_of(ended).reason == "already_over"
    assert count(gateway.log, TaskCancelled) == {"t0": 1, "t2": 1}  # type: ignore[arg-type]
    async with gateway.http("bob-token") as bob:
        for path in ("op", "none"):
            assert (await bob.get(f"/api/operations/{path}")).status_code == 404
            assert (await bob.post(f"/api/operations/{path}/stop")).status_code == 404
        assert (await bob.get("/api/operations")).json()["data"] == []


async def test_a_filter_chooses_once_and_too_many_are_refused_with_their_number(
    gateway: World,
) -> None:
    await tasks(gateway, 3)
    await gateway.append(facts.done("alice", "t1"))
    await gateway.settled()
    async with gateway.http() as client:
        wanted = {"type": "mcp.call", "created_after": 0}
        begun = await asked(client, action="cancel", filter=wanted)
        assert begun["total"] == 2, "what is over is not chosen"
        assert (await over(client, gateway, begun["id"]))["failed"] == 0
        wrong: Sequence[dict[str, Any]] = (
            {"action": "cancel"},
            {"action": "cancel", "ids": []},
            {"action": "cancel", "ids": ["t0"], "filter": {}},
            {"action": "tag", "ids": ["t0"]},
            {"action": "again", "ids": ["t0"], "tags": {}},
            {"action": "cancel", "ids": ["a b"]},
            {"action": "cancel", "ids": ["t0"], "id": "x" * 59},
            {"action": "cancel", "filter": {"of_tomorrow": 1}},
        )
        for body in wrong:
            assert (await client.post("/api/operations", json=body)).status_code == 400, body
        nothing = {"action": "again", "filter": {"type": "none"}}
        assert (await client.post("/api/operations", json=nothing)).status_code == 404
        many = {"action": "cancel", "ids": [f"x{n}" for n in range(MOST_TASKS + 1)]}
        refused = error_of(await client.post("/api/operations", json=many))
        assert (refused.reason, str(MOST_TASKS + 1) in refused.message) == ("too_large", True)


class MortalLog(MemoryLog):
    """One whose gateway dies at its first write: before it is stored, or just after."""

    def __init__(self) -> None:
        super().__init__()
        self.dies = ""
        self.died = asyncio.Event()

    def _store(self, item: Append) -> int | AlreadyRecorded:
        if self.died.is_set() or self.dies == "before":
            self.died.set()
            raise LogUnavailable("dead")
        stored = super()._store(item)
        if self.dies == "after":
            self.died.set()
            raise LogUnavailable("dead")
        return stored


async def started(log: MemoryLog, action: str, count: int) -> None:
    """An operation on so many tasks, as a gateway has accepted it before it died."""
    ids = tuple(f"t{n}" for n in range(count))
    for task in ids:
        await log.append(facts.created("alice", task))
    parts = operation.parts_of(ids)
    for k, part in enumerate(parts, 1):
        fact = OperationStarted(
            id=f"f{k}",
            by="gateway-1",
            user="alice",
            operation="op",
            k=k,
            parts=len(parts),
            total=count,
            action=operation.Action(action),
            tasks=part,
            tags={"a": "b"} if action == "tag" else {},
        )
        await log.append(fact)


@pytest.mark.parametrize(
    ("action", "kind"), [("cancel", TaskCancelled), ("again", TaskCreated), ("tag", TaskTagged)]
)
async def test_gateways_that_die_at_every_write_do_it_with_each_task_once(
    action: str, kind: type, tmp_path: Path, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (operation, steps):
        monkeypatch.setattr(module, "PART", 2)
    log, deaths = MortalLog(), 0
    await started(log, action, 3)
    before = count(log, kind)
    while await log.last(subjects.operation_step("alice", "op", 2)) is None:
        log.dies, log.died = "after" if deaths % 2 else "before", asyncio.Event()
        async with world(tmp_path / str(deaths), bus, log=log), asyncio.timeout(20):
            await log.died.wait()
        deaths += 1
    assert deaths == 10, "each of three tasks and two steps is a write, stored or not"
    log.dies, log.died = "", asyncio.Event()
    async with world(tmp_path / "last", bus, log=log) as gateway, gateway.http() as client:
        view = (await client.get("/api/operations/op")).json()["data"]
        assert (view["state"], view["done"], view["failed"]) == ("done", 3, 0)
    done = count(log, kind) - before
    made = [f"op-{n}" for n in (1, 2, 3)] if action == "again" else ["t0", "t1", "t2"]
    assert done == dict.fromkeys(made, 1)


async def test_what_is_stopped_begins_no_further_part(
    tmp_path: Path, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (operation, steps):
        monkeypatch.setattr(module, "PART", 2)
    log = MortalLog()
    await started(log, "cancel", 4)
    log.dies = "before"
    async with world(tmp_path / "one", bus, log=log), asyncio.timeout(20):
        await log.died.wait()
    log.dies, log.died = "", asyncio.Event()
    await log.append(facts.cancelled("alice", "t0"))
    stopped = operation.OperationStopped(id="s", by="gateway-1", user="alice", operation="op")
    await log.append(stopped)
    async with world(tmp_path / "two", bus, log=log) as gateway, gateway.http() as client:
        view = (await client.get("/api/operations/op")).json()["data"]
        assert (view["state"], view["done"]) == ("stopped", 0)
        again = await client.post("/api/operations/op/stop")
        assert again.status_code == 200, "it is stopped already"
    assert count(log, TaskCancelled) == {"t0": 1}


def test_a_gateway_works_on_its_own_and_on_what_others_have_left_alone() -> None:
    own = OpenOperation("alice", "a", "gateway-1", 1, 1, 100.0)
    other = OpenOperation("alice", "b", "gateway-2", 2, 1, 100.0)
    assert mine([own, other], "gateway-1", 101.0) == [own]
    assert mine([own, other], "gateway-1", 101.0 + QUIET_S) == [own, other]
