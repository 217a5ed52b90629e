"""A log in which a newer release has written one of each: the services start on it and work."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts import roles, subjects
from contracts.facts import Unknown, encode
from services.bus.bus import Bus
from services.up import up
from tests.bench.pipeline import NOOP, VARIABLES
from tests.support.system import System
from tests.support.words import CASES, USER, WORD

pytestmark = pytest.mark.acceptance
ADDED = "task.paused.*.*.*"
NOOP_HOST = "mcp.registered.-.noop."


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[System]:
    """Everything in this process; what crashes once has failed."""
    manifest = folder / "noop.toml"
    manifest.write_text(NOOP)
    plan = up.Plan(
        data=folder / "data",
        manifests=(manifest,),
        port=0,
        variables=VARIABLES | {"METAMCP_REGISTRY_BUILTINS": "false"},
        settings=up.Settings(restarts=0, in_process=True),
    )
    async with up.start(plan) as one:
        system = System(one, folder / "none")
        try:
            yield system
        finally:
            await system.http.aclose()
        assert not one.failed.is_set()


@contextlib.asynccontextmanager
async def connected(one: System) -> AsyncIterator[dict[str, Bus]]:
    async with contextlib.AsyncExitStack() as stack:
        buses = {}
        for role in ("operator", *roles.SERVICES):
            folder, url = one.running.credentials, one.running.nats_url
            buses[role] = await up.connect(url, role, folder, name=f"newer-{role}")
            stack.push_async_callback(buses[role].close)
        yield buses


async def reregister(one: System, bus: Bus) -> None:
    """A newer release has registered the manifest's host in words of its own."""
    known = [record.fact for record in await one.facts() if record.subject.startswith(NOOP_HOST)]
    fact = json.loads(encode(known[-1]))  # type: ignore[arg-type]
    fact |= {"k": fact["k"] + 1, "spec": fact["spec"] | {"sessions": WORD}}
    answer = json.loads(await bus.request(f"{NOOP_HOST}{fact['k']}", json.dumps(fact).encode()))
    assert answer.get("seq"), answer


async def write(buses: dict[str, Bus]) -> None:
    """Store what a newer release does, each fact by the service that may, and add a subject."""
    for case in CASES:
        may = (
            role
            for role, filters in roles.WRITES.items()
            if any(subjects.matches(filter_, case.subject) for filter_ in filters)
        )
        answer = json.loads(await buses[next(may)].request(case.subject, case.data))
        assert answer.get("seq"), (case.place.name, answer)
    info = f"$JS.API.STREAM.INFO.{subjects.STREAM}"
    config = json.loads(await buses["operator"].request(info))["config"]
    config["subjects"].append(ADDED)
    update = f"$JS.API.STREAM.UPDATE.{subjects.STREAM}"
    answer = json.loads(await buses["operator"].request(update, json.dumps(config).encode()))
    assert "error" not in answer, answer


async def works(one: System) -> None:
    """An ordinary task comes to its end, health is ready, and all that can't be read is shown."""
    task = await one.submit("noop", input={})
    assert (await one.finished(task))["status"] == "succeeded"
    assert (await one.get("/api/health/ready")).status_code == 200
    assert (await one.get("/api/tasks")).status_code == 200
    hosts = {host["id"]: host for host in (await one.get("/api/mcps")).json()["data"]}
    assert hosts.keys() == {"noop"}
    records = await one.facts()
    unread = {record.subject for record in records if isinstance(record.fact, Unknown)}
    ours = {subject for subject in unread if subject.startswith(NOOP_HOST)}
    assert unread - ours == {case.subject for case in CASES}
    hidden = [case.task for case in CASES if case.place.type == "task.created"]
    for task in hidden:
        answer = await one.get(f"/api/tasks/{task}?user={USER}")
        assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "unavailable")


async def test_services_start_work_and_start_again_on_such_a_log(tmp_path: Path) -> None:
    async with running(tmp_path) as one, connected(one) as buses:
        await write(buses)
        await works(one)
        await reregister(one, buses["registry"])
    async with running(tmp_path) as one:
        await works(one)
        async with connected(one) as buses:
            info = await buses["router"].request(f"$JS.API.STREAM.INFO.{subjects.STREAM}")
            assert ADDED in json.loads(info)["config"]["subjects"]
