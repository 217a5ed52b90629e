"""One user can't take every slot: not with a host that never answers, nor on the operator's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from contracts.host import FOREIGN_TIMEOUT_S
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

SLOTS = 16
NOOP = """
[hosts.slow]
endpoint = { kind = "noop", delay_ms = 3600000 }
limits = { max_concurrency = 1024 }
task_types.slow.steps = [{ tool = "noop" }]

[hosts.quick]
endpoint.kind = "noop"
limits = { max_concurrency = 1024 }
task_types.quick.steps = [{ tool = "noop" }]
"""
WEEK_S = 604_800


@contextlib.asynccontextmanager
async def silent_host() -> AsyncIterator[str]:
    """An `/execute` host that is healthy and never answers a call."""
    over = asyncio.Event()

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def execute(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response(status=500)

    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_post("/execute", execute)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        over.set()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def user(one: System, name: str) -> AsyncIterator[httpx.AsyncClient]:
    answer = await one.http.post(f"{one.url}/api/tokens", json={"user": name})
    assert answer.status_code == 201, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['data']['token']}"}
    async with httpx.AsyncClient(
        base_url=one.url, headers=headers, timeout=30, trust_env=False
    ) as client:
        yield client


async def submit(client: httpx.AsyncClient, type_: str, **fields: Any) -> str:
    body = {"type": type_, "input": {}, **fields}
    answer = await client.post("/api/tasks", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


async def flood(client: httpx.AsyncClient, type_: str) -> None:
    """More tasks than there are slots and places before them, that may each take a week."""
    for _ in range(3 * SLOTS):
        await submit(client, type_, timeout_s=WEEK_S, deadline_s=WEEK_S)


async def running(one: System) -> int:
    """Attempts that are claimed and not over."""
    kinds = [
        record.subject.split(".")[1]
        for record in await one.facts()
        if record.subject.startswith("job.")
    ]
    return kinds.count("signed") - kinds.count("done") - kinds.count("failed")


async def test_another_users_task_runs_at_once(tmp_path: Path) -> None:
    extra = tmp_path / "noop.toml"
    extra.write_text(NOOP)
    async with (
        silent_host() as url,
        system(
            tmp_path,
            {"recorder": 1},
            extra=extra,
            real=False,
            METAMCP_ALLOW_PRIVATE_HOSTS="true",
            METAMCP_REGISTRY_ALLOW_NOOP="true",
            METAMCP_EXECUTOR_ALLOW_NOOP="true",
            METAMCP_EXECUTOR_SLOTS=str(SLOTS),
            METAMCP_GATEWAY_RATE_LIMIT_REQUESTS="10000",
        ) as one,
        user(one, "mallory") as mallory,
        user(one, "alice") as alice,
    ):
        entry = {
            "endpoint": {"kind": "execute", "url": url},
            "task_types": {"hang": {}},
            "limits": {"max_concurrency": 1024},
        }
        refused = await mallory.post("/api/mcps/hers", json=entry)
        assert refused.status_code == 400
        assert "limits.max_concurrency" in refused.json()["error"]["message"]
        entry["limits"] = {"max_concurrency": 16}
        assert (await mallory.post("/api/mcps/hers", json=entry)).status_code == 201
        await flood(mallory, "hang")

        async def quarter() -> bool:
            return await running(one) == SLOTS // 4

        await until(quarter)
        await _runs_at_once(alice)
        await flood(mallory, "slow")

        async def all_but_two() -> bool:
            return await running(one) == SLOTS - 2

        await until(all_but_two)
        await _runs_at_once(alice)
        assert await running(one) == SLOTS - 2
        limits = {
            record.fact.route.timeout_s
            for record in await one.facts()
            if record.subject.startswith("task.routed.mallory.")
        }
        assert limits == {FOREIGN_TIMEOUT_S, WEEK_S}


async def _runs_at_once(alice: httpx.AsyncClient) -> None:
    answer = await alice.post("/api/tasks?wait=10", json={"type": "quick", "input": {}})
    assert answer.json()["data"]["status"] == "succeeded", answer.text
