"""Traces over the whole way of a task: real services, a collector, and a host that reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.facts import Record
from services.process import telemetry
from tests.support.collector import Collector, Seen, collecting
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

ECHO = {"type": "mcp.call", "input": {"tool": "echo", "arguments": {"text": "hello"}}}
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


async def way(collector: Collector, last: Seen) -> list[tuple[str, str]]:
    """Service and name of this span and of all above it, from the top; waits until all are here."""
    found: list[Seen] = []

    async def whole() -> bool:
        by_id = {span.id: span for span in collector.spans if span.trace == last.trace}
        found[:] = [last]
        while (above := by_id.get(found[0].parent)) is not None:
            found.insert(0, above)
        return found[0].service == "metamcp-gateway"

    await until(whole)
    return [(span.service, span.name) for span in found]


async def seen(collector: Collector, name: str, trace: str) -> Seen:
    found: list[Seen] = []

    async def there() -> bool:
        if (span := collector.named(name, trace)) is not None:
            found.append(span)
        return bool(found)

    await until(there)
    return found[0]


def traces(records: list[Record], task: str) -> list[str]:
    """The `traceparent` beside each fact of a task."""
    return [record.trace for record in records if getattr(record.fact, "task", "") == task]


async def published(one: System, task: str, header: str) -> None:
    """Publish a task on NATS as an outside service does; returns after its end."""
    bus = await one.publisher()
    data = json.dumps(ECHO | {"id": task}).encode()
    await bus.publish("task.created", data, headers={"traceparent": header})
    await bus.flush()
    await bus.close()
    await one.all_done([task])


async def test_one_trace_holds_the_whole_way_of_a_task(tmp_path: Path) -> None:
    async with (
        collecting() as collector,
        system(
            tmp_path, {"one": 2}, real=False, METAMCP_OTLP_ENDPOINT=collector.url, **AT_ONCE
        ) as one,
    ):
        header = telemetry.new_traceparent()
        trace, caller = header.split("-")[1:3]
        one.http.headers["traceparent"] = header
        task = await one.submit(**ECHO)
        await one.finished(task)
        assert len(set(traces(await one.all_done([task]), task))) == 3, "gateway, router, executor"

        called = await seen(collector, "MCP send tools/call echo", trace)
        assert await way(collector, called) == [
            ("metamcp-gateway", "POST /api/tasks"),
            ("metamcp-gateway", "submit task"),
            ("metamcp-router", "route task"),
            ("metamcp-executor", "run task"),
            ("metamcp-executor", "call host"),
            ("metamcp-executor", "MCP send tools/call echo"),
        ]
        assert (await seen(collector, "POST /api/tasks", trace)).parent == caller
        ran = await seen(collector, "run task", trace)
        expected = {"metamcp.task": task, "metamcp.host": "one", "metamcp.end": "succeeded"}
        assert expected.items() <= ran.attributes.items()
        (start,) = [c for c in one.calls() if c["event"] == "start" and c["task"] == task]
        assert start["traceparent"] == f"00-{trace}-{called.id}-01", "the host goes on from there"

        outside = telemetry.new_traceparent()
        await published(one, "out", outside)
        taken = await seen(collector, "run task", outside.split("-")[1])
        names = [name for _, name in await way(collector, taken)]
        assert names == ["take task", "route task", "run task"]

        asked = telemetry.new_traceparent()
        one.http.headers["traceparent"] = asked
        assert (await one.http.post(f"{one.url}/api/mcps/one/probe")).status_code == 200
        probed = await seen(collector, "cmd.registry.probe", asked.split("-")[1])
        assert ("metamcp-gateway", "POST /api/mcps/{host}/probe") in await way(collector, probed)
