"""Quotas of single users: set by admins, held by all gateways, named in every refusal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.budget import DEFAULT, QUOTAS, Budget, check_quotas, excepted
from contracts.errors import Rejected
from services.bus.bus import Bus
from services.log.memory import MemoryLog
from services.registry.settings import Settings
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.http.test_host_changes import ENTRY, spaces
from tests.unit.gateway.served import registry
from tests.unit.gateway.world import TASK, World, error_of, made, world

ALICES = "/api/users/alice/quota"


@pytest.fixture
async def bus(fresh_nats: NatsServer) -> AsyncIterator[Bus]:
    async with fresh_nats.connected("gateway") as one:
        yield one


@contextlib.asynccontextmanager
async def gateway(folder: Path, bus: Bus, **options: Any) -> AsyncIterator[World]:
    """One that stays up to date, as in service."""
    async with world(folder, bus, **options) as one:
        following = asyncio.create_task(one.site.parts.state.follow())
        try:
            yield one
        finally:
            following.cancel()
            await asyncio.wait((following,))


def over(answer: httpx.Response, quota: str, status: int = 429) -> int:
    """That this quota was named; the seconds until there is room."""
    assert answer.status_code == status, answer.text
    error = error_of(answer)
    assert error.details == {"quota": quota}
    assert f"budget {quota}:" in error.message
    return int(answer.headers["retry-after"]) if status == 429 else 0


async def give(gateway: World, **limits: int) -> None:
    async with gateway.http("admin-token") as admin:
        answer = await admin.put(ALICES, json={"limits": limits})
        assert answer.status_code == 200, answer.text


async def test_a_quota_of_one_user_holds_at_both_gateways_and_for_nobody_else(
    tmp_path: Path, bus: Bus
) -> None:
    log = MemoryLog()
    async with (
        gateway(tmp_path / "1", bus, log=log) as one,
        gateway(tmp_path / "2", bus, log=log) as two,
        one.http() as here,
        two.http() as there,
        two.http("bob-token") as bob,
    ):
        await give(one, open_tasks=2)
        async with asyncio.timeout(30):
            while two.site.parts.quotas("alice").open_tasks != 2:
                await two.site.parts.state.refresh()
        first = await made(here)
        await two.settled()
        await made(there)
        await one.settled()
        assert over(await here.post("/api/tasks", json=TASK), "open_tasks")
        assert over(await there.post("/api/tasks", json=TASK), "open_tasks")
        for _ in range(3):
            await made(bob)
        await one.append(facts.done("alice", first["id"]))
        await two.settled()
        await made(there)
        async with one.http("admin-token") as admin:
            gone = (await admin.delete(ALICES)).json()["data"]
        assert (gone["limits"], gone["revision"]) == ({}, 0)
        await one.settled()
        await made(here)


async def test_others_hear_of_it_by_themselves_within_a_second(tmp_path: Path, bus: Bus) -> None:
    log = MemoryLog()
    async with (
        gateway(tmp_path / "1", bus, log=log) as one,
        gateway(tmp_path / "2", bus, log=log) as two,
    ):
        heard = asyncio.Event()
        two.site.parts.quotas._table.on_change.append(lambda gone: heard.set())
        await give(one, hosts=1)
        async with asyncio.timeout(30):
            await heard.wait()
        assert two.site.parts.quotas("alice").hosts == 1


async def test_tasks_a_day_are_bounded_and_it_is_said_when_they_free(
    tmp_path: Path, bus: Bus
) -> None:
    async with gateway(tmp_path, bus) as one, one.http() as alice:
        await give(one, tasks_a_day=2)
        for _ in range(2):
            await made(alice)
        wait_s = over(await alice.post("/api/tasks", json=TASK), "tasks_a_day")
        assert 22 * 3600 < wait_s <= 25 * 3600
        me = (await alice.get("/api/me")).json()["data"]
        assert (me["used"]["tasks_a_day"], me["budgets"]["tasks_a_day"]) == (2, 2)
        assert me["exceptions"] == {"tasks_a_day": 2}
        await give(one, tasks_a_day=0)
        await made(alice)


async def test_tasks_of_a_day_are_counted_over_both_gateways(tmp_path: Path, bus: Bus) -> None:
    log, budget = MemoryLog(), Budget(tasks_a_day=2)
    async with (
        gateway(tmp_path / "1", bus, log=log, budget=budget) as one,
        gateway(tmp_path / "2", bus, log=log, budget=budget) as two,
        one.http() as here,
        two.http() as there,
    ):
        await made(here)
        await two.settled()
        await made(there)
        for each, client in ((one, here), (two, there)):
            await each.settled()
            over(await client.post("/api/tasks", json=TASK), "tasks_a_day")
        async with two.stream() as stream:
            refused = await stream.ask("submit", task=TASK)
        assert refused["code"] == "rate_limited", refused
        assert "budget tasks_a_day:" in refused["message"]


async def test_a_day_is_counted_again_after_a_restart(tmp_path: Path, bus: Bus) -> None:
    log, budget = MemoryLog(), Budget(tasks_a_day=2)
    async with gateway(tmp_path, bus, log=log, budget=budget) as one, one.http() as alice:
        for _ in range(2):
            await made(alice)
        await one.settled()
        assert await one.site.projection.reached(await log.head(), 10)
    async with gateway(tmp_path, bus, log=log, budget=budget) as one, one.http() as alice:
        over(await alice.post("/api/tasks", json=TASK), "tasks_a_day")


async def test_an_operator_is_not_held_up_by_the_day(tmp_path: Path, bus: Bus) -> None:
    async with (
        gateway(tmp_path, bus, budget=Budget(tasks_a_day=1)) as one,
        one.http("admin-token") as root,
    ):
        for _ in range(3):
            await made(root)


async def test_what_is_stored_is_bounded_for_one_user(tmp_path: Path, bus: Bus) -> None:
    async with gateway(tmp_path, bus) as one, one.http() as alice, one.http("bob-token") as bob:
        await give(one, stored_bytes=100)
        big = {"content": b"x" * 101}
        over(await alice.put("/api/blobs", **big), "stored_bytes", 413)
        assert (await bob.put("/api/blobs", **big)).status_code == 201


async def test_hosts_are_held_to_the_users_number(tmp_path: Path, fresh_nats: NatsServer) -> None:
    rules = Settings(allow_noop=True, probe_limit_s=1.0)
    async with (
        fresh_nats.connected("gateway") as bus,
        fresh_nats.connected("registry") as registry_bus,
        gateway(tmp_path, bus) as one,
        registry(one, registry_bus, tmp_path, rules, spaces),
        one.http() as alice,
        one.http("bob-token") as bob,
    ):
        await give(one, hosts=1)
        assert (await alice.post("/api/mcps/h1", json=ENTRY)).status_code == 201
        assert over(await alice.post("/api/mcps/h2", json=ENTRY), "hosts")
        for name in ("h1", "h2"):
            assert (await bob.post(f"/api/mcps/{name}", json=ENTRY)).status_code == 201
        me = (await alice.get("/api/me")).json()["data"]
        assert (me["used"]["hosts"], me["budgets"]["hosts"]) == (1, 1)
        await give(one, hosts=2)
        assert (await alice.post("/api/mcps/h2", json=ENTRY)).status_code == 201


async def test_tokens_are_held_to_the_users_number(tmp_path: Path, bus: Bus) -> None:
    async with gateway(tmp_path, bus) as one, one.http("admin-token") as admin:
        await give(one, tokens=1)
        first = await admin.post("/api/tokens", json={"user": "alice"})
        assert first.status_code == 201
        assert over(await admin.post("/api/tokens", json={"user": "alice"}), "tokens")
        assert (await admin.post("/api/tokens", json={"user": "bob"})).status_code == 201
        shown = (await admin.get(ALICES)).json()["data"]
        assert shown["used"]["tokens"] == 1
        await admin.delete(f"/api/tokens/{first.json()['data']['id']}")
        assert (await admin.post("/api/tokens", json={"user": "alice"})).status_code == 201


class LaterLog(MemoryLog):
    """A log whose clock is ahead of this machine's: the tasks it has are as old, by its clock."""

    later_s = 0.0

    def now(self) -> float:
        return super().now() + self.later_s


