"""A registry that hears of circuit breakers: hosts that answer probes and fail in every call."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest

from contracts import subjects
from contracts.facts import McpHealth
from contracts.host import HealthStatus
from contracts.subjects import command
from contracts.wire import Breaker
from services.bus.bus import NoResponders
from services.log.jetstream import NatsLog
from services.log.memory import MemoryLog
from services.process.run import Process
from services.process.run import serve as serve_process
from services.process.settings import Common
from services.registry.actor import Registry
from services.registry.commands import HostList
from services.registry.service import NAME, serve
from services.registry.settings import Settings
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.unit.registry.servers import Mood, little
from tests.unit.registry.test_actor import all_facts, commands, facts_until, healths, running
from tests.unit.registry.test_service import manifest

HEALTHY, WARNING, UNHEALTHY = HealthStatus.HEALTHY, HealthStatus.WARNING, HealthStatus.UNHEALTHY
WHY = "5 calls in a row failed; at the last one the connection was lost"


def breaker(registry: Registry, *, open: bool, host: str = "little", ahead: int = 0) -> bytes:
    seq = registry.hosts[host].seq + ahead
    why = WHY if open else ""
    return msgspec.json.encode(Breaker("executor-1", host, seq, open, 5 if open else 0, why))


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def mood(tmp_path: Path) -> Mood:
    return Mood(tmp_path)


async def test_a_host_whose_calls_fail_gets_no_work_until_they_may_go_on(
    log: MemoryLog, mood: Mood, tmp_path: Path
) -> None:
    async with running(log, tmp_path / "r.sqlite", little(mood)) as registry:
        await facts_until(log, lambda found: healths(found) == [HEALTHY])
        registry.hear(breaker(registry, open=True))
        facts = await facts_until(log, lambda found: UNHEALTHY in healths(found))
        assert healths(facts) == [HEALTHY, WARNING, UNHEALTHY]
        reasons = [fact.reason for fact in facts if isinstance(fact, McpHealth)]
        assert reasons == ["", *[f"calls: {WHY} (executor-1)"] * 2]
        await commands(registry).probe_now(b'{"host": "little"}')
        registry.hear(breaker(registry, open=True))
        await commands(registry).probe_now(b'{"host": "little"}')
        assert healths(await all_facts(log)) == [HEALTHY, WARNING, UNHEALTHY]
        registry.hear(breaker(registry, open=False))
        await facts_until(log, lambda found: len(healths(found)) == 4)
        await commands(registry).probe_now(b'{"host": "little"}')
    assert healths(await all_facts(log)) == [HEALTHY, WARNING, UNHEALTHY, WARNING, HEALTHY]


async def test_what_says_nothing_about_a_host_as_it_is_now_is_let_go(
    log: MemoryLog, mood: Mood, tmp_path: Path
) -> None:
    async with running(log, tmp_path / "r.sqlite", little(mood)) as registry:
        await facts_until(log, lambda found: healths(found) == [HEALTHY])
        registry.hear(breaker(registry, open=True, ahead=-1))
        registry.hear(breaker(registry, open=False))
        registry.hear(msgspec.json.encode(Breaker("executor-1", "nobody", 1, True)))
        registry.hear(b"{")
        registry.hear(b'{"host": "\xff"}')
        await commands(registry).probe_now(b'{"host": "little"}')
    assert healths(await all_facts(log)) == [HEALTHY]


async def test_breakers_are_heard_on_nats(fresh_nats: NatsServer, tmp_path: Path) -> None:
    host = name("h")
    settings = Settings(manifests=(manifest(tmp_path, host),), builtins=False, allow_noop=True)
    credentials = fresh_nats.embedded.credentials_file(NAME)
    common = Common(nats_url=fresh_nats.url, data=tmp_path, credentials=credentials)
    process = Process(NAME)
    task = asyncio.create_task(serve_process(lambda one: serve(one, common, settings), process))
    async with (
        asyncio.timeout(30),
        fresh_nats.connected("gateway") as gateway,
        fresh_nats.connected("executor") as executor,
        await NatsLog.open(executor) as log,
    ):

        async def until(status: HealthStatus) -> None:
            found = None
            while found is not status:
                with contextlib.suppress(NoResponders):
                    answer = await gateway.request(command(NAME, "list"))
                    hosts = msgspec.json.decode(answer, type=HostList).hosts
                    found = hosts[0].status if hosts else None

        async def tell(*, open: bool) -> None:
            records = await log.read((subjects.REGISTERED,))
            told = Breaker("executor-1", host, records[-1].seq, open, 5, WHY)
            await executor.publish(subjects.breaker(host), msgspec.json.encode(told))

        await until(HEALTHY)
        await tell(open=True)
        await until(UNHEALTHY)
        await tell(open=False)
        await until(WARNING)
    process.stopping.set()
    await task
