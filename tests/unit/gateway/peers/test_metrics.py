"""One page of everybody's metrics: joined, labelled, and served over real NATS and HTTP."""

from __future__ import annotations

import socket

import httpx
import msgspec
import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from contracts.wire import MetricsPage
from services.bus import metrics
from services.bus.all import ask_all
from services.gateway.peers.metrics import Collection, MetricsListener, join
from services.process.run import Process
from tests.support.nats import NatsServer

COUNTED = """# HELP x_total Counted.
# TYPE x_total counter
x_total{type="a"} 2.0
"""
TIMED = """# HELP t_seconds Timed.
# TYPE t_seconds histogram
t_seconds_bucket{le="1.0"} 1.0
t_seconds_bucket{le="+Inf"} 2.0
t_seconds_count 2.0
t_seconds_sum 3.5
"""


def samples(page: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def shown(joined: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples(prometheus_client.generate_latest(joined))


def labels(service: str, instance: str, **more: str) -> frozenset[tuple[str, str]]:
    return frozenset({"service": service, "instance": instance, **more}.items())


def test_samples_say_where_they_come_from() -> None:
    found = shown(
        join(
            [
                MetricsPage("1", {"router-1": "router"}, COUNTED + TIMED),
                MetricsPage("2", {"executor-1": "executor"}, COUNTED),
                MetricsPage("3", {"executor-2": "executor"}, COUNTED),
            ]
        )
    )
    for service, instance in (
        ("router", "router-1"),
        ("executor", "executor-1"),
        ("executor", "executor-2"),
    ):
        assert found["x_total", labels(service, instance, type="a")] == 2
    assert found["t_seconds_bucket", labels("router", "router-1", le="+Inf")] == 2
    assert found["t_seconds_sum", labels("router", "router-1")] == 3.5


def test_services_of_one_process_are_counted_once() -> None:
    one = {"router-1": "router", "results-1": "results"}
    gauge = '# TYPE g gauge\ng{instance="results-1"} 7.0\n'
    found = shown(join([MetricsPage("1", one, COUNTED + gauge)] * 2))
    assert found["x_total", labels("several", "several", type="a")] == 2
    assert found["g", labels("results", "results-1")] == 7
    assert found["metamcp_up", labels("router", "router-1")] == 1


def test_who_does_not_answer_is_down() -> None:
    found = shown(join([MetricsPage("1", {"router-1": "router"}, "")]))
    assert found["metamcp_up", labels("router", "router-1")] == 1
    assert found["metamcp_up", labels("registry", "")] == 0


async def test_the_page_is_served_over_http(nats_server: NatsServer) -> None:
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("asked", "Asked.", registry=registry).inc(3)
    async with nats_server.connected("router") as router, nats_server.connected("gateway") as bus:
        process = Process("router")
        await metrics.answer(router, process, registry)

        async def ask(subject: str, payload: bytes) -> list[bytes]:
            return await ask_all(bus, subject, payload)

        page = await MetricsListener.start(Collection(ask), "127.0.0.1", 0)
        assert page is not None
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(page.url)
            head = await client.head(page.url)
            posted = await client.post(page.url)
            elsewhere = await client.get(page.url + "/other")
        assert answer.headers["content-type"].startswith("text/plain")
        assert (head.status_code, head.content) == (200, b"")
        assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
        assert elsewhere.status_code == 404
        found = samples(answer.content)
        assert found["asked_total", labels("router", "router-1")] == 3
        assert found["metamcp_up", labels("router", "router-1")] == 1
        assert found["metamcp_up", labels("executor", "")] == 0
        await page.stop()
        await process.drain()


async def test_a_port_in_use_stops_nothing() -> None:
    async def nobody(_: str, __: bytes) -> list[bytes]:
        return []

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert await MetricsListener.start(Collection(nobody), "127.0.0.1", port) is None


async def test_the_page_is_the_same_whatever_a_scraper_would_rather_have() -> None:
    async def one(_: str, __: bytes) -> list[bytes]:
        return [msgspec.json.encode(MetricsPage("1", {"router-1": "router"}, COUNTED))]

    page = await MetricsListener.start(Collection(one), "127.0.0.1", 0)
    assert page is not None
    wishes: list[dict[str, str]] = [
        {},
        {"accept": "application/openmetrics-text; version=1.0.0"},
        {"accept": "text/plain; version=1.0.0; escaping=allow-utf-8"},
    ]
    async with httpx.AsyncClient(trust_env=False) as client:
        answers = [await client.get(page.url, headers=wish) for wish in wishes]
        answers.append(await client.get(page.url, params={"name[]": "x_total"}))
    await page.stop()
    assert len({(answer.headers["content-type"], answer.text) for answer in answers}) == 1
    assert samples(answers[0].content)["x_total", labels("router", "router-1", type="a")] == 2


async def test_a_gauge_lasts_as_long_as_its_process() -> None:
    process = Process("router", "router-9")
    metrics.gauge("metamcp_test_gauge", "Of this test.", process, lambda: 5.0)
    assert b'metamcp_test_gauge{instance="router-9"} 5.0' in prometheus_client.generate_latest()
    await process.drain()
    assert b"router-9" not in prometheus_client.generate_latest()
