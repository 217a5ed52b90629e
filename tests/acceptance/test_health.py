"""Health of the running system: a frozen router is named, and the gateway stays ready meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from contracts.roles import SERVICES
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


async def health(one: System) -> dict[str, Any]:
    answer = await one.get("/api/health")
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def up(body: dict[str, Any]) -> set[str]:
    return {one["service"] for one in body["data"]["services"] if one["up"]}


async def test_a_frozen_router_is_named_and_the_gateway_stays_ready(tmp_path: Path) -> None:
    async with system(tmp_path, {"one": 1}) as one:

        async def says(words: str) -> bool:
            return bool((await health(one))["message"] == words)

        async def reads() -> bool:
            services = (await health(one))["data"]["services"]
            return all(each["position"] for each in services)

        await until(lambda: says("ready"))
        await until(reads)
        well = await health(one)
        assert (well["data"]["degraded"], up(well)) == (False, set(SERVICES))

        one.running.kill("router", signal.SIGSTOP)
        try:
            await until(lambda: says("ready, but the router does not answer"))
            sick = await health(one)
            assert sick["success"] is sick["data"]["ready"] is sick["data"]["degraded"] is True
            assert up(sick) == set(SERVICES) - {"router"}
            for path in ("live", "ready"):
                assert (await one.get(f"/api/health/{path}")).status_code == 200
            waits = await one.submit("work", input={"ms": 1})
        finally:
            one.running.kill("router", signal.SIGCONT)
        await until(lambda: says("ready"))
        assert (await health(one))["data"]["degraded"] is False
        assert (await one.finished(waits))["status"] == "succeeded"
