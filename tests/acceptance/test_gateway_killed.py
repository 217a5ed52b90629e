"""A gateway that everybody uses is killed, or stopped, and all go on at another one.

Nothing that was accepted is lost, nothing is done twice, and every fact reaches its readers once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import MCPError

from tests.support.steady import WORK, Site, request, rest, submission
from tests.support.system import until
from tests.support.two_gateways import Scene, scene
from tests.unit.gateway.mcp.test_door import (
    TASK_KEY,
    Detailed,
    GetTask,
    Handle,
    TaskParams,
    Tasks,
    agent,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

SLOW_MS = 4000
LONG_MS = 12000
KILLS = 2
RESTART = 4000


async def call(here: Scene, site: Site, task: str, ms: int) -> Any:
    """The answer to a slow call under this name."""
    meta: Any = {TASK_KEY: task}
    async with agent(site, here.tokens["agent"]) as client:  # type: ignore[arg-type]
        return await client.call_tool("one__work", {"task": task, "ms": ms}, meta=meta)


async def handle_of(here: Scene, site: Site, label: str, ms: int) -> str:
    """Begin a slow call and keep its handle alone."""
    async with collector(here, site) as client:
        arguments = {"task": label, "ms": ms}
        handle = await client.session.call_tool("one__work", arguments, allow_claimed=True)
    assert isinstance(handle, Handle)
    return handle.taskId


async def collect(here: Scene, site: Site, handle: str) -> Detailed:
    """Ask with a handle until its call is over."""
    async with collector(here, site) as client:
        ask = GetTask(params=TaskParams(task_id=handle))
        found: list[Detailed] = []

        async def over() -> bool:
            found[:] = [await client.session.send_request(ask, Detailed)]
            return found[0].status != "working"

        await until(over)
    return found[0]


def collector(here: Scene, site: Site) -> Any:
    """A client that takes handles."""
    return agent(site, here.tokens["agent"], extensions=[Tasks()])  # type: ignore[arg-type]


async def attempt(asking: Awaitable[Any]) -> Any:
    """The answer, or the error it ended with: clients that are cut off raise groups of them."""
    try:
        return await asking
    except (MCPError, BaseExceptionGroup, httpx2.HTTPError) as error:
        return error


async def insist(here: Scene, ask: Callable[[Site], Awaitable[Any]]) -> tuple[Any, int]:
    """Ask one gateway after the other; the first answer, and how many gateways gave none."""
    for cuts, site in enumerate(itertools.cycle(here.sites)):
        answer = await attempt(ask(site))
        if not isinstance(answer, BaseException):
            return answer, cuts
    raise AssertionError


async def kill_in_use(here: Scene, site: Site, other: Site, turn: int) -> None:
    """Kill the gateway that everybody uses; what it left unsaid is found at the other one."""
    await here.listens(other)
    await here.used(site)
    unread, lost = [f"unread-{turn}-{k}" for k in range(8)], f"lost-{turn}"
    async with site.stream(here.tokens["deaf"]) as deaf:
        for ref, task in enumerate(unread):
            await deaf.send(submission(ref, task))
        stored = await here.stored("deaf", unread)
        here.freeze(site.name)
        await deaf.send(submission(99, lost))
        # The queue hands out half of them to a gateway that will never deal with them.
        await here.publisher.queue(f"taken-{turn}", 20)
        await here.stuck()
        here.one.running.kill(site.name)
        deaf.transport.abort()
    assert lost not in await here.created("deaf")
    again = [await post(here, other, task) for task in (*unread, lost)]
    stored |= await here.stored("deaf", [lost])
    assert again == list(zip([200] * len(unread) + [201], stored.values(), strict=True))
    here.told |= stored


async def post(here: Scene, site: Site, task: str, query: str = "", **fields: Any) -> Any:
    """Submit a task by HTTP; the answer's status, and the sequence it tells."""
    headers = {"Authorization": f"Bearer {here.tokens['deaf']}"}
    body = WORK | {"id": task} | fields
    answer = await here.one.http.post(f"{site.url}/api/tasks{query}", json=body, headers=headers)
    assert answer.is_success, answer.text
    return answer.status_code, answer.json()["data"]["created_seq"]


async def stop_in_use(here: Scene, site: Site, other: Site, group: asyncio.TaskGroup) -> None:
    """Tell the gateway that everybody uses to stop while the log is too slow to answer."""
    await here.used(site)
    calling = group.create_task(attempt(call(here, site, "named", SLOW_MS)))
    waiting = group.create_task(post(here, site, "waiting", "?wait=60", input={"ms": SLOW_MS}))
    here.calls["named"] = "named"
    for task in ("named", "waiting"):
        await here.begun(task)
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(site.url).port)
    with contextlib.closing(writer):
        async with site.stream(here.tokens["deaf"]) as socket:
            await socket.recv()
            here.freeze("nats")
            try:
                writer.write(request(here.tokens["deaf"], "by-http"))
                by_socket = [f"by-socket-{ref}" for ref in range(8)]
                for ref, task in enumerate(by_socket):
                    await socket.send(submission(ref, task))
                await socket.send(json.dumps({"op": "unsubscribe", "ref": 99, "sub": "none"}))
                # Frames are read in turn: it has begun with all that came before this one.
                assert json.loads(await socket.recv())["ref"] == 99
                here.one.running.kill(site.name, signal.SIGTERM)
                await here.moved("sse", other)
            finally:
                here.one.running.kill("nats", signal.SIGCONT)
            acks, code = await rest(socket)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    here.told |= {by_socket[ack["ref"]]: ack["seq"] for ack in acks}
    assert here.told.keys() == set(by_socket), "not all were answered"
    assert code == RESTART
    assert head.startswith(b"HTTP/1.1 201 ")
    here.told["by-http"] = json.loads(body)["data"]["created_seq"]
    status, here.told["waiting"] = await waiting
    assert status == 201
    assert "task named goes on" in repr(await calling)
    await here.used(other)
    answer = await call(here, other, "named", SLOW_MS)
    assert (answer.is_error, answer.structured_content["task"]) == (False, "named")


@pytest.mark.long
async def test_a_killed_gateway_loses_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        first, second = here.sites
        async with here.load(), asyncio.TaskGroup() as group:
            await here.used(first)
            ask = partial(call, here, task="named", ms=LONG_MS)
            calling = group.create_task(insist(here, ask))
            handle = await handle_of(here, first, "handle", LONG_MS)
            fetching = group.create_task(insist(here, partial(collect, here, handle=handle)))
            await here.begun("named")
            await here.begun(handle)
            for turn in range(KILLS):
                await kill_in_use(here, first, second, turn)
                first, second = second, first
        for client in here.clients:
            await here.late(client, first)
        here.calls = {"named": "named", "handle": handle}
        await here.check()
    (answer, cuts), (found, missed) = calling.result(), fetching.result()
    assert min(cuts, missed) > 0, "they were over before the gateway"
    assert (answer.is_error, answer.structured_content["task"]) == (False, "named")
    assert found.status == "completed"
    assert found.result["structuredContent"]["task"] == "handle"
    for client in here.clients:
        assert client.cut["http"] >= KILLS
        assert client.cut["socket"] >= KILLS
        assert set(client.codes) == {1006}


async def test_a_stopping_gateway_answers_what_it_has_begun(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        async with here.load(), asyncio.TaskGroup() as group:
            await stop_in_use(here, *here.sites, group)
        await here.check()
    for client in here.clients:
        assert set(client.codes) == {RESTART}
