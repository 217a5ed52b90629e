"""The overview, the queue and who works: what each caller is told, and what without a router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts.facts import Failure, FailureKind, McpHealth, McpRegistered, Outcome
from contracts.host import HealthStatus, Host, Limits, StreamableHttp
from contracts.queue import QueueAnswer, QueuedTask, QueueRequest, WaitCount, WaitReason
from contracts.subjects import beat, command
from contracts.task import Priority
from contracts.wire import Beat
from services.bus.all import answer_all
from services.process.ids import new_id
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world

WAITS = (WaitCount(WaitReason.HOST_BUSY, 2, ("h1",)),)


def queued(position: int, user: str) -> QueuedTask:
    known = (user, f"t{position}", "work", Priority.HIGH, 1e9)
    return QueuedTask(position, *known, WaitReason.HOST_BUSY, ("h1",))


EVERY = (queued(1, "alice"), queued(2, "bob"), queued(3, "alice"))


async def active(payload: bytes) -> bytes:
    asked = msgspec.json.decode(payload, type=QueueRequest)
    found = [one for one in EVERY if asked.user in (None, one.user) and one.position > asked.after]
    hosts = {"h1": 3, "bob/own": 1}
    answer = QueueAnswer("router-2", True, 7, 40, len(found), 3, 4, 8, WAITS)
    shown = tuple(found[: asked.limit])
    return msgspec.json.encode(msgspec.structs.replace(answer, tasks=shown, hosts=hosts))


async def idle(_: bytes) -> bytes:
    return msgspec.json.encode(QueueAnswer("router-1", False, 7, 39))


@pytest.fixture
async def one(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    async with nats_server.connected("gateway") as bus, world(tmp_path, bus) as running:
        yield running


@pytest.fixture
async def routed(one: World, nats_server: NatsServer) -> AsyncIterator[World]:
    """With a router that decides and one that stands by."""
    async with nats_server.connected("router") as first, nats_server.connected("router") as second:
        await answer_all(first, command("router", "queue"), active)
        await answer_all(second, command("router", "queue"), idle)
        yield one


async def test_the_queue_is_ones_own_and_admins_see_all(routed: World) -> None:
    async with routed.http() as alice, routed.http("admin-token") as admin:
        own = (await alice.get("/api/queue")).json()["data"]
        assert [(each["position"], each["task"]) for each in own["tasks"]] == [(1, "t1"), (3, "t3")]
        assert (own["user"], own["waiting"], own["every"], own["slots"]) == ("alice", 2, 3, 8)
        assert own["tasks"][0]["hosts"] == ["h1"]
        first = (await alice.get("/api/queue", params={"limit": 1})).json()["data"]
        assert (len(first["tasks"]), first["next_cursor"]) == (1, 1)
        rest = {"limit": 1, "cursor": 1}
        last = (await alice.get("/api/queue", params=rest)).json()["data"]
        assert ([each["task"] for each in last["tasks"]], last["next_cursor"]) == (["t3"], None)
        refused = await alice.get("/api/queue", params={"user": "bob"})
        assert refused.status_code == 404
        every = (await admin.get("/api/queue")).json()["data"]
        assert (every["user"], len(every["tasks"])) == (None, 3)
        of_bob = (await admin.get("/api/queue", params={"user": "bob"})).json()["data"]
        assert [each["task"] for each in of_bob["tasks"]] == ["t2"]


async def test_who_works_is_told_by_beats_and_answers(routed: World) -> None:
    for name, data in (("e1", Beat("e1", "i", busy=2, slots=8)), ("e2", Beat("e2", "i"))):
        heard = type("Heard", (), {"subject": beat(name), "data": msgspec.json.encode(data)})
        routed.site.parts.executors.hear(heard)
    async with routed.http() as alice:
        found = (await alice.get("/api/workers")).json()["data"]
    assert [(each["instance"], each["busy"], each["slots"]) for each in found["executors"]] == [
        ("e1", 2, 8),
        ("e2", 0, 0),
    ]
    assert all(each["alive"] for each in found["executors"])
    assert [(each["instance"], each["active"], each["term"]) for each in found["routers"]] == [
        ("router-1", False, 7),
        ("router-2", True, 7),
    ]


async def test_without_a_router_it_is_said_so(one: World) -> None:
    async with one.http() as alice:
        refused = await alice.get("/api/queue")
        assert refused.status_code == 503
        assert "no router tells its queue" in refused.json()["error"]["message"]
        workers = await alice.get("/api/workers")
        assert (workers.status_code, workers.json()["data"]["routers"]) == (200, [])
        seen = (await alice.get("/api/overview")).json()["data"]
    assert seen["queue"] is None
    assert "no service answers" in seen["words"]
    assert seen["health"]["nats"] is True


async def test_the_overview_counts_ones_own_tasks_and_admins_all(routed: World) -> None:
    endpoint = StreamableHttp("https://h.example/mcp")
    spec = Host(id="h1", name="H", endpoint=endpoint, limits=Limits(max_concurrency=4))
    await routed.append(
        McpRegistered(id=new_id(), by="test", host="h1", k=1, spec=spec),
        McpHealth(id=new_id(), by="test", host="h1", k=1, status=HealthStatus.HEALTHY),
        facts.created("alice", "t1"),
        facts.failed("alice", "t1", kind=FailureKind.CUT, host="h1"),
        facts.done("alice", "t1", Outcome.FAILED, error=Failure("cut", "gone")),
        facts.created("bob", "t2"),
        facts.done("bob", "t2", host="h1"),
    )
    await routed.settled()
    async with routed.http() as alice, routed.http("admin-token") as admin:
        own = (await alice.get("/api/overview")).json()["data"]
        every = (await admin.get("/api/overview", params={"window": "day"})).json()["data"]
        wrong = await alice.get("/api/overview", params={"window": "week"})
    assert (own["user"], own["bucket_s"], own["totals"]) == (
        "alice",
        60,
        {"created": 1, "failed": 1},
    )
    assert sum(each["counts"]["created"] for each in own["buckets"]) == 1
    assert (own["kinds"], own["failing"]) == (
        [{"name": "cut", "count": 1}],
        [{"name": "h1", "count": 1}],
    )
    (load,) = own["hosts"]
    assert (load["id"], load["in_flight"], load["most"], load["status"]) == ("h1", 3, 4, "healthy")
    assert own["queue"]["waits"] == [{"reason": "host_busy", "count": 2, "hosts": ["h1"]}]
    totals = {"created": 2, "failed": 1, "succeeded": 1}
    assert (every["user"], every["bucket_s"], every["totals"]) == (None, 900, totals)
    assert wrong.status_code == 400
