"""One process of every server: probes and calls in the same one, and who has it when."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.errors import Rejected
from contracts.held import SessionRequest
from contracts.host import HealthStatus, Host, Limits, Probe, Stdio
from contracts.subjects import beat, look, tools_changed
from services.bus.bus import Bus
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.pool import Pool
from services.log.memory import MemoryLog
from services.registry.actor import Registry
from services.registry.probes import executors as meeting
from services.registry.probes.executors import ExecutorPeers
from services.registry.settings import Settings
from tests.support.holding_executor import Shown, holding
from tests.support.nats import NatsServer
from tests.unit.executor.sessions import ROOT, STDIO, Bench
from tests.unit.executor.world import moment
from tests.unit.registry.running import running

PATIENCE_S = 40


class House:
    """A registry and an executor, and a server that is one process."""

    def __init__(self, folder: Path, bus: dict[str, Bus], **fields: Any) -> None:
        port = fields.pop("port", "0")
        endpoint = Stdio(
            sys.executable, ("-m", "tests.support.growing_mcp", str(folder), port), cwd=str(ROOT)
        )
        probe = Probe("who", {}, interval_s=3600)
        known = {"probe": probe, "limits": Limits(start_s=30.0)}
        self.host = Host(**{"id": "h1", "name": "h1", "endpoint": endpoint} | known | fields)
        self.folder = folder
        self.bus = bus
        self.shown = Shown(self.host)
        self.bench = Bench(folder, STDIO)
        self.registry: Registry
        self.pool: Pool

    @contextlib.asynccontextmanager
    async def watched(self, limit_s: float = 10.0) -> AsyncIterator[None]:
        executors = ExecutorPeers(self.bus["registry"])
        registry_bus, settings = self.bus["registry"], Settings(probe_limit_s=limit_s)
        await registry_bus.subscribe(beat("*"), lambda one: executors.hear(one.subject))
        log, file = MemoryLog(), self.folder / "view.db"
        async with running(log, file, self.host, settings=settings, executors=executors) as one:
            self.registry = one
            await registry_bus.subscribe(
                tools_changed("*/*"), lambda heard: one.look_again(heard.subject)
            )
            yield

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        async with holding(self.bus["executor"], self.folder, self.shown, "executor-1") as pool:
            self.pool = pool
            yield

    async def probed(self) -> HealthStatus:
        await self.registry.watchers["h1"].now()
        return self.registry.hosts["h1"].status

    async def say(self, tool: str, user: str = "alice", **arguments: Any) -> dict[str, Any]:
        host = self.registry.hosts["h1"].spec
        assert host is not None
        call = self.bench.call(tool, host=host, **arguments)
        call.plan = call.plan._replace(user=user)
        known = self.shown.known["h1"]
        answer = await self.pool.call(known, call)
        assert isinstance(answer, dict)
        return dict(answer["structured"])

    async def learn(self) -> None:
        """The executor follows what the registry has written."""
        known = self.registry.hosts["h1"]
        assert known.spec is not None
        self.shown.known["h1"] = KnownHost(known.seq, known.spec)
        self.pool.follow("h1", self.shown.known["h1"])

    @property
    def tools(self) -> list[str]:
        spec = self.registry.hosts["h1"].spec
        assert spec is not None
        return [tool.name for tool in spec.tools]

    @property
    def started(self) -> list[int]:
        return [int(file.name.partition("-")[2]) for file in self.folder.glob("started-*")]

    @property
    def living(self) -> list[int]:
        return [pid for pid in self.started if Path(f"/proc/{pid}/cwd").exists()]


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[dict[str, Bus]]:
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(contextlib.suppress(TimeoutError))
        yield {
            role: await stack.enter_async_context(nats_server.connected(role))
            for role in ("registry", "executor")
        }


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "LOST_S", 1.0)
    monkeypatch.setattr(meeting, "LOOK_S", 0.1)


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.mark.parametrize("sessions", ["user", "shared"])
async def test_a_server_with_a_port_of_its_own_is_healthy_and_is_called(
    tmp_path: Path, bus: dict[str, Bus], sessions: Any
) -> None:
    house = House(tmp_path, bus, port=free_port(), sessions=sessions)
    async with asyncio.timeout(PATIENCE_S), house.held(), house.watched():
        assert await house.probed() is HealthStatus.HEALTHY
        assert (await house.say("who"))["pid"] in house.started
        assert await house.probed() is HealthStatus.HEALTHY
        spec = house.registry.hosts["h1"].spec
        assert spec is not None
        assert (spec.server, spec.instructions) == ("grower 1", "Grow it.")
        assert len(house.started) == 1


async def test_a_tool_that_a_call_adds_is_listed_and_ends_no_session(
    tmp_path: Path, bus: dict[str, Bus]
) -> None:
    house = House(tmp_path, bus)
    async with asyncio.timeout(PATIENCE_S), house.held(), house.watched():
        await house.probed()
        await house.learn()
        assert house.tools == ["grow", "hold", "who"]
        await house.say("grow", name="late")
        while "late" not in house.tools:
            await moment()
        await house.learn()
        assert (await house.say("late"))["pid"] in house.started
        assert len(house.started) == 1


async def test_the_registry_runs_what_no_executor_has_and_hands_it_over(
    tmp_path: Path, bus: dict[str, Bus]
) -> None:
    house = House(tmp_path, bus, port=free_port())
    async with asyncio.timeout(PATIENCE_S), house.watched():
        assert await house.probed() is HealthStatus.HEALTHY
        (own,) = house.started
        async with house.held():
            while len(house.started) < 2:
                await moment()
            assert house.living == [pid for pid in house.started if pid != own]
            assert (await house.say("who"))["pid"] != own
            assert await house.probed() is HealthStatus.HEALTHY
        assert await house.probed() is HealthStatus.HEALTHY, "its own again"
        assert len(house.started) == 3


async def test_a_server_at_work_is_not_sick_and_a_silent_one_is_ended(
    tmp_path: Path, bus: dict[str, Bus]
) -> None:
    # The probe waits so long for another session, which is as silent.
    house = House(tmp_path, bus, limits=Limits(start_s=8.0))
    async with asyncio.timeout(PATIENCE_S), house.held(), house.watched(limit_s=1.0):
        assert await house.probed() is HealthStatus.HEALTHY
        working = asyncio.create_task(house.say("hold"))
        while not (tmp_path / "held").exists():
            await moment()
        assert await house.probed() is HealthStatus.HEALTHY
        (tmp_path / "go").touch()
        await working
        assert len(house.living) == 1
        await house.say("who")
        (tmp_path / "mute").touch()
        while await house.probed() is HealthStatus.HEALTHY:
            await moment()
        assert house.registry.hosts["h1"].reason.startswith("no answer: asked for its tools")
        assert house.living == []
        (tmp_path / "mute").unlink()
        assert await house.probed() is HealthStatus.HEALTHY


async def test_of_several_users_sessions_none_is_looked_into(
    tmp_path: Path, bus: dict[str, Bus]
) -> None:
    house = House(tmp_path, bus)
    async with asyncio.timeout(PATIENCE_S), house.held(), house.watched():
        await house.probed()
        await house.learn()
        await house.say("grow", name="hers", quiet=True)
        await house.probed()
        assert "hers" in house.tools, "she alone has called it"
        assert (await house.say("who", "bob"))["pid"] != (await house.say("who"))["pid"]
        await house.probed()
        assert "hers" not in house.tools
        assert (await house.say("hers"))["tool"] == "hers"
        nobodys = set(house.living)
        assert (await house.say("who", "carol"))["pid"] in nobodys, "which is hers now"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_executor_that_is_gone_in_the_middle_of_a_probe_leaves_the_host_well(
    tmp_path: Path, bus: dict[str, Bus], nats_server: NatsServer, end: signal.Signals
) -> None:
    house = House(tmp_path, bus)
    login = nats_server.embedded.credentials_file("executor")
    described = msgspec.json.encode(house.host)
    module = ("-m", "tests.support.holding_executor", nats_server.url, str(login))
    arguments = (*module, str(tmp_path), described.decode())
    out = asyncio.subprocess.PIPE
    executor = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=out)
    assert executor.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while b"ready" not in await executor.stdout.readline():
                pass
            async with house.watched(limit_s=60.0):
                assert await house.probed() is HealthStatus.HEALTHY
                (first,) = house.started
                (tmp_path / "mute").touch()
                probing = asyncio.create_task(house.probed())
                await moment(0.2)
                executor.send_signal(end)
                (tmp_path / "mute").unlink()
                assert await probing is HealthStatus.HEALTHY
                assert [pid for pid in house.started if pid != first], "the registry's own"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(executor.pid, signal.SIGKILL)
        await executor.wait()


async def test_nothing_but_a_probe_is_passed_on(tmp_path: Path, bus: dict[str, Bus]) -> None:
    house = House(tmp_path, bus)
    async with asyncio.timeout(PATIENCE_S), house.held(), house.watched():
        await house.probed()

        async def ask(method: str = "", session: str = "", **params: Any) -> Any:
            raw = msgspec.Raw(msgspec.json.encode(params))
            request = SessionRequest("h1", 1, session, method, raw)
            payload = msgspec.json.encode(request)
            answer = await bus["registry"].request(look("executor-1"), payload)
            return msgspec.json.decode(answer)

        session = (await ask())["session"]
        assert (await ask("tools/call", session, name="who"))["state"] == "result"
        for tool, given in (("grow", {"name": "x"}), ("who", {"name": "x"})):
            with pytest.raises(Rejected, match="no part of a probe"):
                await ask("tools/call", session, name=tool, arguments=given)
        assert (await ask("tools/list", "of-yesterday"))["state"] == "gone"
