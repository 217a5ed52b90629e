"""The whole executor on a real nats-server: its own rights, its own drain, big results."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import subjects, wire
from contracts.facts import (
    FailureKind,
    JobDone,
    JobFailed,
    LogKey,
    LogRouter,
    McpRegistered,
    Outcome,
    Record,
    TaskRouted,
)
from contracts.host import Host, Tool
from contracts.result import Pointer
from contracts.task import TaskSpec
from services.bus.all import answer_all
from services.bus.bus import Bus
from services.executor import service
from services.executor.projection import Hosts
from services.executor.service import serve
from services.executor.settings import Settings
from services.log.jetstream import NatsLog
from services.log.port import Batch
from services.process import run
from services.process.files import is_private
from services.process.ids import new_id
from services.process.settings import Common
from services.store.blobs import Blobs
from tests.support import facts as some
from tests.support.nats import NatsServer
from tests.unit.executor.sessions import STDIO, Bench, gone
from tests.unit.executor.world import host, moment, routed, spec


class Others:
    """The other services, as far as an executor meets them."""

    def __init__(self, bus: dict[str, Bus], log: dict[str, NatsLog], bench: Bench) -> None:
        self.bus = bus
        self.log = log
        self.bench = bench
        self.host_seq = 0

    async def register(self, host: Host, k: int = 1) -> None:
        fact = McpRegistered(id=new_id(), by="registry-1", host=host.id, k=k, spec=host)
        self.host_seq = await self.log["registry"].append(fact)

    async def task(self, task: str, wanted: TaskSpec, **route: Any) -> TaskRouted:
        await self.log["gateway"].append(some.created("alice", task, spec=wanted))
        fact = routed(task, wanted, host_seq=self.host_seq, **route)
        await self.log["router"].append(fact)
        return fact

    async def end(self, task: str) -> Record:
        """Wait for how the attempt ended."""
        filters = (f"job.done.alice.{task}.end", f"job.failed.alice.{task}.1")
        async with asyncio.timeout(20):
            while not (found := await self.log["router"].read(filters)):
                await moment(0.02)
        return found[0]


@pytest.fixture
async def others(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[Others]:
    async with contextlib.AsyncExitStack() as stack:
        bus: dict[str, Bus] = {}
        log: dict[str, NatsLog] = {}
        for role in ("gateway", "router", "registry"):
            bus[role] = await stack.enter_async_context(fresh_nats.connected(role))
            log[role] = await stack.enter_async_context(await NatsLog.open(bus[role]))
        one = Others(bus, log, Bench(tmp_path, STDIO))
        await log["router"].append(LogRouter(id=new_id(), by="router-1", term=1))
        yield one


@contextlib.asynccontextmanager
async def running(
    server: NatsServer, data: Path, instance: str = "executor-1", **settings: Any
) -> AsyncIterator[run.Process]:
    """An executor until the end of the block, then drained."""
    common = Common(
        nats_url=server.url,
        data=data,
        credentials=server.embedded.credentials_file("executor"),
    )
    own = Settings(allow_noop=True, drain_s=0.5, **settings)
    one = run.Process("executor", instance)
    task = asyncio.create_task(run.serve(lambda p: serve(p, common, own), one))
    try:
        yield one
    finally:
        one.stopping.set()
        await task


async def started(server: NatsServer, data: Path) -> None:
    """Run an executor until it stops by itself."""
    async with running(server, data) as one, asyncio.timeout(30):
        await one.stopping.wait()


async def test_a_task_runs_and_its_facts_name_one_host(
    fresh_nats: NatsServer, others: Others, tmp_path: Path
) -> None:
    beats: asyncio.Queue[bytes] = asyncio.Queue()
    await others.bus["router"].subscribe("beat.executor.*", lambda m: beats.put_nowait(m.data))
    await others.register(others.bench.host())
    async with running(fresh_nats, tmp_path / "d", slots=4) as one:
        async with asyncio.timeout(30):
            beat = msgspec.json.decode(await beats.get(), type=wire.Beat)
        told = beat.instance, beat.incarnation, beat.busy, beat.slots
        assert told == ("executor-1", one.incarnation, 0, 4)
        await others.task("t1", spec(input={"tool": "echo", "arguments": {"text": "$hi"}}))
        done = (await others.end("t1")).fact
        assert isinstance(done, JobDone)
        assert (done.outcome, done.host) == (Outcome.SUCCEEDED, "h1")
        await others.task("t2", spec(input={"tool": "big", "arguments": {"bytes": 200_000}}))
        big = (await others.end("t2")).fact
        assert isinstance(big, JobDone)
        assert isinstance(big.result, Pointer)
        stored = msgspec.json.decode(await Blobs(others.bus["gateway"]).read(big.result))
        assert len(stored["content"][0]["text"]) == 200_000
        (key,) = await others.log["router"].read([subjects.KEYS])
        assert isinstance(key.fact, LogKey)
    mine = tmp_path / "d" / "workspaces" / "executor-1"
    assert not list(mine.glob("*"))
    assert all(map(is_private, (mine, mine.parent, tmp_path / "d")))


async def test_servers_run_before_the_first_task(
    fresh_nats: NatsServer, others: Others, tmp_path: Path
) -> None:
    local = others.bench.host(tools=(Tool("echo"),), sessions="shared")
    await others.register(local)
    async with running(fresh_nats, tmp_path / "d"):
        await others.bench.until_written(1, "server")
        again = msgspec.structs.replace(local, name="changed")
        await others.register(again, k=2)
        first, second = await others.bench.until_written(2, "server")
    async with asyncio.timeout(30):
        while not (gone(first["pid"]) and gone(second["pid"])):
            await moment()


async def test_hosts_known_before_all_is_running_are_started_too(
    fresh_nats: NatsServer,
    others: Others,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caught_up = asyncio.Event()
    take = Hosts._take

    def taken(self: Hosts, batch: Batch) -> None:
        take(self, batch)
        caught_up.set()

    async def answer(*args: Any) -> None:
        await caught_up.wait()
        await answer_all(*args)

    monkeypatch.setattr(Hosts, "_take", taken)
    monkeypatch.setattr(service, "answer_all", answer)
    await others.register(others.bench.host(tools=(Tool("echo"),), sessions="shared"))
    async with running(fresh_nats, tmp_path / "d"):
        await others.bench.until_written(1, "server")


async def test_servers_wait_for_a_task_if_the_operator_says_so(
    fresh_nats: NatsServer, others: Others, tmp_path: Path
) -> None:
    await others.register(others.bench.host(tools=(Tool("echo"),), sessions="shared"))
    await others.register(host("h2"))
    async with running(fresh_nats, tmp_path / "d", warm_hosts=False):
        await others.task("t1", spec(), host="h2")
        assert isinstance((await others.end("t1")).fact, JobDone)
    assert others.bench.written("server") == []


@pytest.mark.parametrize(("done", "total"), [(False, 500.0), (True, 1.0)])
async def test_progress_goes_out_live(
    fresh_nats: NatsServer, others: Others, tmp_path: Path, done: bool, total: float
) -> None:
    reports: list[wire.Progress] = []
    await others.bus["gateway"].subscribe(
        "progress.*.*", lambda m: reports.append(msgspec.json.decode(m.data, type=wire.Progress))
    )
    await others.register(others.bench.host())
    async with running(fresh_nats, tmp_path / "d"):
        asked = {"tool": "progress", "arguments": {"steps": 500, "done": done}}
        await others.task("t1", spec(input=asked))
        await others.end("t1")
    assert reports[0] == wire.Progress("alice", "t1", 1, 1.0, total, "step 1")
    assert len(reports) < 100, "about ten a second, not one for each step"


async def test_stopping_cuts_what_runs_and_records_it(
    fresh_nats: NatsServer, others: Others, tmp_path: Path
) -> None:
    await others.register(others.bench.host())
    async with running(fresh_nats, tmp_path / "d"):
        await others.task("t1", spec(input={"tool": "hang"}))
        begun = await others.bench.until_written(1)
    fact = (await others.end("t1")).fact
    assert isinstance(fact, JobFailed)
    assert (fact.kind, fact.called, fact.retryable) == (FailureKind.CUT, None, False)
    assert (begun[0]["task"], begun[0]["attempt"]) == ("t1", 1)
    (end,) = await others.bench.until_written(1, "end")
    assert end["how"] == "cancelled"


async def test_two_executors_never_run_one_attempt_twice(
    fresh_nats: NatsServer, others: Others, tmp_path: Path
) -> None:
    await others.register(others.bench.host())
    wanted = spec(input={"tool": "work", "arguments": {"ms": 5}})
    data = tmp_path / "d"
    async with (
        running(fresh_nats, data, "executor-1", slots=3),
        running(fresh_nats, data, "executor-2", slots=3),
    ):
        for number in range(20):
            await others.task(f"t{number}", wanted)
        for number in range(20):
            assert isinstance((await others.end(f"t{number}")).fact, JobDone)
    calls = [(call["task"], call["attempt"]) for call in others.bench.written()]
    assert sorted(calls) == sorted({(f"t{number}", 1) for number in range(20)})


async def test_a_key_that_others_can_read_stops_the_start(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    folder = tmp_path / "d" / "keys"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "permit.pem").touch(mode=0o644)
    with pytest.raises(run.Fatal, match="chmod 600"):
        await started(fresh_nats, tmp_path / "d")
