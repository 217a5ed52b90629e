"""Attacks of users with a plain token, of publishers, and of clients that have none: each does what
it can for a while, then another user is served and no process was started again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
import websockets

from contracts.facts import McpRegistered, TaskCancelled
from tests.bench.others import own_host
from tests.support.apart import Guest, User, World, at, call
from tests.support.arena import Arena, arena
from tests.support.processes import rss_mib, stored_mib
from tests.support.system import System, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.skipif(os.environ.get("ATTACKS") != "all", reason="`make attacks` runs these"),
    pytest.mark.timeout(150),
    pytest.mark.asyncio(loop_scope="module"),
]

MIB = 1024 * 1024
NOOP = {"type": "noop", "input": {}}
ROUTER = "router-1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def users() -> AsyncIterator[Arena]:
    async with arena(METAMCP_GATEWAY_RATE_LIMIT_REQUESTS="100000") as one:
        yield one


def socket(one: World, user: User) -> Any:
    return websockets.connect(
        one.url.replace("http", "ws", 1) + "/api/stream",
        subprotocols=[websockets.Subprotocol("metamcp.v1")],
        additional_headers={"Authorization": f"Bearer {user.token}"},
        compression=None,
        max_size=None,
    )


async def flooded(one: World, user: User, frames: list[str]) -> list[dict[str, Any]]:
    """Send all of these at once and take the answers, until all are there or the socket is cut."""
    answers: list[dict[str, Any]] = []
    with contextlib.suppress(websockets.ConnectionClosed, TimeoutError):
        async with asyncio.timeout(40), socket(one, user) as stream:
            sending = asyncio.create_task(_sent(stream, frames))
            try:
                while len(answers) < len(frames):
                    frame = json.loads(await stream.recv())
                    if frame["op"] in ("ack", "error"):
                        answers.append(frame)
            finally:
                sending.cancel()
    return answers


async def _sent(stream: Any, frames: list[str]) -> None:
    # A list would be the fragments of one frame.
    for frame in frames:
        await stream.send(frame)


def submitting(task: dict[str, Any], count: int) -> list[str]:
    return [json.dumps({"op": "submit", "ref": k, "task": task}) for k in range(count)]


async def facts(one: World) -> list[Any]:
    """All facts of the log."""
    return [r.fact for r in await System(one.running, Path()).facts()]


async def test_waiting_tasks_do_not_fill_the_routers_memory(users: Arena) -> None:
    async with users.attack() as (one, guest, _):
        before = rss_mib(one.running.pids[ROUTER])
        need = [{"name": f"c{k}", "parameters": ["p" * 500]} for k in range(100)]
        for task in (
            {**NOOP, "required_capabilities": need},
            {**NOOP, "preferred_capabilities": need},
        ):
            await flooded(one, guest.user, submitting({**task, "delay_s": 600_000}, 1_500))
        assert rss_mib(one.running.pids[ROUTER]) - before < 150


@pytest.mark.parametrize(
    "version",
    ["9" * 5_000, "1." * 15_000 + "1", "1!2.0rc1+" + "a." * 10_000 + "a", "", "not one", "1e999"],
    ids=["digits", "dots", "local", "empty", "words", "float"],
)
async def test_a_version_that_nobody_can_read_harms_no_router(users: Arena, version: str) -> None:
    async with users.attack() as (_, guest, other):
        need = [{"name": "noop", "version": version}]
        for field in ("required_capabilities", "preferred_capabilities"):
            for _ in range(20):
                await guest.task({**NOOP, field: need})
        await asyncio.gather(*(other.task(NOOP) for _ in range(5)))


@pytest.mark.parametrize(
    "strange",
    [
        {"timeout_s": 1e-300},
        {"deadline_s": 1e-300},
        {"delay_s": 1e-300, "deadline_s": 1e-9},
        {"priority": -1000},
        {"type": "mcp.call", "input": {"tool": "x" * 50_000, "arguments": {}}},
        {"type": "mcp.call", "input": {"tool": "noop", "arguments": {"a": [[]] * 10_000}}},
        {"host": "n" * 64},
        {"max_attempts": 100, "on_unknown": "retry", "retry_tool_errors": True, "timeout_s": 1e-9},
    ],
    ids=["timeout", "deadline", "delay", "priority", "tool", "arguments", "host", "attempts"],
)
async def test_tasks_at_the_edge_of_what_is_taken_harm_nobody(
    users: Arena, strange: dict[str, Any]
) -> None:
    async with users.attack() as (one, guest, _):
        answers = await flooded(one, guest.user, submitting({**NOOP, **strange}, 500))
        assert len(answers) == 500


async def test_tasks_that_are_tried_again_for_ever_starve_nobody(users: Arena) -> None:
    """A host that cuts each call: 20 tasks of 100 attempts each, told to try again."""
    async with users.attack() as (one, guest, other):
        host = await guest.host("cuts", at(one.hosts.mcp("cut"), limits={"max_concurrency": 16}))
        refused = await guest.host("gone", at("http://127.0.0.1:9/mcp"))
        for where in filter(None, (host, refused)):
            for _ in range(20):
                await guest.task(call(where, max_attempts=100, on_unknown="retry"))
        assert await own_host(one, other) == []


async def test_a_host_that_changes_while_its_tasks_run_loses_none(users: Arena) -> None:
    """Its owner replaces, disables, enables and removes it; each of its tasks has one end."""
    async with users.attack() as (one, guest, other):
        entries = [
            at(one.hosts.mcp(kind, "flip"), limits={"max_concurrency": n})
            for kind, n in (("quiet", 4), ("silent", 2), ("dead", 1))
        ]
        host = await guest.host("flips", entries[0])
        assert host is not None
        await guest.healthy(host)
        limits = {"timeout_s": 3, "deadline_s": 15, "max_attempts": 2}
        tasks = []
        for turn, entry in zip(range(30), itertools.cycle(entries), strict=False):
            tasks.append(await guest.task(call(host, **limits)))
            await guest.ask("PUT", f"/api/mcps/{host}", json=entry)
            await guest.ask("POST", f"/api/mcps/{host}/{('disable', 'enable')[turn % 2]}")
        assert (await one.admin.delete(f"/api/mcps/{host}")).status_code == 200
        assert await own_host(one, other) == []
        for task in filter(None, tasks):
            await over(guest, task)
        registered = [f for f in await facts(one) if isinstance(f, McpRegistered)]
        assert len([f for f in registered if f.host.rpartition("/")[2] == "flips"]) <= 3 * 30 + 10


async def over(guest: Guest, task: str) -> None:
    async def ended() -> bool:
        answer = await guest.ask("GET", f"/api/tasks/{task}")
        return answer is not None and "done_at" in answer.json()["data"]

    await until(ended, seconds=40, every=0.3)


async def test_history_for_hundreds_of_subscriptions_leaves_room_for_one(users: Arena) -> None:
    """16 websockets with 32 subscriptions of everything there ever was, again and again."""
    async with users.attack() as (one, guest, other):
        await flooded(one, guest.user, submitting({**NOOP, "delay_s": 600_000}, 2_000))
        asks = [
            json.dumps({"op": "subscribe", "ref": k, "sub": f"s{k}", "to": to, "after": "start"})
            for k, to in zip(range(32), itertools.cycle(("hosts", "tasks")), strict=False)
        ]
        crowd = [asyncio.create_task(flooded(one, guest.user, asks * 2)) for _ in range(16)]
        try:
            began = time.monotonic()
            async with asyncio.timeout(20), socket(one, other.user) as stream:
                await stream.send(
                    '{"op":"subscribe","ref":1,"sub":"a","to":"tasks","after":"start"}'
                )
                while json.loads(await stream.recv())["op"] != "caught_up":
                    pass
            assert time.monotonic() - began < 15
        finally:
            for task in crowd:
                task.cancel()
            await asyncio.wait(crowd)


async def test_event_streams_that_nobody_reads_harm_nobody(users: Arena) -> None:
    async with users.attack() as (one, guest, other):
        where = urlsplit(one.url)
        lines = (
            "GET /api/events?to=tasks&after=start HTTP/1.1",
            f"Host: {where.netloc}",
            f"Authorization: Bearer {guest.user.token}",
            *("", ""),
        )
        deaf = [await asyncio.open_connection(where.hostname, where.port) for _ in range(150)]
        for _, writer in deaf:
            writer.write("\r\n".join(lines).encode())
        await flooded(one, guest.user, submitting(NOOP, 2_000))
        async with asyncio.timeout(15), other.http.stream("GET", "/api/events") as stream:
            assert stream.status_code == 200
            await other.task(NOOP)
            async for line in stream.aiter_lines():
                if line == "event: job.done":
                    break
        for _, writer in deaf:
            writer.close()


async def test_cancelling_again_and_again_stores_one_fact(users: Arena) -> None:
    async with users.attack() as (one, guest, _):
        task = await guest.task({**NOOP, "delay_s": 600_000})
        frames = [json.dumps({"op": "cancel", "ref": k, "task": task}) for k in range(3_000)]
        nobody = [json.dumps({"op": "cancel", "ref": k, "task": f"no-{k}"}) for k in range(3_000)]
        await flooded(one, guest.user, frames)
        await flooded(one, guest.user, nobody)
        found = [f for f in await facts(one) if isinstance(f, TaskCancelled)]
        assert len([f for f in found if f.user == guest.user.name]) <= 1


async def test_uploads_that_break_off_leave_nothing_behind(users: Arena) -> None:
    async with users.attack() as (one, guest, _):
        before = stored_mib(one.running.data)
        where = urlsplit(one.url)

        async def half() -> None:
            _, writer = await asyncio.open_connection(where.hostname, where.port)
            head = (
                f"PUT /api/blobs HTTP/1.1\r\nHost: {where.netloc}\r\n"
                f"Authorization: Bearer {guest.user.token}\r\nContent-Length: {64 * MIB}\r\n\r\n"
            )
            with contextlib.suppress(OSError):
                writer.write(head.encode())
                for k in range(4):
                    writer.write(bytes([k]) * MIB)
                    await writer.drain()
            writer.transport.abort()

        await asyncio.gather(*(half() for _ in range(30)))

        async def gone() -> bool:
            return stored_mib(one.running.data) - before < 60

        await until(gone, seconds=15, every=0.5)


async def test_names_that_look_like_others_take_nothing_from_them(users: Arena) -> None:
    async with users.attack() as (one, guest, other):
        quiet = at(one.hosts.mcp("quiet"), task_types={"noop": {"steps": [{"tool": "work"}]}})
        for name in ("noop", "-", "--", "a__b", "x__noop", "A" * 64):
            host = await guest.host(name, quiet)
            if host is not None:
                await guest.healthy(host)
        strange = (
            "",
            "a/b/c",
            "../noop",
            "%2e%2e",
            "n\u043eop",
            "no op",
            "noop\n",
            "A" * 65,
            ">",
            "*",
        )
        for name in strange:
            assert await guest.host(name, quiet) is None, name
        owner = await guest.host(f"{other.user.name}/mine", quiet)
        assert owner is None or not owner.startswith(other.user.name)
        for host in ("noop", None):
            answer = await other.http.post("/api/tasks?wait=20", json={**NOOP, "host": host})
            done = answer.json()["data"]
            assert (done["status"], done["host"]) == ("succeeded", "noop"), done
        seen = {host["id"] for host in (await other.http.get("/api/mcps")).json()["data"]}
        assert seen == {"noop"}


@pytest.mark.parametrize("name", ["-", "", "a/b", "*", ">", "a.b", "A" * 65])
async def test_nobody_is_called_as_no_user_may_be(users: Arena, name: str) -> None:
    async with users.attack() as (one, _, _):
        assert (await one.admin.post("/api/tokens", json={"user": name})).status_code == 400


async def test_requests_that_wait_hold_nobody_up(users: Arena) -> None:
    """400 requests that wait for a minute each, and 60 probes of a host that says nothing."""
    async with users.attack() as (one, guest, other):
        hole = await guest.host("hole", at(one.hosts.mcp("hole")))
        waiting = [
            asyncio.create_task(
                guest.ask("POST", "/api/tasks?wait=60", json={**NOOP, "delay_s": 600})
            )
            for _ in range(400)
        ]
        probes = [
            asyncio.create_task(guest.ask("POST", f"/api/mcps/{hole}/probe")) for _ in range(60)
        ]
        assert await own_host(one, other) == []
        found = await asyncio.gather(*(other.http.get("/api/mcps") for _ in range(20)))
        assert {answer.status_code for answer in found} == {200}
        for task in (*waiting, *probes):
            task.cancel()
        await asyncio.wait([*waiting, *probes])


async def test_preferences_and_switches_are_counted(users: Arena) -> None:
    """What stands in the log for ever for each request of a user has a budget of its own, or none
    is needed for so few."""
    async with users.attack() as (one, guest, other):
        for turn in range(300):
            await guest.ask("PUT", "/api/preferences/noop", json={"weight": turn % 2})
            await guest.ask("GET", "/api/preferences")
        assert await own_host(one, other) == []


async def test_frames_that_nobody_understands_cost_nobody_else(users: Arena) -> None:
    async with users.attack() as (one, guest, other):
        frames = ["{", "[]", '{"op":"submit"}', "[" * 60_000, '{"op":"' + "x" * 500_000 + '"}']
        crowd = [asyncio.create_task(flooded(one, guest.user, frames * 10)) for _ in range(40)]
        assert await own_host(one, other) == []
        await asyncio.wait(crowd)


async def test_strangers_without_a_token_shut_no_door(users: Arena) -> None:
    """Wrong tokens, wrong tickets and websockets that never say who they are, from one address."""
    async with users.attack() as (one, _, other):
        transport = httpx.AsyncHTTPTransport(local_address="127.0.3.1")
        async with httpx.AsyncClient(base_url=one.url, transport=transport, timeout=10) as stranger:

            async def one_try(k: int) -> None:
                with contextlib.suppress(httpx.HTTPError):
                    await stranger.get("/api/tasks", headers={"Authorization": f"Bearer mtm_{k}"})
                    await stranger.get(f"/api/events?ticket=ticket_{k}")
                    await stranger.post("/mcp", content=b"{" * 1_000)
                    await stranger.put("/api/blobs", content=b"x" * 100_000)

            await asyncio.gather(*(one_try(k) for k in range(200)))
        assert await own_host(one, other) == []


async def test_a_publisher_who_fills_the_intake_shuts_no_other_door(users: Arena) -> None:
    """Poison, wrong ids, the same id again, and tasks of a host that is not his."""
    async with users.attack() as (one, _, other):
        bus = await System(one.running, Path()).publisher()
        bodies = [
            b"\xff" * 1_000,
            b"[" * 100_000,
            json.dumps({**NOOP, "id": "same", "input": {"a": "x" * 900_000}}).encode(),
            json.dumps({**NOOP, "user": other.user.name}).encode(),
            json.dumps({**NOOP, "host": f"{other.user.name}/mine"}).encode(),
            json.dumps({**NOOP, "delay_s": 600_000}).encode(),
        ]
        try:
            for number, body in zip(range(1_500), itertools.cycle(bodies), strict=False):
                await bus.publish("task.created", body)
                if number % 50 == 0:
                    await bus.flush()
            assert await own_host(one, other) == []
        finally:
            await bus.close()
