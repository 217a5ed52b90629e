"""Health over HTTP: what is asked of the services over real NATS, and what is said about them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from contracts.errors import Reason, Rejected
from contracts.roles import SERVICES
from contracts.subjects import beat, command
from contracts.task import MAX_FILES, MAX_FILES_BYTES, MAX_INPUT_BYTES, TaskSpec
from services.bus import health
from services.bus.all import answer_all
from services.bus.bus import Bus
from services.bus.serve import Handler
from services.gateway.peers.checks import BEAT_FRESH_S, Executors
from services.log.jetstream import NatsLog
from services.process.run import Process
from services.process.shared import FRESH_S
from tests.support import facts
from tests.support.nats import NatsServer
from tests.support.system import until
from tests.unit.gateway.world import World, error_of, world

ROUTER, EXECUTOR = "router", "executor"


class Clock:
    """The time, as the test says."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def asking(gateway: World) -> World:
    """A gateway that has read its log."""
    await until(lambda: holds(lambda: gateway.site.feed.live))
    return gateway


@contextlib.asynccontextmanager
async def there(
    server: NatsServer,
    service: str,
    *,
    instance: str | None = None,
    position: int = 2,
    active: bool | None = None,
) -> AsyncIterator[None]:
    """A process that is there, as far as its health says; routers and gateways read every fact."""
    process = Process(service, instance)
    async with server.connected(service) as bus:
        health.show(
            process,
            lambda: position,
            whole=service in (ROUTER, "gateway"),
            active=None if active is None else lambda: active,
        )
        await health.answer(bus, process)
        yield
        await process.drain()


@contextlib.asynccontextmanager
async def all_there(server: NatsServer, *without: str, active: bool = True) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for service in set(SERVICES) - set(without):
            leads = active if service == ROUTER else None
            await stack.enter_async_context(there(server, service, active=leads))
        yield


@contextlib.asynccontextmanager
async def saying(server: NatsServer, service: str, handler: Handler) -> AsyncIterator[None]:
    async with server.connected(service) as bus:
        await answer_all(bus, command(service, health.VERB), handler)
        yield


async def hangs(_: bytes) -> bytes:
    await asyncio.Event().wait()
    return b""


async def refuses(_: bytes) -> bytes:
    raise Rejected(Reason.INTERNAL, "it is broken")


async def babbles(_: bytes) -> bytes:
    return b'{"instance": 7}'


async def told(client: httpx.AsyncClient, status: int = 200) -> dict[str, Any]:
    answer = await client.get("/api/health")
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


def of(body: dict[str, Any], service: str) -> list[dict[str, Any]]:
    return [one for one in body["data"]["services"] if one["service"] == service]


async def test_every_service_is_told_with_how_far_it_has_read(
    asking: World, nats_server: NatsServer
) -> None:
    user, host = facts.name(), facts.name()
    spec = TaskSpec(type="mcp.call", host=host)
    await asking.append(*(facts.created(user, spec=spec) for _ in range(5)))
    await asking.settled()
    standby = there(nats_server, ROUTER, instance="router-2", position=5, active=False)
    async with all_there(nats_server), standby, asking.http(None) as client:
        body = await told(client)
        text = (await client.get("/api/health")).text
    data = body["data"]
    assert (body["success"], body["message"], "error" in body) == (True, "ready", False)
    assert (data["live"], data["ready"], data["degraded"]) == (True, True, False)
    assert (data["head"], data["position"], data["lag"]) == (5, 5, 0)
    assert [one["service"] for one in data["services"]] == [ROUTER, *SERVICES]
    whole = {"up": True, "position": 2, "lag": 3, "troubles": []}
    some = {"up": True, "position": 2, "lag": None, "active": None, "troubles": []}
    assert of(body, ROUTER) == [
        {"service": ROUTER, "instance": "router-1", "active": True} | whole,
        {"service": ROUTER, "instance": "router-2", "active": False}
        | {"up": True, "position": 5, "lag": 0, "troubles": []},
    ]
    assert of(body, "gateway") == [
        {"service": "gateway", "instance": "gateway-1", "active": None} | whole
    ]
    for service in (EXECUTOR, "registry", "results"):
        assert of(body, service) == [{"service": service, "instance": f"{service}-1"} | some]
    assert not [word for word in (user, host, "127.0.0.1", "nats:") if word in text]


async def test_a_service_that_has_just_joined_is_up_without_a_position(
    asking: World, nats_server: NatsServer
) -> None:
    async with nats_server.connected(ROUTER) as bus, asking.http(None) as client:
        await health.answer(bus, Process(ROUTER))
        (router,) = of(await told(client), ROUTER)
    assert (router["up"], router["position"], router["lag"]) == (True, None, None)


@pytest.mark.parametrize("trouble", [hangs, refuses, babbles])
async def test_a_silent_service_and_a_missing_one_are_named_and_the_gateway_stays_ready(
    asking: World, nats_server: NatsServer, trouble: Handler
) -> None:
    rest = all_there(nats_server, ROUTER, EXECUTOR)
    async with rest, saying(nats_server, ROUTER, trouble), asking.http(None) as client:
        body = await told(client)
        ready = await client.get("/api/health/ready")
    words = "ready, but the router does not answer; no executor is running"
    assert (body["success"], body["message"]) == (True, words)
    assert (body["data"]["ready"], body["data"]["degraded"]) == (True, True)
    assert ready.status_code == 200
    for service in (ROUTER, EXECUTOR):
        (gone,) = of(body, service)
        assert (gone["instance"], gone["up"], gone["position"]) == (None, False, None)
    assert {one["service"] for one in body["data"]["services"] if one["up"]} == {
        "registry",
        "results",
        "gateway",
    }


