"""A backup of the log put back under living services: they begin anew, and the operator decides."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.up import up
from tests.support.backup import Backup
from tests.support.nats import NatsServer
from tests.support.system import System, manifest, until

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(240)]
TASKS = 12
SLOTS = 4


@contextlib.asynccontextmanager
async def orchestrator(folder: Path, server: NatsServer) -> AsyncIterator[System]:
    path, record = manifest(folder, {"one": SLOTS})
    plan = up.Plan(
        data=folder / "one",
        manifests=(path,),
        nats=server.url,
        credentials=server.data / "credentials",
        port=0,
        variables={"METAMCP_REGISTRY_BUILTINS": "false", "METAMCP_ENABLE_METRICS": "false"},
        settings=up.Settings(in_process=True),
    )
    async with up.start(plan) as running:
        one = System(running, record)
        try:
            yield one
        finally:
            await one.http.aclose()


async def restored(one: System, decision: str = "") -> dict[str, Any]:
    """What stands to be decided, once there is something; the decision, if one is given."""
    found: dict[str, Any] = {}

    async def waits() -> bool:
        nonlocal found
        with contextlib.suppress(httpx.TransportError, OSError, KeyError, ValueError):
            one.running.url = up.read_gateway_url(one.running.data)
            found = (await one.get("/api/restored")).json()["data"]
            return bool(found["waits"])
        return False

    await until(waits, seconds=30)
    if decision:
        answer = await one.http.post(f"{one.url}/api/restored", json={"decision": decision})
        assert answer.status_code == 200, answer.text
    return found


async def outcomes(one: System, tasks: list[str]) -> Counter[str]:
    return Counter([(await one.finished(task))["status"] for task in tasks])


def calls(one: System) -> Counter[str]:
    return Counter(
        call["task"] for call in one.calls() if call["event"] == "start" and call.get("task")
    )


async def test_a_log_put_back_under_living_services(tmp_path: Path, fresh_nats: NatsServer) -> None:
    backup = Backup(fresh_nats, tmp_path / "aside")
    async with orchestrator(tmp_path, fresh_nats) as one:
        tasks = [await one.submit("work", input={"ms": 2000}) for _ in range(TASKS)]

        async def full() -> bool:
            return len(calls(one)) >= SLOTS

        await until(full)
        await backup.make()
        await outcomes(one, tasks)
        before = calls(one)
        assert set(before) == set(tasks)

        await backup.put_back()
        found = await restored(one, "end")
        again = sorted(task["task"] for task in found["tasks"])
        # Of the very last ones the router may not have heard that they ended.
        assert len(again) == found["ended"] + found["begun"]
        assert found["ended"] > SLOTS
        assert await outcomes(one, again) == {"failed": len(again)}
        assert calls(one) == before, "none of them was called again"
        late = await one.submit("work", input={"ms": 0})
        assert await outcomes(one, [late]) == {"succeeded": 1}

        await backup.put_back()
        found = await restored(one, "go_on")
        assert sorted(task["task"] for task in found["tasks"]) == again
        ended = await outcomes(one, again)
        # What the backup had claimed was lost with its executor: whether it was done, nobody knows.
        assert ended["succeeded"] >= len(again) - SLOTS
