"""What a user says about hosts decides between equals, is shown, and can be recomputed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import McpPreferred, TaskRouted
from contracts.subjects import preferences
from tests.support.system import System, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("one", "two")


async def metamcp(one: System, *arguments: str) -> str:
    """Run the command as a process of its own; the answer is what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        cwd=ROOT,
        env=os.environ | {"METAMCP_DATA": str(one.running.data)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, (out.decode(), err.decode())
    return out.decode()


async def prefers(one: System, favourite: str) -> None:
    """Prefer one host, and avoid the other: what is not said counts as success so far."""
    said = {host: "1" if host == favourite else "0" for host in HOSTS}
    await asyncio.gather(*(metamcp(one, "prefer", *words) for words in said.items()))


async def work(one: System) -> str:
    task = await one.submit("work", input={"ms": 1})
    assert (await one.finished(task))["status"] == "succeeded"
    return task


async def routed(one: System, tasks: list[str]) -> list[TaskRouted]:
    facts = [record.fact for record in await one.facts()]
    routes = {fact.task: fact for fact in facts if isinstance(fact, TaskRouted)}
    return [routes[task] for task in tasks]


async def test_tasks_go_where_their_user_wants_them(shared_system: System) -> None:
    one = shared_system

    async def healthy() -> bool:
        found: list[dict[str, Any]] = (await one.get("/api/mcps")).json()["data"]
        well = {host["id"] for host in found if host["health"]["status"] == "healthy"}
        return well >= set(HOSTS)

    await until(healthy)
    tasks = []
    for favourite in ("two", "one", "two"):
        await prefers(one, favourite)
        tasks += [await work(one) for _ in range(3)]
    routes = await routed(one, tasks)
    hosts = [route.route.host for route in routes]
    assert hosts == ["two"] * 3 + ["one"] * 3 + ["two"] * 3
    for route in routes:
        said = {entry.host: entry.preference for entry in route.route.candidates}
        assert said == {host: float(host == route.route.host) for host in HOSTS}
    for task, host in zip(tasks[::3], hosts[::3], strict=True):
        await explained(one, task, host)

    await asyncio.gather(*(metamcp(one, "prefer", host, "--clear") for host in HOSTS))
    assert json.loads(await metamcp(one, "prefer", "--json")) == []
    (route,) = await routed(one, [await work(one)])
    assert {entry.preference for entry in route.route.candidates} == {1.0}
    await count_up(one)


async def count_up(one: System) -> None:
    """Of many words at once about one host none is lost, and the last stands in the list."""
    async with one.log() as log:
        before = await log.read(preferences("local", "one"))
        weights = [0.1, 0.2, 0.3, 0.4, 0.5]
        url = f"{one.url}/api/preferences/one"
        asked = (one.http.put(url, json={"weight": weight}) for weight in weights)
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        after = await log.read(preferences("local", "one"))
    facts = [record.fact for record in after if isinstance(record.fact, McpPreferred)]
    assert [fact.k for fact in facts] == list(range(1, len(facts) + 1))
    assert sorted(fact.weight or 0 for fact in facts[len(before) :]) == weights
    (held,) = (await one.get("/api/preferences")).json()["data"]
    assert (held["host"], held["weight"]) == ("one", facts[-1].weight)


async def explained(one: System, task: str, host: str) -> None:
    """The command shows the preference of both hosts, and the audit recomputes the route."""
    why, audited = await asyncio.gather(
        metamcp(one, "task", task, "--why"), metamcp(one, "audit", task, "--json")
    )
    lines = why.splitlines()
    head = next(n for n, line in enumerate(lines) if "preference 0.1" in line)
    rows = [line.split() for line in lines[head + 1 : head + 3]]
    shown = {name: row for name in HOSTS for row in rows if name in row}
    assert {name: float(row[-2]) for name, row in shown.items()} == {
        name: float(name == host) for name in HOSTS
    }
    report: dict[str, Any] = json.loads(audited)
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["routes recomputed"]["ok"] is True, report
