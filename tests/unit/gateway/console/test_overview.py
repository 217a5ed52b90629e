"""The overview and the queue in a real browser: they show what the API tells, and stay live."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.facts import Failure, FailureKind, McpHealth, McpRegistered, Outcome
from contracts.host import HealthStatus, Host, Limits, StreamableHttp
from contracts.subjects import command
from services.bus.all import answer_all
from services.process.ids import new_id
from tests.support import facts as make
from tests.support.browser import Looking
from tests.support.nats import NatsServer
from tests.unit.gateway.http.test_overview import active
from tests.unit.gateway.world import World

pytestmark = pytest.mark.timeout(120)


def hosts() -> tuple[McpRegistered, McpHealth]:
    spec = Host(
        id="h1",
        name="H",
        endpoint=StreamableHttp("https://h.example/mcp"),
        limits=Limits(max_concurrency=4),
    )
    known: dict[str, Any] = {"by": "test", "host": "h1", "k": 1}
    well = McpHealth(id=new_id(), **known, status=HealthStatus.HEALTHY)
    return McpRegistered(id=new_id(), **known, spec=spec), well


async def test_the_overview_stays_live_and_leads_to_the_tasks(
    one: World, looking: Looking, nats_server: NatsServer
) -> None:
    page, user = looking.page, looking.user
    await looking.go("")
    await page.wait_for_selector("text=Nothing was done in the last hour")
    await page.wait_for_selector("text=No router tells what waits")
    await page.wait_for_selector(".service.down:has-text('router')")
    async with nats_server.connected("router") as router:
        await answer_all(router, command("router", "queue"), active)
        await one.append(
            *hosts(),
            make.created(user, "t1"),
            make.failed(user, "t1", kind=FailureKind.CUT, host="h1"),
            make.done(user, "t1", Outcome.FAILED, host="h1", error=Failure("cut", "gone")),
        )
        await page.wait_for_selector("text=1 failed")
        await page.wait_for_selector("svg[aria-label*='1 failed'] rect.failed")
        await page.wait_for_selector("text=3 of 4")
        for path in ("", "/queue"):
            for wide in (360, 1280):
                await page.set_viewport_size({"width": wide, "height": 800})
                await looking.go(path)
                await page.wait_for_selector(".panel")
                assert await looking.barriers() == [], path
                across = "document.documentElement.scrollWidth <= innerWidth"
                assert await page.evaluate(across), (path, wide)
        await page.wait_for_selector("text=No executor has been heard of")
        await page.wait_for_selector("text=term 7")
        await looking.go("?window=day")
        await page.wait_for_selector("a[aria-current]:has-text('Last day')")
        await page.click(".panel a:has-text('h1') >> nth=1")
        await page.wait_for_selector(".task .status.failed")
        assert "host=h1" in page.url
