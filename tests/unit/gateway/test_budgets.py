"""Budgets of a user at every door: what is over one is refused with its name, others go on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.budget import Budget
from contracts.facts import Outcome
from contracts.ids import intake_task_id
from contracts.wire import Accepted, Refused
from services.bus.bus import Bus
from services.gateway.intake import Intake
from services.log.memory import MemoryLog
from tests.support import facts
from tests.support.facts import name
from tests.unit.gateway.http.test_events import events
from tests.unit.gateway.mcp_requests import ACCEPT, HELLO, LEGACY, SESSION, VERSION
from tests.unit.gateway.world import SETTINGS, TASK, World, error_of, made, world

SMALL = Budget(open_tasks=3, open_bytes=40_000, facts=6, frames=20, event_streams=2, mcp_sessions=2)


@contextlib.asynccontextmanager
async def small(
    folder: Path, bus: Bus, log: MemoryLog | None = None, **budgets: int
) -> AsyncIterator[World]:
    budget = msgspec.structs.replace(SMALL, **budgets)
    async with world(folder, bus, log=log, budget=budget) as one:
        yield one


async def refused(answer: httpx.Response, budget: str, status: int = 429) -> None:
    assert answer.status_code == status, answer.text
    error = error_of(answer)
    assert error.reason == {429: "rate_limited", 413: "too_large"}[status]
    assert f"budget {budget}:" in error.message
    if status == 429:
        assert int(answer.headers["retry-after"]) > 0


async def test_a_user_with_too_many_open_tasks_waits_for_an_end(tmp_path: Path, bus: Bus) -> None:
    async with (
        small(tmp_path, bus) as gateway,
        gateway.http() as alice,
        gateway.http("bob-token") as bob,
    ):
        sent = [await made(alice) for _ in range(3)]
        await refused(await alice.post("/api/tasks", json=TASK), "open_tasks")
        await made(bob)
        assert (await alice.post("/api/tasks", json=TASK | {"id": sent[0]["id"]})).is_success
        await gateway.append(facts.done("alice", sent[0]["id"], Outcome.CANCELLED))
        await gateway.settled()
        await made(alice)


async def test_the_same_counts_hold_at_another_gateway_and_after_a_restart(
    tmp_path: Path, bus: Bus
) -> None:
    log = MemoryLog()
    first, second = tmp_path / "1", tmp_path / "2"
    async with small(first, bus, log) as here, here.http() as client:
        for _ in range(3):
            await made(client)
        async with small(second, bus, log) as there, there.http() as other:
            await there.settled()
            await refused(await other.post("/api/tasks", json=TASK), "open_tasks")
        await here.settled()
        assert await here.site.projection.reached(await log.head(), 10)
    async with small(first, bus, log) as again, again.http() as client:
        await refused(await client.post("/api/tasks", json=TASK), "open_tasks")
        limits = (await client.get("/api/limits")).json()["data"]
        assert limits["used"]["open_tasks"] == limits["budgets"]["open_tasks"] == 3
        assert limits["used"]["facts"] == 3


async def test_bytes_of_open_tasks_are_bounded(tmp_path: Path, bus: Bus) -> None:
    async with small(tmp_path, bus) as gateway, gateway.http() as client:
        big = {"type": "t.x", "input": {"x": "x" * 30_000}}
        assert (await client.post("/api/tasks", json=big)).status_code == 201
        await refused(await client.post("/api/tasks", json=big), "open_bytes")
        await made(client)
        never = {"type": "t.x", "input": {"x": "x" * 50_000}}
        await refused(await client.post("/api/tasks", json=never), "open_bytes", 413)


async def test_what_a_waiting_task_asks_of_hosts_fits_four_kibibytes(
    tmp_path: Path, bus: Bus
) -> None:
    async with small(tmp_path, bus, open_bytes=10**6) as gateway, gateway.http() as client:
        wanted = [{"name": "n" * 100, "version": "1.0"} for _ in range(50)]
        answer = await client.post("/api/tasks", json=TASK | {"required_capabilities": wanted})
        assert answer.status_code == 413
        assert "4096" in error_of(answer).message


async def test_what_the_router_holds_of_a_task_counts_more(tmp_path: Path, bus: Bus) -> None:
    wanted = [{"name": "n" * 60, "version": "1.0"} for _ in range(10)]
    body = TASK | {"required_capabilities": wanted}
    async with small(tmp_path, bus) as gateway, gateway.http() as client:
        sent = await client.post("/api/tasks", json=body)
        assert sent.status_code == 201, sent.text
        await gateway.settled()
        used = (await client.get("/api/limits")).json()["data"]["used"]["open_bytes"]
        assert used > 10 * len(json.dumps(wanted))
        answers = [await client.post("/api/tasks", json=body) for _ in range(2)]
        await refused(answers[-1], "open_bytes")


async def test_facts_of_an_hour_are_bounded_but_a_cancellation_always_gets_through(
    tmp_path: Path, bus: Bus
) -> None:
    async with small(tmp_path, bus, open_tasks=100) as gateway, gateway.http() as client:
        sent = [await made(client) for _ in range(6)]
        await gateway.settled()
        await refused(await client.post("/api/tasks", json=TASK), "facts")
        await refused(await client.put("/api/preferences/h1", json={"weight": 1}), "facts")
        for task in sent:
            answer = await client.post(f"/api/tasks/{task['id']}/cancel")
            assert answer.status_code == 200, answer.text
        async with gateway.http("admin-token") as admin:
            for _ in range(8):
                await made(admin)


async def test_frames_of_a_websocket_count_like_requests(tmp_path: Path, bus: Bus) -> None:
    async with small(tmp_path, bus, open_tasks=100, facts=0) as gateway:
        async with gateway.stream() as alice, gateway.stream("bob-token") as bob:
            answers = [await alice.ask("submit", task=TASK) for _ in range(30)]
            assert [answer["op"] for answer in answers] == ["ack"] * 20 + ["error"] * 10
            assert answers[-1]["code"] == "rate_limited"
            assert "budget frames" in answers[-1]["message"]
            assert (await bob.ask("submit", task=TASK))["op"] == "ack"
            # On another socket it is the same user.
            async with gateway.stream() as again:
                assert (await again.ask("cancel", task="t"))["code"] == "rate_limited"
        async with gateway.stream("admin-token") as admin:
            for _ in range(30):
                assert (await admin.ask("submit", task=TASK))["op"] == "ack"


async def test_submissions_that_come_together_stop_at_the_budget(tmp_path: Path, bus: Bus) -> None:
    async with small(tmp_path, bus, facts=0) as gateway, gateway.stream() as alice:
        for ref in range(100, 110):
            frame = {"op": "submit", "ref": ref, "task": TASK}
            await alice.socket.send(json.dumps(frame))
        answers = [await alice.until(ref=ref) for ref in range(100, 110)]
        assert sorted(answer["op"] for answer in answers) == ["ack"] * 3 + ["error"] * 7
        assert all("open_tasks" in one["message"] for one in answers if one["op"] == "error")


async def test_subscriptions_of_all_a_users_websockets_are_bounded(
    tmp_path: Path, bus: Bus
) -> None:
    async with (
        small(tmp_path, bus, subscriptions=3) as gateway,
        gateway.stream("bob-token") as bob,
        gateway.stream() as two,
    ):
        async with gateway.stream() as one:
            for sub in ("a", "b"):
                assert (await one.follow(sub))["op"] == "ack"
            assert (await two.follow("a"))["op"] == "ack"
            refusal = await two.follow("b")
            assert refusal["code"] == "rate_limited"
            assert "budget subscriptions" in refusal["message"]
            assert (await one.ask("unsubscribe", sub="a"))["op"] == "ack"
            assert (await two.follow("b"))["op"] == "ack"
            assert (await bob.follow("a"))["op"] == "ack"
        while gateway.site.streams.users["alice"] > 1:
            await two.ask("cancel", task="t")
        assert (await two.follow("c"))["op"] == "ack"


class Publisher:
    """An intake at work beside a gateway, and what it told its publishers."""

    def __init__(self, gateway: World) -> None:
        self.gateway = gateway
        self.told: list[tuple[str, Refused | Accepted]] = []
        self.intake = Intake(gateway.log, gateway.site.desk, self._publish, "e")
        self.some = asyncio.Event()

    async def _publish(self, subject: str, data: bytes) -> None:
        kind = Refused if b'"reason"' in data else Accepted
        self.told.append((subject, msgspec.json.decode(data, type=kind)))
        self.some.set()

    def send(self, body: dict[str, Any]) -> None:
        assert isinstance(self.gateway.log, MemoryLog)
        self.gateway.log.intake("intake.acme.created", json.dumps(body).encode())

    async def created(self, count: int) -> list[Any]:
        while await self.gateway.log.head() < count:
            await self.gateway.site.feed.moved()
        return [record.fact for record in await self.gateway.log.read(("task.created.acme.*",))]


@contextlib.asynccontextmanager
async def publisher(gateway: World) -> AsyncIterator[Publisher]:
    one = Publisher(gateway)
    running = asyncio.create_task(one.intake.run())
    try:
        async with asyncio.timeout(20):
            yield one
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_publisher_over_budget_is_answered_in_the_log(tmp_path: Path, bus: Bus) -> None:
    async with small(tmp_path, bus, facts=0) as gateway, publisher(gateway) as acme:
        for n in range(5):
            acme.send(TASK | {"id": f"p{n}"})
            await acme.created(n + 1)
            await gateway.settled()
        found = await acme.created(5)
    assert [fact.invalid == "" for fact in found] == [True] * 3 + [False] * 2
    assert "budget open_tasks" in found[-1].invalid
    assert acme.told == []


async def test_a_publisher_who_may_store_nothing_more_is_told_live(
    tmp_path: Path, bus: Bus
) -> None:
    async with small(tmp_path, bus, facts=2) as gateway, publisher(gateway) as acme:
        for n in range(2):
            acme.send(TASK)
            await acme.created(n + 1)
            await gateway.settled()
        acme.send(TASK | {"id": "mine"})
        acme.send({"no": "task"})
        while len(acme.told) < 2:
            acme.some.clear()
            await acme.some.wait()
        assert await gateway.log.head() == 2
    answers = {answer.task: answer for _, answer in acme.told if isinstance(answer, Refused)}
    assert set(answers) == {"mine", intake_task_id("e", 4)}
    assert all("budget facts" in answer.message for answer in answers.values())
    assert acme.intake.refused == 2


async def opened(client: httpx.AsyncClient) -> httpx.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    return await client.post("/mcp", json=body, headers=ACCEPT)


async def test_mcp_sessions_of_a_user_leave_room_for_others(tmp_path: Path, bus: Bus) -> None:
    async with (
        small(tmp_path, bus) as gateway,
        gateway.http() as alice,
        gateway.http("bob-token") as bob,
    ):
        sessions = [await opened(alice) for _ in range(2)]
        assert [one.status_code for one in sessions] == [200, 200]
        answer = await opened(alice)
        assert answer.status_code == 429
        assert "budget mcp_sessions" in answer.json()["error"]["message"]
        assert answer.headers["retry-after"]
        assert (await opened(bob)).status_code == 200
        names = {SESSION: sessions[0].headers[SESSION], VERSION: LEGACY}
        assert (await alice.delete("/mcp", headers=names)).is_success
        assert (await opened(alice)).status_code == 200


async def test_event_streams_of_a_user_leave_room_for_others(tmp_path: Path, bus: Bus) -> None:
    async with (
        small(tmp_path, bus) as gateway,
        gateway.http() as alice,
        events(gateway) as one,
        events(gateway) as two,
    ):
        await one.next()
        await two.next()
        await refused(await alice.get("/api/events"), "event_streams")
        async with events(gateway, token="bob-token") as other:
            await other.next()
        async with events(gateway, token="admin-token") as operator:
            await operator.next()


async def test_bytes_of_a_user_in_the_object_store_are_bounded(tmp_path: Path, bus: Bus) -> None:
    budget = Budget(stored_bytes=150_000)
    user = name("u")
    async with world(tmp_path, bus, SETTINGS, budget=budget) as gateway:
        issued, token = await gateway.site.parts.tokens.add(user, (), None, "")
        async with gateway.http(token) as client:
            first, second = os.urandom(100_000), os.urandom(100_000)
            stored = await client.put("/api/blobs", content=first)
            assert stored.status_code == 201, stored.text
            await refused(await client.put("/api/blobs", content=second), "stored_bytes", 413)
            assert (await client.put("/api/blobs", content=first)).status_code == 201
            big = {"type": "t.x", "input": {"x": os.urandom(50_000).hex()}}
            await refused(await client.post("/api/tasks", json=big), "stored_bytes", 413)
            listed = (await client.get("/api/blobs")).json()["data"]
            sha256 = stored.json()["data"]["sha256"]
            assert [(one["sha256"], one["size"]) for one in listed] == [(sha256, 100_000)]
            limits = (await client.get("/api/limits")).json()["data"]
            assert limits["used"]["stored_bytes"] == 100_000
        async with gateway.http() as alice:
            mine = (await alice.get("/api/blobs")).json()["data"]
            assert sha256 not in [one["sha256"] for one in mine]
        await gateway.site.parts.tokens.revoke(issued.id)


@pytest.mark.parametrize("path", ["/api/blobs/xyz", f"/api/blobs/{'A' * 64}"])
async def test_a_blob_is_named_by_its_digest(gateway: World, path: str) -> None:
    async with gateway.http() as client:
        assert (await client.delete(path)).status_code == 404
