"""The TypeScript SDK's clients are asked what a task asks, in both eras; the test is the host."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from contracts.facts import TaskAnswered, TaskCreated
from tests.support import facts
from tests.support.foreign import install
from tests.support.foreign.program import run
from tests.support.nats import NatsServer
from tests.unit.gateway.mcp.test_asking import CITY, WHERE
from tests.unit.gateway.mcp.test_door import echoed, ended, next_fact, register
from tests.unit.gateway.world import world

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(400)]


@pytest.mark.parametrize("version", [("1", ""), ("2", "legacy"), ("2", "auto")])
async def test_it_asks_its_person_and_the_call_goes_on(
    tmp_path: Path, nats_server: NatsServer, version: tuple[str, str]
) -> None:
    try:
        node = await asyncio.to_thread(install.node)
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    async with nats_server.connected("gateway") as bus, world(tmp_path, bus) as gateway:
        await register(gateway)
        given = (*version, f"{gateway.url}/mcp", "alice-token")
        calling = asyncio.create_task(run(*node.script("asked_agent.mjs"), *given, PATH=node.path))
        task = await next_fact(gateway, TaskCreated)
        await gateway.append(facts.asked(task.user, task.task, **WHERE))
        assert (await next_fact(gateway, TaskAnswered)).content == {"city": "Rome"}
        await ended(gateway, task, echoed("Ciao"))
        done = await calling
    assert done.status == 0, done.out + done.err
    told = json.loads(done.out)
    assert told["text"] == "Ciao"
    (asked,) = told["asked"]
    assert asked["message"] == "Where to?"
    assert asked["requestedSchema"]["properties"] == CITY["properties"]
