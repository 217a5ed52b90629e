"""A call that kills, silences or spoils its server, among others: who pays what, with real ones."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from contracts.facts import FailureKind
from contracts.host import Host, Limits, Stdio, Tool
from contracts.task import TaskSpec
from services.executor.attempt.call import Call, HostError, Opening
from services.executor.attempt.course import Course
from services.executor.attempt.ending import Broken, ending
from services.executor.attempt.plan import KnownHost, prepare
from services.executor.attempt.workspace import Workspace
from services.executor.hosts import door as pools
from services.executor.hosts import mcp
from services.executor.hosts.pool import Pool
from services.keys.secrets import Secrets
from tests.support import poisoned_mcp
from tests.unit.executor.sessions import ROOT, gone
from tests.unit.executor.world import moment, routed, spec

pytestmark = [pytest.mark.timeout(240), pytest.mark.long]
MOST = 4
TOOLS = (Tool("read", read_only=True), Tool("write", read_only=False))


class Ended(NamedTuple):
    """How one attempt ended."""

    pid: int | None
    broken: Broken | None = None

    @property
    def shared(self) -> bool:
        return self.broken is not None and self.broken.shared


class Bench:
    """One poisoned host behind the executor's doors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {poisoned_mcp.FOLDER: str(folder)}
        command = ("-m", "tests.support.poisoned_mcp")
        endpoint = Stdio(sys.executable, command, env=environment, cwd=str(ROOT))
        limits = Limits(max_concurrency=MOST)
        self.host = Host(id="h1", name="h1", endpoint=endpoint, tools=TOOLS, limits=limits)
        self.known = KnownHost(1, self.host)
        opening = Opening(self.host, folder / "hosts", spool=folder / "spool")
        self.pool = Pool(opening, 64, Secrets(Path("nowhere"), {}))

    def made(self, tool: str, how: str, ms: float) -> Call:
        data = {"tool": tool, "arguments": {"how": how, "ms": ms}}
        wanted = TaskSpec(type="mcp.call", input=msgspec.Raw(msgspec.json.encode(data)))
        plan = prepare(self.known, routed("t1", spec()), wanted, bytes(wanted.input), "permit")

        async def on_progress(*_: Any) -> None: ...

        async def still_ours() -> bool:
            return True

        space = Workspace(self.folder / "w", "alice", "t1", 1)
        return Call(plan, space, on_progress, still_ours, course=Course())

    async def attempt(
        self,
        how: str = "",
        *,
        tool: str = "read",
        ms: float = 0.0,
        limit_s: float = 30.0,
        isolated: bool = False,
    ) -> Ended:
        """Make a call as an attempt does, and say how it ended."""
        call = self.made(tool, how, ms)
        call.isolated = isolated
        call.deadline = time.monotonic() + limit_s
        try:
            async with asyncio.timeout(limit_s):
                answer = await self.pool.call(self.known, call)
        except (HostError, TimeoutError) as error:
            late = isinstance(error, TimeoutError)
            end = ending(call.course, error, limit_s, late=late)
            assert isinstance(end, Broken)
            return Ended(None, end)
        assert isinstance(answer, dict)
        return Ended(answer["structured"]["result"])

    async def task(self, how: str = "", *, limit_s: float = 30.0, ms: float = 0.0) -> list[Ended]:
        """All attempts of a task that may be repeated: three, and one that others may have cut."""
        ends: list[Ended] = []
        while len(ends) - any(one.shared for one in ends) < 3:
            isolated = any(one.shared for one in ends)
            ends.append(await self.attempt(how, ms=ms, limit_s=limit_s, isolated=isolated))
            if ends[-1].pid is not None:
                break
        return ends

    def noted(self, what: str) -> list[int]:
        """Processes that have left a note of this."""
        return [int(path.name.split("-")[1]) for path in self.folder.glob(f"{what}-*")]

    async def until_noted(self, what: str, count: int = 1) -> None:
        async with asyncio.timeout(30):
            while len(self.noted(what)) < count:
                await moment()

    async def until_ended(self) -> None:
        """Wait until no process is left but one."""
        async with asyncio.timeout(30):
            while sum(not gone(pid) for pid in self.noted("started")) > 1:
                await moment()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    one = Bench(tmp_path)
    yield one
    await one.pool.close()
    assert all(gone(pid) for pid in one.noted("started"))


@pytest.mark.parametrize(("how", "poisons"), [("die", 1), ("die", 2), ("close", 1), ("garbage", 1)])
async def test_innocent_calls_fail_once_at_most(bench: Bench, how: str, poisons: int) -> None:
    await bench.attempt()
    good = [asyncio.create_task(bench.task(ms=1000)) for _ in range(6)]
    await bench.until_noted("read_", 1 + MOST - poisons)
    bad = [asyncio.create_task(bench.task(how)) for _ in range(poisons)]
    for ends in await asyncio.gather(*good):
        assert ends[-1].pid is not None, ends
        assert len(ends) <= 2, ends
    for ends in await asyncio.gather(*bad):
        assert [one.shared for one in ends] == [True, False, False, False]
        last = ends[-1].broken
        assert last is not None
        assert (last.kind, last.called) == (FailureKind.CUT, None)
        assert "the connection was lost during read; host h1" in last.message
        assert "the call was alone in its process" in last.message
        assert "it was too much" not in last.message, "what it wrote is the operator's"
        assert "`metamcp hosts h1 --log`" in last.message
    guard = bench.pool.breakers.of("h1", 1)
    assert guard.breaker.until is None
    told = guard.message(time.monotonic(), "executor-1")
    assert not told.open
    assert told.deaths >= 3 * poisons + 1