async def test_a_day_is_one_by_the_clock_of_the_log(tmp_path: Path, bus: Bus) -> None:
    log = LaterLog()
    budget = Budget(tasks_a_day=1)
    async with gateway(tmp_path, bus, log=log, budget=budget) as one, one.http() as alice:
        await made(alice)
        over(await alice.post("/api/tasks", json=TASK), "tasks_a_day")
        log.later_s = 2 * 86_400.0
        await made(alice)


async def test_sessions_of_agents_and_streams_have_quotas_too(tmp_path: Path, bus: Bus) -> None:
    async with gateway(tmp_path, bus) as one, one.http() as alice:
        await give(one, event_streams=0)
        over(await alice.get("/api/events"), "event_streams")


async def test_admins_alone_set_quotas_and_see_those_of_others(tmp_path: Path, bus: Bus) -> None:
    async with gateway(tmp_path, bus) as one:
        for token, status in ((None, 401), ("alice-token", 403)):
            async with one.http(token) as client:
                for answer in (
                    await client.get(ALICES),
                    await client.put(ALICES, json={"limits": {"hosts": 99}}),
                    await client.delete(ALICES),
                ):
                    assert error_of(answer).code == status
        assert one.site.parts.quotas("alice") == one.site.parts.quotas.common


async def test_what_is_no_quota_or_no_number_is_refused_by_name(tmp_path: Path, bus: Bus) -> None:
    async with gateway(tmp_path, bus) as one, one.http("admin-token") as admin:
        for limits, word in (
            ({"rquests": 1}, "rquests"),
            ({"requests": 1}, "requests"),
            ({"hosts": -1}, "hosts"),
            ({"hosts": 2**60}, "hosts"),
            ({"hosts": "many"}, "limits"),
        ):
            answer = await admin.put(ALICES, json={"limits": limits})
            assert answer.status_code == 400, answer.text
            assert word in error_of(answer).message
        answer = await admin.put("/api/users/a.b/quota", json={"limits": {}})
        assert error_of(answer).reason == "bad_id"


