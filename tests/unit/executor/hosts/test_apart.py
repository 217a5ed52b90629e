"""What a user's host does to its worker, it does not do to the executor or to other users."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import FailureKind
from contracts.host import COMMAND, Execute, Host, Limits, StreamableHttp, TaskBinding
from contracts.task import TaskSpec
from services.executor.attempt.call import Call, HostError, HostSession, Opening
from services.executor.attempt.plan import BadInput, KnownHost, prepare
from services.executor.attempt.workspace import Workspace
from services.executor.hosts.apart import ApartSession
from services.executor.hosts.kinds import open_session
from services.executor.hosts.pool import Pool
from services.executor.service import WORKERS
from services.keys.secrets import Secrets
from services.outside.apart.pool import WorkerPool
from tests.support.adverse_mcp import SHAPES, SLOW, adverse, ways
from tests.support.forked import nest
from tests.unit.executor.world import moment, routed, spec
from tests.unit.outside.apart.test_pool import until_gone


class World:
    """An adverse server, and sessions with its ways."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.workers = WorkerPool(WORKERS, folder / "spool")
        self.sessions: list[HostSession] = []

    def host(self, how: str, owner: str | None = "mallory", **fields: Any) -> Host:
        known: dict[str, Any] = {"endpoint": StreamableHttp(f"{self.url}/{how}")}
        known |= {"protocol": "2025-06-18", "source": COMMAND, "owner": owner}
        id_ = f"{owner}/{how}" if owner else how
        return Host(**{"id": id_, "name": how} | known | fields)

    def open(self, host: Host) -> HostSession:
        opening = Opening(
            host,
            self.folder / "hosts",
            allow_private=True,
            spool=self.folder / "spool",
            workers=self.workers,
        )
        session = open_session(opening)
        self.sessions.append(session)
        return session

    def call(self, host: Host, type_: str = "mcp.call", raw: bytes = b'{"tool":"t"}') -> Call:
        plan = prepare(
            *(KnownHost(1, host), routed("t1", spec()), TaskSpec(type=type_), raw, "permit"),
            judged=False,
        )

        async def on_progress(progress: float, total: float | None, message: str) -> None:
            pass

        async def still_ours() -> bool:
            return True

        space = Workspace(self.folder / "w", host.owner or "x", "t1", 1)
        return Call(plan, space, on_progress, still_ours)

    async def ask(self, how: str, owner: str | None = "mallory", **fields: Any) -> Any:
        host = self.host(how, owner, **fields)
        async with asyncio.timeout(45):
            return await self.open(host).call(self.call(host))


@pytest.fixture
async def world(tmp_path: Path, forked_workers: None) -> AsyncIterator[World]:
    async with adverse() as url:
        one = World(url, tmp_path)
        yield one
        for session in one.sessions:
            await session.close()
        await one.workers.close()


class Late:
    """How long the loop kept others waiting at most."""

    def __init__(self) -> None:
        self.most = 0.0

    async def __aenter__(self) -> Late:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _look(self) -> None:
        event = asyncio.Event()
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(0.02):
                    await event.wait()
            except TimeoutError:
                self.most = max(self.most, time.monotonic() - began - 0.02)


async def test_a_users_host_over_http_is_apart_and_an_operators_is_not(world: World) -> None:
    assert isinstance(world.open(world.host("ok")), ApartSession)
    assert isinstance(
        world.open(world.host("ok", endpoint=Execute(f"{world.url}/ok"))), ApartSession
    )
    assert not isinstance(world.open(world.host("ok", owner=None)), ApartSession)


@pytest.mark.parametrize("owner", ["mallory", None], ids=["user's", "operator's"])
@pytest.mark.parametrize("how", sorted(SHAPES))
async def test_a_schema_of_answers_never_stops_a_loop(
    world: World, how: str, owner: str | None
) -> None:
    host = world.host(how, owner)
    call = world.call(host)
    async with Late() as late, asyncio.timeout(45):
        answer = await world.open(host).call(call)
    assert answer["structured"] == {"t": SLOW}
    assert late.most < 2
    (remark,) = call.course.remarks
    assert ("is not what it promises" if how == "regex" else "was not checked") in remark


@pytest.mark.parametrize("how", [*ways(), "json"])
async def test_endless_noise_ends_the_call_and_nothing_else(world: World, how: str) -> None:
    async with Late() as late:
        with pytest.raises(HostError) as caught:
            await world.ask(how, limits=Limits(max_output_bytes=1024 * 1024))
    assert caught.value.kind is FailureKind.TOO_LARGE, caught.value.message
    assert caught.value.called is True
    assert late.most < 2
    assert (await world.ask("ok"))["content"][0]["text"] == "done"


@pytest.mark.parametrize("how", ["comments", "blank", "progress", "pings"])
async def test_noise_of_an_operators_host_is_bounded_too(world: World, how: str) -> None:
    async with Late() as late:
        with pytest.raises(HostError, match="too much beside its answers") as caught:
            await world.ask(how, None)
    assert caught.value.kind is FailureKind.TOO_LARGE
    assert late.most < 2


async def test_what_a_host_says_of_its_own_limit_does_not_count(world: World) -> None:
    generous = Limits(max_output_bytes=10**15)
    with pytest.raises(HostError) as caught:
        await world.ask("json", limits=generous)
    assert caught.value.kind is FailureKind.TOO_LARGE
    endpoint = Execute(f"{world.url}/json")
    host = world.host("json", endpoint=endpoint, task_types={"x": TaskBinding()}, limits=generous)
    with pytest.raises(HostError) as caught:
        await world.open(host).call(world.call(host, "x", b"{}"))
    assert caught.value.kind is FailureKind.TOO_LARGE


