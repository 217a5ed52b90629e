"""The registry on a log: real little servers, facts, restarts, commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import AnyFact, McpHealth, McpRegistered, McpRemoved
from contracts.host import SPACE, HealthStatus, Host, Noop
from contracts.wire import Discovered, HostChanged, HostList, Probed
from services.log.memory import MemoryLog
from services.log.port import START
from services.log.projection import Projection
from services.registry.actor import Registry
from services.registry.commands import Commands
from services.registry.domain import Held
from services.registry.projection import SCHEMA, VERSION
from services.registry.settings import Settings
from tests.support.system import until
from tests.unit.registry.running import running
from tests.unit.registry.servers import Mood, little, program


def noop(name: str = "bench") -> Host:
    return Host(id=name, name=name, endpoint=Noop())


async def no_spaces(user: str) -> Discovered:
    return Discovered(())


def commands(registry: Registry, **options: bool) -> Commands:
    return Commands(registry, Settings(), no_spaces, **options)


async def facts_until(log: MemoryLog, enough: Callable[[list[AnyFact]], bool]) -> list[AnyFact]:
    found: list[AnyFact] = []
    async with asyncio.timeout(20):
        async for batch in log.follow(subjects.HOSTS, START):
            found += [record.fact for record in batch.records]
            if enough(found):
                return found
    return found


def healths(facts: list[AnyFact]) -> list[HealthStatus]:
    return [fact.status for fact in facts if isinstance(fact, McpHealth)]


async def all_facts(log: MemoryLog) -> list[AnyFact]:
    return [record.fact for record in await log.read(subjects.HOSTS)]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "registry.sqlite"


@pytest.fixture
def mood(tmp_path: Path) -> Mood:
    return Mood(tmp_path)


async def test_a_host_is_registered_then_discovered_then_healthy(
    log: MemoryLog, file: Path, mood: Mood
) -> None:
    async with running(log, file, little(mood)):
        facts = await facts_until(log, lambda found: len(found) == 3)
    bare, found, health = facts
    assert isinstance(bare, McpRegistered)
    assert (bare.k, bare.spec.tools) == (1, ())
    assert isinstance(found, McpRegistered)
    assert (found.k, [tool.name for tool in found.spec.tools]) == (2, ["check"])
    assert isinstance(health, McpHealth)
    assert (health.status, health.by) == (HealthStatus.HEALTHY, "registry-1")
    assert health.latency_ms > 0


async def test_a_host_that_cannot_start_is_registered_all_the_same(
    log: MemoryLog, file: Path
) -> None:
    async with running(log, file, program("import sys; sys.exit('no token')")):
        facts = await facts_until(log, lambda found: len(found) == 2)
    registered, health = facts
    assert isinstance(registered, McpRegistered)
    assert isinstance(health, McpHealth)
    assert health.status is HealthStatus.UNHEALTHY
    assert health.reason.startswith("not started: ")
    assert "it exited with code 1" in health.reason
    assert "no token" not in health.reason, "what it wrote is the operator's"
    assert health.said == "no token"


async def test_a_restart_finds_nothing_new(log: MemoryLog, file: Path) -> None:
    async with running(log, file, noop()):
        await facts_until(log, lambda found: len(found) == 3)
    async with running(log, file, noop()) as again:
        await commands(again).probe_now(b'{"host": "bench"}')
    assert len(await all_facts(log)) == 3


async def test_a_rebuilt_view_equals_the_old_one(log: MemoryLog, file: Path, mood: Mood) -> None:
    async with running(log, file, little(mood), noop()) as first:
        await facts_until(log, lambda found: len(found) == 6)
        await commands(first).probe_now(b'{"host": "bench"}')
        before = dict(first.hosts)
    rows = await all_rows(file)
    async with running(log, file.with_name("other.sqlite"), little(mood), noop()) as second:
        assert second.hosts == before
    assert await all_rows(file.with_name("other.sqlite")) == rows


async def all_rows(file: Path) -> list[tuple[object, ...]]:
    projection = await Projection.open(file, SCHEMA, VERSION)
    try:
        return await projection.query("SELECT * FROM hosts ORDER BY host")
    finally:
        await projection.close()


async def test_a_host_that_falls_ill_is_noticed_and_so_is_its_recovery(
    log: MemoryLog, file: Path, mood: Mood
) -> None:
    async with running(log, file, little(mood)) as registry:
        await facts_until(log, lambda found: healths(found) == [HealthStatus.HEALTHY])
        mood.set("sick")
        await commands(registry).probe_now(b'{"host": "little"}')
        answer = await commands(registry).probe_now(b'{"host": "little"}')
        view = msgspec.json.decode(answer, type=Probed)
        assert view.status is HealthStatus.UNHEALTHY
        assert view.reason.startswith("probe failed: check answered with an error; ")
        mood.clear()
        await commands(registry).probe_now(b'{"host": "little"}')
        await commands(registry).probe_now(b'{"host": "little"}')
    assert healths(await all_facts(log)) == [
        HealthStatus.HEALTHY,
        HealthStatus.WARNING,
        HealthStatus.UNHEALTHY,
        HealthStatus.WARNING,
        HealthStatus.HEALTHY,
    ]


async def test_a_sick_host_slows_nobody(log: MemoryLog, file: Path, mood: Mood) -> None:
    mute = program("import sys; sys.stdin.read()", name="mute", start_s=60.0)
    async with running(log, file, mute, little(mood)):
        facts = await facts_until(log, lambda found: bool(healths(found)))
    (health,) = [fact for fact in facts if isinstance(fact, McpHealth)]
    assert (health.host, health.status) == ("little", HealthStatus.HEALTHY)


async def test_a_host_taken_out_of_the_manifest_is_removed(log: MemoryLog, file: Path) -> None:
    async with running(log, file, noop("a"), noop("b")):
        await facts_until(log, lambda found: len(found) == 6)
    async with running(log, file, noop("b")) as registry:
        answer = msgspec.json.decode(await commands(registry).list_hosts(b""), type=HostList)
        assert [view.host.id for view in answer.hosts] == ["b"]
    (removed,) = [fact for fact in await all_facts(log) if isinstance(fact, McpRemoved)]
    assert removed.host == "a"


async def test_two_registries_agree(log: MemoryLog, file: Path) -> None:
    other = file.with_name("other.sqlite")
    async with (
        running(log, file, noop()) as one,
        running(log, other, noop(), by="registry-2") as two,
    ):
        await commands(one).probe_now(b'{"host": "bench"}')
        await commands(two).probe_now(b'{"host": "bench"}')
        assert one.hosts.keys() == two.hosts.keys()
    assert len(await all_facts(log)) == 3


async def test_a_disabled_host_is_shown_and_left_alone(log: MemoryLog, file: Path) -> None:
    host = msgspec.structs.replace(program("raise SystemExit"), enabled=False)
    async with running(log, file, host) as registry:
        answer = await commands(registry).list_hosts(b"{}")
        (view,) = msgspec.json.decode(answer, type=HostList).hosts
        assert (view.status, view.host.enabled) == (HealthStatus.UNKNOWN, False)
        with pytest.raises(Rejected, match="host 'odd' is disabled"):
            await commands(registry).probe_now(b'{"host": "odd"}')


async def test_a_list_shows_a_user_only_what_the_user_may_use(log: MemoryLog, file: Path) -> None:
    private = msgspec.structs.replace(noop("private"), owner="alice")
    async with running(log, file, noop("public"), private) as registry:

        async def seen(request: bytes) -> list[str]:
            answer = await commands(registry).list_hosts(request)
            return [view.host.id for view in msgspec.json.decode(answer, type=HostList).hosts]

        assert await seen(b"{}") == ["private", "public"]
        assert await seen(b'{"user": "alice"}') == ["private", "public"]
        assert await seen(b'{"user": "bob"}') == ["public"]


async def test_hosts_come_and_go_by_command(log: MemoryLog, file: Path, mood: Mood) -> None:
    async with running(log, file) as registry:
        asked = commands(registry)
        endpoint = msgspec.to_builtins(little(mood).endpoint)
        entry = {"endpoint": {"kind": "stdio", **endpoint}, "probe": {"interval_s": 3600}}
        request = {"user": "root", "operator": True, "host": "new", "entry": entry}
        added = msgspec.json.decode(await asked.add(msgspec.json.encode(request)), type=HostChanged)
        assert (added.host, added.changed) == ("new", True)
        await facts_until(log, lambda found: healths(found) == [HealthStatus.HEALTHY])
        again = msgspec.json.decode(await asked.add(msgspec.json.encode(request)), type=HostChanged)
        assert again.changed is False
        switch = {"user": "root", "operator": True, "host": "new", "enabled": False}
        await asked.switch(msgspec.json.encode(switch))

        async def unwatched() -> bool:
            return not registry.watchers

        await until(unwatched)
        with pytest.raises(Rejected, match="disabled"):
            await asked.probe_now(b'{"host": "new"}')
        await asked.switch(msgspec.json.encode(switch | {"enabled": True}))
        view = msgspec.json.decode(await asked.probe_now(b'{"host": "new"}'), type=Probed)
        assert view.status is HealthStatus.HEALTHY
        removal = {"user": "root", "operator": True, "host": "new"}
        await asked.remove(msgspec.json.encode(removal))
        with pytest.raises(Rejected, match="not known"):
            await asked.probe_now(b'{"host": "new"}')
    async with running(log, file.with_name("later.sqlite")) as later:
        assert later.hosts["new"].spec is None


async def test_hosts_of_commands_are_there_after_a_restart(log: MemoryLog, file: Path) -> None:
    async with running(log, file) as registry:
        entry = {"endpoint": {"kind": "http", "url": "http://127.0.0.1:1/mcp"}}
        request = {"user": "alice", "operator": False, "host": "hers", "entry": entry}
        with pytest.raises(Rejected, match="https only"):
            await commands(registry).add(msgspec.json.encode(request))
        await commands(registry, allow_private=True).add(msgspec.json.encode(request))
    async with running(log, file, noop()) as again:
        assert "alice/hers" in again.watchers
        answer = await commands(again).list_hosts(b'{"user": "bob"}')
        hosts = msgspec.json.decode(answer, type=HostList).hosts
        assert [view.host.id for view in hosts] == ["bench"]
        with pytest.raises(Rejected, match="not known"):
            await commands(again).probe_now(b'{"host": "alice/hers", "user": "bob"}')
        with pytest.raises(Rejected, match="not known"):
            await commands(again).probe_now(b'{"host": "hers", "user": "bob"}')


async def test_a_held_host_is_not_probed(log: MemoryLog, file: Path, mood: Mood) -> None:
    asleep = Held(HealthStatus.WARNING, "sleeping: it wakes when work arrives")
    space = msgspec.structs.replace(little(mood), id="alice/little", owner="alice", source=SPACE)
    async with running(log, file, space) as registry:
        await facts_until(log, lambda found: healths(found) == [HealthStatus.HEALTHY])
        registry.hold({"alice/little": asleep})
        facts = await facts_until(log, lambda found: len(healths(found)) == 2)
        assert isinstance(facts[-1], McpHealth)
        assert (facts[-1].status, facts[-1].reason) == (asleep.status, asleep.reason)
        mood.set("sick")
        await commands(registry).probe_now(b'{"host": "alice/little", "user": "alice"}')
        assert len(healths(await all_facts(log))) == 2, "it was left alone"
        mood.clear()
        registry.hold({})
        await facts_until(log, lambda found: len(healths(found)) == 3)
    assert healths(await all_facts(log))[-1] is HealthStatus.HEALTHY


async def test_nobody_acts_as_the_operator_by_name(log: MemoryLog, file: Path) -> None:
    async with running(log, file) as registry:
        who: dict[str, object] = {"user": "-", "operator": False}
        entry = {"endpoint": {"kind": "http", "url": "https://a.example/mcp"}}
        one = commands(registry)
        for command, more in (
            (one.add, {"host": "h", "entry": entry}),
            (one.update, {"host": "h", "entry": entry}),
            (one.switch, {"host": "h", "enabled": True}),
            (one.remove, {"host": "h"}),
        ):
            with pytest.raises(Rejected) as refusal:
                await command(msgspec.json.encode(who | more))
            assert refusal.value.reason is Reason.BAD_ID
        with pytest.raises(Rejected, match="user"):
            await one.discover(b'{"user": "-"}')


async def test_no_space_holds_what_is_none(log: MemoryLog, file: Path, mood: Mood) -> None:
    async with running(log, file, little(mood)) as registry:
        registry.hold({"little": Held(HealthStatus.UNHEALTHY, "paused: restart it")})
        assert registry.held("little") is None
        found = msgspec.json.decode(
            await commands(registry).probe_now(b'{"host": "little"}'), type=Probed
        )
        assert found.status is HealthStatus.HEALTHY


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.BAD_REQUEST),
        (b"{", Reason.BAD_REQUEST),
        (b'{"host": 1}', Reason.BAD_REQUEST),
        (b'{"host": "x", "more": 1}', Reason.BAD_REQUEST),
        (b'{"host": "nobody"}', Reason.NOT_FOUND),
    ],
)
async def test_a_probe_of_nobody_is_refused(
    log: MemoryLog, file: Path, payload: bytes, reason: Reason
) -> None:
    async with running(log, file) as registry:
        with pytest.raises(Rejected) as refusal:
            await commands(registry).probe_now(payload)
    assert refusal.value.reason is reason