async def test_of_two_changes_that_saw_the_same_one_is_refused(tmp_path: Path, bus: Bus) -> None:
    log = MemoryLog()
    async with (
        gateway(tmp_path / "1", bus, log=log) as one,
        gateway(tmp_path / "2", bus, log=log) as two,
        one.http("admin-token") as here,
        two.http("admin-token") as there,
    ):
        nothing = (await here.get(ALICES)).json()["data"]
        body = {"limits": {"hosts": 1}, "revision": nothing["revision"]}
        answers = await asyncio.gather(here.put(ALICES, json=body), there.put(ALICES, json=body))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        seen = (await here.get(ALICES)).json()["data"]
        again = {"limits": {"hosts": 2}, "revision": seen["revision"]}
        assert (await there.put(ALICES, json=again)).status_code == 200
        assert (await here.put(ALICES, json=again)).status_code == 409


async def test_a_change_is_noted_with_who_made_it(tmp_path: Path, bus: Bus) -> None:
    async with gateway(tmp_path, bus) as one:
        await give(one, hosts=3)
        async with one.http("admin-token") as admin:
            await admin.delete(ALICES)
            await admin.delete(ALICES)
        noted = [event for event in one.site.parts.trail.waiting if event.kind == "quota.changed"]
    assert [(event.user, event.asked_by, event.details) for event in noted] == [
        ("alice", "root", {"hosts": "3"}),
        ("alice", "root", {}),
    ]
    assert {event.address for event in noted} == {"127.0.0.1"}
    assert all(event.request_id for event in noted)


def test_what_a_newer_release_knows_is_passed_over() -> None:
    assert excepted(DEFAULT, {"hosts": 3, "dreams": 7}) == Budget(hosts=3)
    assert excepted(DEFAULT, {}) is DEFAULT
    check_quotas(dict.fromkeys(QUOTAS, 0))
    with pytest.raises(Rejected):
        check_quotas({"websockets": 1})
