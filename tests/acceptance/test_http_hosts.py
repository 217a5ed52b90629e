"""Hosts over HTTP, end to end: an MCP server behind a URL, and the Space kit as the heavy host."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from contracts.facts import JobDone, JobSigned, McpRegistered, TaskRouted
from services.keys import permits
from tests.support import recording_api, space
from tests.support.http_mcp import HttpServer, http_server
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

MANIFEST = """
[hosts.web]
endpoint = {{ kind = "http", url = "{web}" }}
limits = {{ max_concurrency = 4, start_s = 20.0 }}
probe = {{ interval_s = 2.0 }}
"""
SPACE = """
[hosts.{id}]
endpoint = {{ kind = "execute", url = "{url}" }}
placement = "user_space"
owner = "local"
replay = "always"
limits = {{ max_concurrency = 4, start_s = 20.0 }}
probe = {{ interval_s = 2.0 }}
"""
TYPE = """
[hosts.{id}.task_types.{name}]
summary = "{name}"
"""
MORTAL = "ann-mortal"
"""A Space that is killed; what it does is asked of no other."""
LAST_WORK = {"last_work": space.TYPES["work"]}


class World(NamedTuple):
    one: System
    web: HttpServer
    record: Path
    heavy: space.Space
    mortal: space.Space


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An orchestrator with all hosts; the Spaces trust its key."""
    folder = tmp_path_factory.mktemp("world")
    record, data = folder / "web.jsonl", folder / "data"
    jwks = {"keys": [permits.load_or_create(permits.key_path(data)).jwk]}
    async with contextlib.AsyncExitStack() as stack:
        web = await stack.enter_async_context(http_server(record))
        spaces = []
        text = MANIFEST.format(web=web.url)
        for id_, types in ((space.HOST, space.TYPES), (MORTAL, LAST_WORK)):
            (folder / id_).mkdir()
            starting = space.start(folder / id_, jwks, types)
            spaces.append(await stack.enter_async_context(starting))
            text += SPACE.format(id=id_, url=spaces[-1].url)
            text += "".join(TYPE.format(id=id_, name=name) for name in types)
        manifest = folder / "web.toml"
        manifest.write_text(text)
        one = await stack.enter_async_context(
            system(folder, {"one": 2}, extra=manifest, real=False)
        )
        await until(lambda: healthy(one, {"web", space.HOST, MORTAL}))
        yield World(one, web, record, *spaces)


async def healthy(one: System, wanted: set[str]) -> bool:
    found = (await one.get("/api/mcps")).json()["data"]
    return wanted <= {host["id"] for host in found if host["health"]["status"] == "healthy"}


