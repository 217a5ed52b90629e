"""Hosts of one user that do what they can; another user and the operator go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from contracts.facts import FailureKind, JobFailed
from tests.support.adverse_mcp import SLOW, adverse
from tests.support.system import System, system, until
from tests.unit.executor.hosts.test_apart import children
from tests.unit.outside.apart.test_pool import until_gone

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
PATTERN = {"properties": {"t": {"type": "string", "pattern": "^(a+)+$"}}}
AHEAD = {"properties": {"t": {"type": "string", "pattern": "(?=a)b"}}}


class Mallory:
    """A user with hosts of his own."""

    def __init__(self, one: System, token: str, url: str) -> None:
        self.one = one
        self.url = url
        headers = {"Authorization": f"Bearer {token}"}
        self.http = httpx.AsyncClient(headers=headers, timeout=60, trust_env=False)

    async def register(self, name: str, how: str = "", **fields: Any) -> httpx.Response:
        kind = fields.pop("kind", "http")
        entry = {"endpoint": {"kind": kind, "url": f"{self.url}/{how or name}"}, **fields}
        return await self.http.post(f"{self.one.url}/api/mcps", json={"id": name, **entry})

    async def submit(self, host: str, type_: str = "mcp.call", **fields: Any) -> str:
        body = {"type": type_, "host": host, "input": {"tool": "t"}, "max_attempts": 1} | fields
        answer = await self.http.post(f"{self.one.url}/api/tasks", json=body)
        assert answer.status_code < 300, answer.text
        return str(answer.json()["data"]["id"])

    async def task(self, task: str) -> dict[str, Any]:
        answer = await self.http.get(f"{self.one.url}/api/tasks/{task}")
        return answer.json()["data"] if answer.is_success else {}

    async def failures(self, *tasks: str) -> set[FailureKind]:
        """How the attempts of these tasks failed."""
        facts = [record.fact for record in await self.one.facts()]
        return {one.kind for one in facts if isinstance(one, JobFailed) and one.task in tasks}

    async def finished(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def over() -> bool:
            nonlocal found
            found = await self.task(task)
            return "done_at" in found

        await until(over, seconds=90, every=1.0)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mallory(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mallory]:
    folder = tmp_path_factory.mktemp("apart")
    variables = {"METAMCP_ALLOW_PRIVATE_HOSTS": "true", "METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0"}
    async with adverse() as url, system(folder, {"one": 8}, **variables) as one:
        made = await one.http.post(f"{one.url}/api/tokens", json={"user": "mallory"})
        user = Mallory(one, made.json()["data"]["token"], url)
        yield user
        await user.http.aclose()


async def another(one: System) -> float:
    """Seconds that somebody else's task takes meanwhile."""
    began = time.monotonic()
    task = await one.submit(input={"tool": "echo", "arguments": {"text": "hi"}}, host="one")
    assert (await one.finished(task))["status"] == "succeeded"
    return time.monotonic() - began


async def test_schemas_of_a_user_stop_nobody(mallory: Mallory) -> None:
    one = mallory.one
    pattern = {"x": {"input_schema": PATTERN}}
    assert (await mallory.register("in", "ok", kind="execute", task_types=pattern)).is_success
    refused = await mallory.register(
        "ahead", "ok", kind="execute", task_types={"x": {"input_schema": AHEAD}}
    )
    assert refused.status_code == 400
    assert "task_types.x.input_schema.properties.t.pattern" in refused.text
    probe = {"tool": "t", "interval_s": 10.0}
    for how in ("regex", "doubling"):
        assert (await mallory.register(how, probe=probe)).is_success
    await another(one)
    tasks = [
        await mallory.submit("in", "x", input={"t": SLOW}, max_attempts=3),
        *[await mallory.submit(how) for how in ("regex", "doubling") for _ in range(3)],
    ]
    assert await another(one) < 15
    ends = [await mallory.finished(task) for task in tasks]
    assert await mallory.failures(tasks[0]) == {FailureKind.BAD_INPUT}
    assert {end["status"] for end in ends[1:]} == {"succeeded"}


@pytest.mark.long
async def test_noise_of_a_user_stops_nobody(mallory: Mallory) -> None:
    one = mallory.one
    for how in ("comments", "progress", "list-comments", "list-progress", "list-hang"):
        assert (await mallory.register(how, limits={"max_concurrency": 8})).is_success
    await another(one)
    tasks = [await mallory.submit(how) for how in ("comments", "progress") for _ in range(6)]
    assert await another(one) < 15
    began = time.monotonic()
    assert (await one.get("/api/mcps")).status_code == 200
    assert time.monotonic() - began < 5
    for task in tasks:
        assert (await mallory.finished(task))["status"] == "failed"
    kinds = await mallory.failures(*tasks)
    assert FailureKind.TOO_LARGE in kinds
    assert kinds <= {FailureKind.TOO_LARGE, FailureKind.CUT, FailureKind.UNREACHABLE}


async def test_the_operator_ends_the_calls_of_a_host_that_he_disables(mallory: Mallory) -> None:
    one = mallory.one
    answer = await mallory.register("hang")
    id_ = answer.json()["data"]["id"]
    task = await mallory.submit("hang")

    async def running() -> bool:
        return (await mallory.task(task)).get("status") == "running"

    await until(running, seconds=60, every=0.5)
    # The call itself is in a worker by then, or on its way there.
    began = time.monotonic()
    switched = await one.http.post(f"{one.url}/api/mcps/{id_}/disable")
    assert switched.is_success, switched.text
    assert time.monotonic() - began < 5
    end = await mallory.finished(task)
    assert end["status"] == "failed"
    assert time.monotonic() - began < 20


async def test_nothing_of_a_killed_executor_is_left_and_the_next_one_works(
    mallory: Mallory,
) -> None:
    one = mallory.one
    assert (await mallory.register("hang2", "hang")).is_success
    await mallory.submit("hang2", on_unknown="retry", max_attempts=3)
    pid = one.running.pids["executor-1"]
    below: list[int] = []

    async def called() -> bool:
        nonlocal below
        zygotes = [child for child in children(pid) if children(child)]
        below = [*zygotes, *(worker for child in zygotes for worker in children(child))]
        return len(below) >= 2

    await until(called, seconds=60)
    one.running.kill("executor-1")
    for gone in below:
        await until_gone(gone)
    assert await another(one) < 60
    async with asyncio.timeout(10):
        assert (await one.get("/api/mcps")).status_code == 200
