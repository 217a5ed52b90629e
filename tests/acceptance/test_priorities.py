"""Priorities at every door: words, and the whole numbers of the original API."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import Record, TaskCreated
from contracts.task import Priority
from tests.support.system import System

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {
    "high": Priority.HIGH,
    8: Priority.HIGH,
    2: Priority.HIGH,
    "normal": Priority.NORMAL,
    0: Priority.NORMAL,
    7: Priority.NORMAL,
    "low": Priority.LOW,
    -1: Priority.LOW,
}
BAD: tuple[Any, ...] = ("urgent", 1.5, 10**6)

Door = Callable[[System, dict[str, Any]], Awaitable[None]]


async def http(one: System, body: dict[str, Any]) -> None:
    answer = await one.http.post(f"{one.url}/api/tasks", json=body)
    assert answer.status_code == (400 if body["priority"] in BAD else 201), answer.text


async def websocket(one: System, body: dict[str, Any]) -> None:
    async with one.socket() as socket:
        await socket.recv()
        await socket.send(json.dumps({"op": "submit", "ref": 1, "task": body}))
        answer = json.loads(await socket.recv())
    assert answer["op"] == ("error" if body["priority"] in BAD else "ack"), answer


async def request(one: System, body: dict[str, Any]) -> None:
    bus = await one.publisher()
    answer = json.loads(await bus.request("metamcp.tasks.submit", json.dumps(body).encode()))
    await bus.close()
    assert ("reason" in answer) == (body["priority"] in BAD), answer


async def publish(one: System, body: dict[str, Any]) -> None:
    bus = await one.publisher()
    await bus.publish("task.created", json.dumps(body).encode())
    await bus.flush()
    await bus.close()


async def command_line(one: System, body: dict[str, Any]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "submit", body["type"]),
        *("--id", body["id"], f"--priority={body['priority']}"),
        cwd=ROOT,
        env=os.environ | {"METAMCP_DATA": str(one.running.data)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert (process.returncode != 0) == (body["priority"] in BAD), out.decode()


async def test_every_door_takes_words_and_whole_numbers(shared_system: System) -> None:
    for door in (http, websocket, request, publish, command_line):
        await takes_all(shared_system, door)


async def takes_all(one: System, door: Door) -> None:
    async def send(number: int, priority: object) -> str:
        task = f"{door.__name__}-{number}"
        await door(one, {"type": "nobody_does_this", "id": task, "priority": priority})
        return task

    good = await asyncio.gather(*(send(number, given) for number, given in enumerate(GIVEN)))
    bad = await asyncio.gather(*(send(100 + number, given) for number, given in enumerate(BAD)))
    wanted = dict(zip(good, GIVEN.values(), strict=True))
    created: dict[str, TaskCreated] = {}

    def all_there(records: list[Record]) -> bool:
        created.update({r.fact.task: r.fact for r in records if isinstance(r.fact, TaskCreated)})
        return set(wanted) <= set(created) and (door is not publish or set(bad) <= set(created))

    await one.told("task.created.>", all_there)
    assert {task: created[task].spec.priority for task in wanted} == wanted, door
    # Whoever waits for an answer got one; what was only published is recorded as invalid.
    assert [task for task in bad if task in created] == (bad if door is publish else []), door
    assert all(created[task].invalid for task in bad if task in created)