async def test_a_process_that_dies_is_one_failure_however_many_calls_were_in_it(
    bench: Bench,
) -> None:
    await bench.attempt()
    calls = [asyncio.create_task(bench.attempt(ms=5000)) for _ in range(MOST - 1)]
    await bench.until_noted("read_", MOST)
    ends = [await bench.attempt("die"), *[await call for call in calls]]
    assert [one.shared for one in ends] == [True] * MOST
    guard = bench.pool.breakers.of("h1", 1)
    assert (guard.breaker.failures, guard.recent.deaths(time.monotonic())) == (1, 0)


async def test_a_silent_server_is_ended_when_a_call_has_waited_in_vain(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "ANSWER_S", 1.0)
    await bench.attempt()
    good = [asyncio.create_task(bench.task(ms=800, limit_s=60)) for _ in range(3)]
    await bench.until_noted("read_", 4)
    began = time.monotonic()
    bad = [await bench.attempt("hang", limit_s=2)]
    bad.append(await bench.attempt("hang", limit_s=12, isolated=True))
    for ends in await asyncio.gather(*good):
        assert ends[-1].pid is not None, ends
        assert [one.shared for one in ends] in ([True, False], [False])
    assert time.monotonic() - began < 50
    assert [one.shared for one in bad] == [True, False]
    for one in bad:
        assert one.broken is not None
        assert one.broken.kind is FailureKind.TIMEOUT
        assert " s; host h1 did not answer for 1 s" in one.broken.message
    assert bench.pool.breakers.of("h1", 1).recent.deaths(time.monotonic()) == 2


async def test_a_call_that_hangs_alone_takes_nobody_along(bench: Bench) -> None:
    await bench.attempt()
    good = [asyncio.create_task(bench.attempt(ms=2500)) for _ in range(3)]
    await bench.until_noted("read_", 4)
    bad = await bench.attempt("alone", limit_s=1)
    assert bad.broken is not None
    assert (bad.broken.kind, bad.shared) == (FailureKind.TIMEOUT, False)
    pids = {(await call).pid for call in good} | {(await bench.attempt()).pid}
    assert len(pids) == len(bench.noted("started")) == 1


async def test_a_cancelled_call_that_leaves_its_server_silent_ends_it_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "HONOUR_S", 0.5)
    await bench.attempt()
    bad = asyncio.create_task(bench.attempt("hang"))
    await bench.until_noted("read_hang")
    good = asyncio.create_task(bench.task())
    bad.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bad
    ends = await good
    assert ends[-1].pid is not None
    assert len(ends) <= 2


async def test_who_comes_after_one_that_dies_late_fails_once_at_most(bench: Bench) -> None:
    for _ in range(3):
        first = await bench.attempt("late")
        ends = await asyncio.gather(*(bench.task(ms=100) for _ in range(3)))
        assert first.pid is not None
        assert all(one[-1].pid is not None and len(one) <= 2 for one in ends), ends


async def test_an_isolated_call_starts_once_more_where_the_last_one_left_a_trap(
    bench: Bench,
) -> None:
    (bad,) = [await bench.attempt("start")]
    assert bad.shared
    assert (await bench.attempt(isolated=True)).pid is not None
    assert len(bench.noted("started")) == 3


# Calls that can't be made again.


async def test_what_must_not_be_repeated_shares_its_process_with_nobody(bench: Bench) -> None:
    reads = [asyncio.create_task(bench.attempt(ms=25_000))]
    await bench.until_noted("read_")
    writes = [asyncio.create_task(bench.attempt(tool="write", ms=4000)) for _ in range(2)]
    await bench.until_noted("write_", 2)
    died = await bench.attempt("die")
    ends = [await call for call in writes]
    assert died.shared
    assert (await reads[0]).shared
    assert None not in {one.pid for one in ends}
    assert len({one.pid for one in ends}) == 2


async def test_one_after_another_they_find_the_same_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "REST_S", 0.2)
    pids = {(await bench.attempt(tool="write")).pid for _ in range(3)}
    assert len(pids) == len(bench.noted("started")) == 1
    await asyncio.gather(*(bench.attempt(tool="write", ms=500) for _ in range(MOST + 2)))
    assert len(bench.noted("started")) <= MOST
    await bench.until_ended()
    assert (await bench.attempt(tool="write")).pid in pids


async def test_one_that_was_given_up_is_not_shared_by_the_next(bench: Bench) -> None:
    await bench.attempt(tool="write")
    first = await bench.attempt("alone", tool="write", limit_s=1)
    assert first.broken is not None
    assert (first.broken.kind, first.broken.called) == (FailureKind.TIMEOUT, None)
    assert (await bench.attempt(tool="write")).pid not in bench.noted("write_alone")
