"""The HTTP API through a real server and a real client."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.facts import Outcome
from contracts.result import inline
from contracts.route import Route
from services.bus.bus import Bus
from services.gateway.settings import Settings
from services.log.memory import MemoryLog
from services.log.port import LogUnavailable
from tests.support import facts
from tests.unit.gateway.world import TASK, World, error_of, made, world


async def test_what_was_accepted_is_found_at_once(gateway: World) -> None:
    async with gateway.http() as client:
        for _ in range(3):
            task = (await made(client))["id"]
            found = (await client.get(f"/api/tasks/{task}")).json()["data"]
            assert (found["status"], found["spec"]["input"]) == ("pending", {"a": [2], "b": 1})
            listed = (await client.get("/api/tasks")).json()["data"]
            assert listed[0]["id"] == task


async def test_the_same_task_again_is_the_same_and_other_content_is_a_conflict(
    gateway: World,
) -> None:
    async with gateway.http() as client:
        first = await client.post("/api/tasks", json=TASK | {"id": "same"})
        again = await client.post(
            "/api/tasks", json={"id": "same", "input": {"a": [2], "b": 1}, "type": "t.x"}
        )
        other = await client.post("/api/tasks", json=TASK | {"id": "same", "priority": "low"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["data"]["created_seq"] == again.json()["data"]["created_seq"]
    assert error_of(other).reason == "conflict"
    assert other.status_code == 409
    assert await gateway.log.head() == 1


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not a task"),
        (b"[]", 400, "object"),
        (b'{"type":"t","input":[1]}', 400, "object"),
        (b'{"type":"t","inputs":{}}', 400, "inputs"),
        (b'{"type":"t","user":"bob"}', 400, "user"),
        (b'{"type":"has space"}', 400, "type"),
        (b'{"type":"t","id":"a.b"}', 400, "a.b"),
        (b'{"type":"t","id":""}', 400, "task id"),
        (b'{"type":"t","host":"a b"}', 400, "host"),
        (b'{"type":"t","timeout_s":-1}', 400, "timeout_s"),
        (b"[" * 100_000, 400, "nested more than 64 deep"),
        (b'{"type":"t","input":' + b'{"a":' * 900 + b"1" + b"}" * 901, 400, "nested"),
        (b'{"type":"t","input":{"a":"\xff"}}', 400, "utf-8"),
        (b'{"type":"\xff"}', 400, "not a task"),
        (b'{"type":"t\\n"}', 400, "type"),
        (json.dumps({"type": "t", "input": {"x": "y" * 2 * 2**20}}).encode(), 413, "/api/blobs"),
    ],
)
async def test_bad_tasks_are_refused_with_the_place(
    gateway: World, body: bytes, status: int, words: str
) -> None:
    async with gateway.http() as client:
        answer = await client.post("/api/tasks", content=body)
    assert answer.status_code == status
    assert words in error_of(answer).message
    assert await gateway.log.head() == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/api/tasks", 405, "method_not_allowed"),
        ("GET", "/api/tasks?limit=501", 400, "bad_request"),
        ("GET", "/api/tasks?status=tired", 400, "bad_request"),
        ("GET", f"/api/tasks?cursor={2**63}", 400, "bad_request"),
        ("GET", f"/api/tasks?offset={2**63}", 400, "bad_request"),
        ("GET", "/api/tasks/none", 404, "not_found"),
        ("GET", "/api/tasks/a.b", 404, "not_found"),
        ("GET", "/api/tasks/none/events", 404, "not_found"),
        ("GET", "/api/tasks/none/result", 404, "not_found"),
        ("POST", "/api/tasks/none/cancel", 404, "not_found"),
        ("POST", "/api/tasks?wait=61", 400, "bad_request"),
    ],
)
async def test_every_error_has_one_shape(
    gateway: World, method: str, path: str, status: int, reason: str
) -> None:
    async with gateway.http() as client:
        answer = await client.request(method, path)
    assert (answer.status_code, error_of(answer).reason) == (status, reason)
    assert answer.headers["x-content-type-options"] == "nosniff"


PROTECTED = [
    ("GET", "/api/tasks"),
    ("POST", "/api/tasks"),
    ("GET", "/api/tasks/t1"),
    ("GET", "/api/tasks/t1/events"),
    ("GET", "/api/tasks/t1/result"),
    ("POST", "/api/tasks/t1/cancel"),
    ("GET", "/api/mcps"),
    ("PUT", "/api/blobs"),
    ("POST", "/api/auth/ticket"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize("token", [None, "wrong"])
async def test_without_a_good_token_nothing_is_shown(
    gateway: World, method: str, path: str, token: str | None
) -> None:
    async with gateway.http(token) as client:
        answer = await client.request(method, path)
    assert error_of(answer).reason == "unauthorized"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "path", ["", "/events", "/result", "/cancel", "?user=alice", "/events?user=alice"]
)
async def test_other_peoples_tasks_do_not_exist(gateway: World, path: str) -> None:
    done = facts.done("alice", "hers", result=inline(b'{"secret":1}'))
    await gateway.append(facts.created("alice", "hers"), done)
    method = "POST" if path == "/cancel" else "GET"
    async with gateway.http("bob-token") as bob:
        answer = await bob.request(method, f"/api/tasks/hers{path}")
        assert error_of(answer).reason == "not_found"
        nobody = await bob.request(method, f"/api/tasks/none{path}")
        assert error_of(nobody).message == error_of(answer).message.replace("hers", "none")
        assert (await bob.get("/api/tasks")).json()["data"] == []
        listed = await bob.get("/api/tasks?user=alice")
    assert error_of(listed).reason == "not_found"


async def test_an_auditor_sees_everybody(gateway: World) -> None:
    await gateway.append(facts.created("alice", "hers"))
    await gateway.settled()
    async with gateway.http("admin-token") as client:
        assert (await client.get("/api/tasks/hers?user=alice")).json()["data"]["user"] == "alice"
        assert (await client.get("/api/tasks/hers")).status_code == 404
        await gateway.site.projection.reached(1, 5)
        assert len((await client.get("/api/tasks?user=alice")).json()["data"]) == 1


@pytest.mark.parametrize("path", ["", "/t1", "/t1/events", "/t1/result"])
@pytest.mark.parametrize("user", ["a.b", "*", ">", "a%20b", ""])
async def test_an_auditor_asks_for_users_only(gateway: World, path: str, user: str) -> None:
    async with gateway.http("admin-token") as client:
        answer = await client.get(f"/api/tasks{path}?user={user}")
    assert (answer.status_code, error_of(answer).reason) == (400, "bad_id")


async def test_the_greatest_cursor_is_taken(gateway: World) -> None:
    async with gateway.http() as client:
        answer = await client.get(f"/api/tasks?cursor={2**63 - 1}")
    assert answer.json()["data"] == []


async def test_waiting_answers_with_the_finished_task(gateway: World) -> None:
    async def finish() -> None:
        async with asyncio.timeout(30):
            while not await gateway.log.read(("task.created.alice.slow",)):
                await gateway.site.feed.moved()
        await gateway.append(facts.done("alice", "slow", result=inline(b"[1]")))

    async with gateway.http() as client:
        worker = asyncio.create_task(finish())
        answer = await client.post("/api/tasks?wait=20", json=TASK | {"id": "slow"})
        await worker
        assert answer.json()["data"]["status"] == "succeeded"
        assert answer.json()["data"]["result"]["value"] == [1]
        again = await client.post("/api/tasks?wait=20", json=TASK | {"id": "slow"})
        assert again.json()["data"]["status"] == "succeeded"
        short = await client.post("/api/tasks?wait=0.01", json=TASK)
        assert (short.status_code, short.json()["data"]["status"]) == (201, "pending")


async def test_cancelling(gateway: World) -> None:
    async with gateway.http() as client:
        task = (await made(client))["id"]
        first = await client.post(f"/api/tasks/{task}/cancel")
        assert first.status_code == 200
        again = await client.post(f"/api/tasks/{task}/cancel")
        assert again.json()["data"] == first.json()["data"]
        assert (await client.get(f"/api/tasks/{task}")).json()["data"]["cancel_requested"] is True
        await gateway.append(facts.done("alice", task, Outcome.CANCELLED))
        late = await client.post(f"/api/tasks/{task}/cancel")
    assert (late.status_code, error_of(late).reason) == (404, "already_over")


async def test_why_tells_what_each_attempt_was_decided_by(gateway: World) -> None:
    await gateway.append(facts.created("alice", "t1"))
    async with gateway.http() as client:
        assert (await client.get("/api/tasks/t1/why")).json()["data"] == []
        first, second = (facts.routed("alice", "t1", n, host) for n, host in ((1, "a"), (2, "b")))
        await gateway.append(first, facts.signed("alice", "t1"), second)
        why = (await client.get("/api/tasks/t1/why")).json()["data"]
        assert (await client.get("/api/tasks/none/why")).status_code == 404
    assert [(one["seq"], one["attempt"]) for one in why] == [(2, 1), (4, 2)]
    assert [msgspec.convert(one["route"], Route) for one in why] == [first.route, second.route]


async def test_the_timeline_holds_every_fact_as_stored(gateway: World) -> None:
    await gateway.append(facts.created("alice", "t1"), facts.created("alice", "t2"))
    await gateway.append(facts.signed("alice", "t1"), facts.done("alice", "t1"))
    async with gateway.http() as client:
        events = (await client.get("/api/tasks/t1/events")).json()["data"]
    assert [event["seq"] for event in events] == [1, 3, 4]
    for event in events:
        record = await gateway.log.at(event["seq"])
        assert record
        assert event["event"] == json.loads(record.data)
        assert event["at"] == record.at


async def test_lists_are_paged_and_filtered(gateway: World) -> None:
    async with gateway.http() as client:
        ids = [(await made(client, type=f"t.{n % 2}"))["id"] for n in range(7)]
        await gateway.append(facts.done("alice", ids[3]))
        await gateway.site.projection.reached(8, 5)
        newest = ids[::-1]

        async def listed(query: str) -> tuple[list[str], int | None]:
            body = (await client.get(f"/api/tasks?{query}")).json()
            return [row["id"] for row in body["data"]], body["next_cursor"]

        assert await listed("") == (newest, None)
        page, cursor = await listed("limit=3")
        assert page == newest[:3]
        page, cursor = await listed(f"limit=3&cursor={cursor}")
        assert page == newest[3:6]
        assert await listed(f"limit=3&cursor={cursor}") == (newest[6:], None)
        assert await listed("limit=2&offset=5") == (newest[5:], None)
        assert (await listed("status=succeeded"))[0] == [ids[3]]
        assert (await listed("type=t.1"))[0] == newest[1::2]
        assert (await listed("type=t.1&status=pending&limit=1"))[0] == [ids[5]]


async def test_a_cursor_of_another_past_is_refused(gateway: World) -> None:
    async with gateway.http() as client:
        ids = [(await made(client))["id"] for _ in range(3)]
        await gateway.site.projection.reached(3, 5)
        page = (await client.get("/api/tasks?limit=2")).json()
        place = {"cursor": page["next_cursor"], "mark": page["next_mark"]}
        rest = (await client.get("/api/tasks", params=place)).json()
        assert ([row["id"] for row in rest["data"]], rest["next_mark"]) == (ids[:1], None)
        for wrong in ({"mark": "0" * 12}, {"cursor": 1}, {"cursor": 99}):
            answer = await client.get("/api/tasks", params=place | wrong)
            assert (answer.status_code, answer.json()["error"]["reason"]) == (409, "conflict")
            assert "List anew" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (0, "normal"),
        (1, "normal"),
        (2, "high"),
        (7, "normal"),
        (8, "high"),
        (-1, "low"),
        ("low", "low"),
    ],
)
async def test_priorities_of_the_original_api_are_understood(
    gateway: World, given: int | str, stored: str
) -> None:
    async with gateway.http() as client:
        task = await made(client, priority=given)
        found = (await client.get(f"/api/tasks/{task['id']}")).json()["data"]
    assert found["spec"].get("priority", "normal") == stored


async def test_health_and_index_need_no_token(gateway: World) -> None:
    await gateway.append(facts.created())
    await gateway.settled()
    async with gateway.http(None) as client:
        health = (await client.get("/api/health")).json()
        assert health["success"] is True
        assert (health["data"]["ready"], health["data"]["head"], health["data"]["lag"]) == (
            True,
            1,
            0,
        )
        index = (await client.get("/")).json()["data"]
        free = {"health", "keys", "schema", "docs", "limits", "console"}
        for name, link in index["links"].items():
            expected = 200 if name in free else 426 if name == "stream" else 401
            assert (await client.get(link)).status_code == expected, link


async def test_a_request_keeps_its_id_and_json_is_compressed(gateway: World) -> None:
    async with gateway.http() as client:
        for _ in range(20):
            await made(client)
        answer = await client.get("/api/tasks", headers={"x-request-id": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["content-encoding"] == "gzip"
        odd = await client.get("/api/tasks", headers={"x-request-id": "not a token"})
    assert odd.headers["x-request-id"] != "not a token"


async def test_too_many_requests_are_told_when_to_come_back(tmp_path: Path, bus: Bus) -> None:
    settings = Settings(port=0, rate_limit_requests=5, rate_limit_window_s=600)
    async with world(tmp_path, bus, settings) as gateway:
        async with gateway.http() as client:
            codes = [(await client.get("/api/tasks")).status_code for _ in range(6)]
            assert codes == [200] * 5 + [429]
            answer = await client.get("/api/tasks")
            assert error_of(answer).reason == "rate_limited"
            assert 0 < int(answer.headers["retry-after"]) <= 600
        async with gateway.http("bob-token") as bob, gateway.http("admin-token") as admin:
            assert (await bob.get("/api/tasks")).status_code == 200
            assert {(await admin.get("/api/tasks")).status_code for _ in range(9)} == {200}


class AwayLog(MemoryLog):
    """A log that can be out of reach."""

    away = False

    async def append(self, *args: Any, **options: Any) -> int:
        if self.away:
            raise LogUnavailable("gone fishing")
        return await super().append(*args, **options)


async def test_while_the_log_is_away_the_client_learns_which_id_to_send_again(
    tmp_path: Path, bus: Bus
) -> None:
    log = AwayLog()
    async with world(tmp_path, bus, log=log) as gateway, gateway.http() as client:
        log.away = True
        answer = await client.post("/api/tasks", json=TASK)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        task = (error_of(answer).details or {})["task"]
        log.away = False
        assert (await made(client, id=task))["id"] == task


async def test_a_stopping_gateway_answers_those_who_wait(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as gateway, gateway.http() as client:
        asked = asyncio.create_task(client.post("/api/tasks?wait=60", json=TASK))
        async with asyncio.timeout(30):
            while not gateway.site.feed._waiters or not await gateway.log.head():
                await gateway.site.feed.moved()
        gateway.site.feed.release_waiters()
        answer = await asked
    assert (answer.status_code, answer.json()["data"]["status"]) == (201, "pending")