def written(record: Path, event: str) -> list[dict[str, Any]]:
    lines = (
        [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    )
    return [line for line in lines if line["event"] == event]


async def test_heavy_work_runs_on_the_space_with_a_permit(world: World) -> None:
    one = world.one
    task = await one.submit("work", input={"ms": 5}, is_heavy=True)
    found = await one.finished(task)
    assert (found["status"], found["host"]) == ("succeeded", space.HOST), found
    (call,) = world.heavy.calls_of(task)
    assert call["tool"] == "work"
    facts = [r.fact for r in await one.facts() if getattr(r.fact, "task", "") == task]
    routed = next(fact for fact in facts if isinstance(fact, TaskRouted))
    signed = next(fact for fact in facts if isinstance(fact, JobSigned))
    done = next(fact for fact in facts if isinstance(fact, JobDone))
    assert routed.route.host == signed.host == done.host == space.HOST
    assert routed.route.input_sha256 == signed.input_sha256 == done.input_sha256


async def test_a_tool_error_of_the_space_fails_the_task(world: World) -> None:
    task = await world.one.submit("fail", input={"message": "because"}, is_heavy=True)
    found = await world.one.finished(task)
    assert (found["status"], found["error"]["code"]) == ("failed", "tool")
    assert "because" in found["error"]["message"]


async def test_a_result_of_20_mb_comes_back_from_the_space_as_a_verified_pointer(
    world: World,
) -> None:
    one = world.one
    task = await one.submit("big", input={"bytes": 10_000_000}, is_heavy=True)
    found = await one.finished(task)
    pointer = found["result"]
    assert (found["status"], pointer["kind"]) == ("succeeded", "pointer"), found
    download = await one.get(f"/api/tasks/{task}/result")
    assert len(download.content) == pointer["size"] > 20_000_000
    assert hashlib.sha256(download.content).hexdigest() == pointer["sha256"]


async def test_the_space_may_be_killed_in_mid_call_and_nothing_runs_twice(world: World) -> None:
    one = world.one
    limits = {"timeout_s": 5, "deadline_s": 7}
    task = await one.submit("last_work", input={"ms": 60_000}, is_heavy=True, **limits)
    await world.mortal.until_called(1)
    await world.mortal.kill()
    found = await one.finished(task)
    assert found["status"] in ("failed", "timed_out"), found
    assert len(world.mortal.calls()) == 1


@pytest.mark.parametrize("where", ["web", "space"])
async def test_a_cancelled_task_is_cancelled_at_the_host_within_a_second(
    world: World, where: str
) -> None:
    one = world.one
    if where == "web":
        task = await one.submit(host="web", input={"tool": "hang", "arguments": {}})
    else:
        task = await one.submit("hang", input={}, is_heavy=True)

    def calls(event: str) -> list[dict[str, Any]]:
        return written(world.record, event) if where == "web" else world.heavy.calls(event)

    async def begun() -> bool:
        return bool([call for call in calls("start") if call["tool"] == "hang"])

    async def ended() -> bool:
        return bool([call for call in calls("end") if call["tool"] == "hang"])

    await until(begun)
    answer = await one.http.post(f"{one.url}/api/tasks/{task}/cancel")
    assert answer.status_code < 300
    await until(ended, seconds=1.0, every=0.01)
    assert (await one.finished(task))["status"] == "cancelled"


async def test_progress_of_a_tool_reaches_a_websocket_live(world: World) -> None:
    one = world.one
    async with one.socket() as socket:
        json.loads(await socket.recv())
        ask = {"op": "subscribe", "ref": 1, "sub": "a", "to": "tasks"}
        await socket.send(json.dumps(ask))
        # So slow that none of the reports is left out (ten a second are passed on).
        arguments = {"steps": 3, "ms": 150}
        task = await one.submit(host="web", input={"tool": "progress", "arguments": arguments})
        seen: list[dict[str, Any]] = []
        async with asyncio.timeout(30):
            while True:
                frame = json.loads(await socket.recv())
                if frame["op"] == "progress" and frame["task"] == task:
                    seen.append(frame)
                types = [event["event"]["type"] for event in frame.get("events", ())]
                if "job.done" in types:
                    break
    assert [frame["message"] for frame in seen] == ["step 1", "step 2", "step 3"]
    assert seen[-1]["progress"] == seen[-1]["total"] == 3


async def test_a_web_host_that_is_gone_for_a_while_serves_again(world: World) -> None:
    one = world.one
    await world.web.kill()
    task = await one.submit(
        host="web",
        input={"tool": "echo", "arguments": {"text": "back"}},
        deadline_s=60,
        max_attempts=10,
    )

    async def tried() -> bool:
        return "last_failure" in await one.task(task) or not await healthy(one, {"web"})

    await until(tried)
    await world.web.start()
    found = await one.finished(task)
    assert found["status"] == "succeeded", found
    assert [call["task"] for call in written(world.record, "start")].count(task) == 1


async def test_an_api_is_added_by_command_and_its_operations_are_tools(world: World) -> None:
    one, record = world.one, world.record.with_name("api.jsonl")
    async with recording_api.recording(record) as url:
        endpoint = {"kind": "openapi", "url": url, "document": recording_api.DOCUMENT}
        answer = await one.http.post(f"{one.url}/api/mcps/api", json={"endpoint": endpoint})
        assert answer.status_code == 201, answer.text
        await until(lambda: healthy(one, {"api"}))
        known = (await one.get("/api/mcps/api")).json()["data"]
        assert {tool["name"] for tool in known["tools"]} == set(recording_api.NAMES)
        arguments = {"body": {"text": "hi"}}
        task = await one.submit(host="api", input={"tool": "echo", "arguments": arguments})
        found = await one.finished(task)
        assert (found["status"], found["host"]) == ("succeeded", "api"), found
        result = (await one.get(f"/api/tasks/{task}/result")).json()
        assert result["structured"] == {"result": "hi"}
        registered = [r.fact for r in await one.facts() if isinstance(r.fact, McpRegistered)]
        assert len([fact for fact in registered if fact.host == "api"]) == 2, "found out once"
        (call,) = written(record, "start")[-1:]
        assert call["tool"] == "echo"
        await one.http.delete(f"{one.url}/api/mcps/api")