async def test_routers_that_all_stand_by_are_no_router(
    asking: World, nats_server: NatsServer
) -> None:
    async with all_there(nats_server, active=False), asking.http(None) as client:
        body = await told(client)
    assert body["message"] == "ready, but no router is active"
    assert body["data"]["degraded"] is True


async def test_if_nobody_answers_that_is_said_once(asking: World) -> None:
    async with asking.http(None) as client:
        body = await told(client)
    assert body["message"] == "ready, but no service answers"
    assert [one["up"] for one in body["data"]["services"]] == [False] * len(SERVICES)


async def test_a_gateway_that_can_ask_nobody_says_so_too(asking: World, bus: Bus) -> None:
    await bus.close()
    async with asking.http(None) as client:
        body = await told(client, 503)
    assert body["message"] == "the log does not answer; no service answers"
    assert body["data"]["nats"] is False


async def test_services_are_asked_once_a_second_whoever_wants_to_know(
    asking: World, nats_server: NatsServer
) -> None:
    asked: Counter[str] = Counter()
    clock = Clock()
    asking.site.parts.checks.services._clock = clock

    def counts(service: str) -> Handler:
        async def count(_: bytes) -> bytes:
            asked[service] += 1
            return b'{"instance": "one"}'

        return count

    async with contextlib.AsyncExitStack() as stack:
        for service in SERVICES:
            await stack.enter_async_context(saying(nats_server, service, counts(service)))
        client = await stack.enter_async_context(asking.http(None))
        for paths in (("/api/health/live", "/api/health/ready"), ("/api/health",) * 10):
            await asyncio.gather(*(client.get(path) for path in paths))
        await told(client)
        assert asked == dict.fromkeys(SERVICES, 1)
        clock.now += FRESH_S
        await told(client)
        assert asked == dict.fromkeys(SERVICES, 2)


class Heard(NamedTuple):
    """A beat as NATS brings it."""

    subject: str
    data: bytes = b""


def test_the_smallest_limits_of_living_executors_are_told() -> None:
    clock = Clock()
    executors = Executors(clock)
    assert executors.limits() == (MAX_FILES, MAX_FILES_BYTES, MAX_INPUT_BYTES)
    said = {
        "executor-1": b'{"instance":"1","incarnation":"a","max_files":7,"max_files_bytes":70}',
        "executor-2": b'{"instance":"2","incarnation":"b","max_files":9,"max_files_bytes":10}',
        "executor-3": b'{"instance":"3","incarnation":"c"}',
        "executor-4": b"no beat",
    }
    for name, data in said.items():
        executors.hear(Heard(beat(name), data))
    assert executors.limits() == (7, 10, MAX_INPUT_BYTES)
    clock.now += BEAT_FRESH_S + 1
    assert executors.limits() == (MAX_FILES, MAX_FILES_BYTES, MAX_INPUT_BYTES)


def test_an_executor_counts_for_five_seconds_after_each_beat() -> None:
    clock = Clock()
    executors = Executors(clock)
    assert executors.count() == 0
    for name in ("executor-1", "executor-2", "executor-1"):
        executors.hear(Heard(beat(name)))
    clock.now += BEAT_FRESH_S
    assert executors.count() == 2
    executors.hear(Heard(beat("executor-1")))
    clock.now += 0.01
    assert executors.count() == 1


async def holds(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_without_the_log_the_gateway_lives_and_is_not_ready(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    async with (
        fresh_nats.connected("gateway") as bus,
        await NatsLog.open(bus) as log,
        world(tmp_path / "one", bus, log=log) as one,
        one.http(None) as client,
    ):
        await until(lambda: answers(client, 200))
        assert (await client.get("/api/health/ready")).json()["data"] == {"ready": True}
        fresh_nats.pause()
        try:
            await until(lambda: answers(client, 503))
            assert (await client.get("/api/health/live")).json()["data"] == {"live": True}
            ready = await client.get("/api/health/ready")
            whole = await client.get("/api/health")
        finally:
            fresh_nats.resume()
        for answer, words in (
            (ready, "the log does not answer"),
            (whole, "the log does not answer; no service answers"),
        ):
            assert answer.headers["retry-after"]
            error = error_of(answer)
            assert (error.code, error.reason, error.message) == (503, "unavailable", words)
        assert ready.json().keys() == {"success", "error"}
        body = whole.json()
        assert body.keys() == {"success", "data", "message", "error"}
        assert (body["message"], body["data"]["head"]) == (body["error"]["message"], None)
        assert (body["data"]["live"], body["data"]["ready"]) == (True, False)
        await until(lambda: answers(client, 200))


async def test_a_gateway_that_has_not_read_the_log_is_not_ready(asking: World) -> None:
    asking.site.feed.live = False
    async with asking.http(None) as client:
        error = error_of(await client.get("/api/health/ready"))
        assert (await told(client, 503))["data"]["head"] is not None
    assert error.message == "the gateway is still reading the log"


async def answers(client: httpx.AsyncClient, status: int) -> bool:
    answer = await client.get("/api/health/ready")
    assert answer.status_code in (200, 503), answer.text
    return answer.status_code == status