async def test_an_input_is_judged_in_the_worker(world: World) -> None:
    schema = {"properties": {"t": {"type": "string", "pattern": "^(a+)+$"}}}
    endpoint = Execute(f"{world.url}/ok")
    host = world.host("ok", endpoint=endpoint, task_types={"x": TaskBinding(input_schema=schema)})
    call = world.call(host, "x", b'{"t": "%s"}' % SLOW.encode())
    with pytest.raises(BadInput, match="does not match"):
        await world.open(host).call(call)
    assert call.called is False
    good = world.call(host, "x", b'{"t": "aaa"}')
    assert await world.open(host).call(good) == {"done": True}
    odd = TaskBinding(input_schema={"properties": {"t": {"pattern": "(?=a)a"}}})
    host = world.host("ok", endpoint=endpoint, task_types={"x": odd})
    call = world.call(host, "x", b'{"t": "b"}')
    assert await world.open(host).call(call) == {"done": True}
    assert "can't be judged" in call.course.remarks[0]


async def test_a_killed_worker_cuts_its_calls_and_the_next_one_works(world: World) -> None:
    host = world.host("hang")
    session = world.open(host)
    call = world.call(host)
    running = asyncio.create_task(session.call(call))
    for worker in (await processes(nest().pid))[1:]:
        os.kill(worker, signal.SIGKILL)
    with pytest.raises(HostError, match="killed by signal 9") as caught:
        await running
    assert (caught.value.kind, caught.value.called) == (FailureKind.CUT, None)
    assert (await world.ask("ok"))["content"][0]["text"] == "done"


async def test_closing_a_session_cuts_the_calls_in_it(world: World) -> None:
    host = world.host("hang")
    session = world.open(host)
    call = world.call(host)
    running = asyncio.create_task(session.call(call))
    async with asyncio.timeout(45):
        while call.called is False:
            await moment()
    await session.close()
    with pytest.raises(HostError) as caught:
        await running
    # False: it was stopped before its request went out.
    assert (caught.value.kind, caught.value.called or False) == (FailureKind.CUT, False)
    with pytest.raises(HostError, match="closed"):
        await session.call(world.call(host))


@pytest.mark.parametrize("owner", ["mallory", None], ids=["user's", "operator's"])
async def test_a_host_that_is_switched_off_loses_its_calls_if_it_is_a_users(
    world: World, owner: str | None
) -> None:
    host = world.host("hang", owner)
    opening = Opening(
        host, world.folder, allow_private=True, spool=world.folder, workers=world.workers
    )
    pool = Pool(opening, 4, Secrets(world.folder / "secrets"))
    call = world.call(host)
    running = asyncio.create_task(pool.call(KnownHost(1, host), call))
    async with asyncio.timeout(45):
        while call.called is False:
            await moment()
    # Registered anew first, so that the door with the call in it is retired.
    pool.forget(host.id)
    pool.forget(host.id, off=True)
    if owner is None:
        assert not (await asyncio.wait([running], timeout=0.5))[0]
        running.cancel()
        await asyncio.wait([running])
    else:
        with pytest.raises(HostError) as caught:
            async with asyncio.timeout(30):
                await running
        assert caught.value.kind is FailureKind.CUT
    await pool.close()


async def test_a_call_that_waits_while_its_host_is_switched_off_asks_it_nothing(
    world: World,
) -> None:
    host = world.host("hang", "mallory", limits=Limits(max_concurrency=1))
    opening = Opening(
        host, world.folder, allow_private=True, spool=world.folder, workers=world.workers
    )
    pool = Pool(opening, 4, Secrets(world.folder / "secrets"))
    inside, waiting = world.call(host), world.call(host)
    calls = [asyncio.create_task(pool.call(KnownHost(1, host), one)) for one in (inside, waiting)]
    async with asyncio.timeout(45):
        while inside.called is False:
            await moment()
        pool.forget(host.id, off=True)
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [end.kind for end in ends if isinstance(end, HostError)] == [
        FailureKind.CUT,
        FailureKind.HOST_GONE,
    ]
    assert waiting.called is False
    await pool.close()


async def test_nothing_is_left_of_big_answers(world: World) -> None:
    with pytest.raises(HostError):
        await world.ask("json", limits=Limits(max_output_bytes=8 * 1024 * 1024))
    spool = world.folder / "spool"
    assert not [path for path in spool.rglob("*") if path.is_file()]


async def test_no_worker_outlives_its_executor(tmp_path: Path) -> None:
    async with adverse() as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.lone_executor", f"{url}/hang", str(tmp_path)),
            cwd=Path(__file__).parents[4],
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(45):
                while await process.stdout.readline() != b"called\n":
                    assert not process.stdout.at_eof()
            below = await processes(process.pid)
        finally:
            process.kill()
            await process.wait()
        for pid in below:
            await until_gone(pid)


async def processes(pid: int) -> list[int]:
    """The process that workers are forked from, and they, once there are some."""
    async with asyncio.timeout(45):
        while True:
            for child in children(pid):
                if workers := children(child):
                    return [child, *workers]
            await moment()


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in path.read_text().split()] if path.exists() else []
