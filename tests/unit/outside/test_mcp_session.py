"""One session with a real process: how it begins, and all the ways in which it ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from contracts.host import Host, Stdio
from services.outside import mcp_session
from services.outside.mcp_child import McpChild, Tail
from services.outside.mcp_session import AUTO, HANDSHAKE, McpSession, TooLate
from services.process.version import version
from tests.support.adverse_mcp import ROOT
from tests.support.system import until
from tests.unit.executor.sessions import gone
from tests.unit.registry.servers import Mood, little, program

DEAF = "import signal, sys; print('here I am', file=sys.stderr, flush=True); signal.pause()"
"""It does not even leave when its input ends."""
Begin = Callable[..., McpSession]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    sessions: list[McpSession] = []

    def begin(host: Host, *, delay_s: float = 0.0, mode: str = AUTO) -> McpSession:
        async def connect() -> McpChild:
            assert isinstance(host.endpoint, Stdio)
            return await McpChild.start(host.endpoint, Tail(), 10_000)

        budget_s = host.limits.start_s
        sessions.append(McpSession("test", connect, budget_s, delay_s=delay_s, mode=mode))
        return sessions[-1]

    yield begin
    for session in sessions:
        await session.stop()


def adverse_host(how: str) -> Host:
    arguments = ("-m", "tests.support.adverse_mcp", "stdio", how)
    return Host(id="x", name="x", endpoint=Stdio(sys.executable, arguments, cwd=str(ROOT)))


def pid(session: McpSession) -> int:
    assert isinstance(session.line, McpChild)
    return session.line.pid


async def settled(session: McpSession) -> McpSession:
    async with asyncio.timeout(20):
        await session.settled.wait()
    return session


async def test_it_says_who_it_is(begin: Begin, tmp_path: Path) -> None:
    session = await settled(begin(little(Mood(tmp_path))))
    assert session.client is not None
    told = (await session.client.call_tool("check", {"word": "who"})).structured_content
    assert told is not None
    assert told["message"] == f"metamcp {version()}: MetaMCP Orchestrator"


async def test_it_runs_until_it_is_stopped(begin: Begin, tmp_path: Path) -> None:
    session = await settled(begin(little(Mood(tmp_path))))
    assert session.client is not None
    assert [tool.name for tool in (await session.client.list_tools()).tools] == ["check"]
    await session.stop()
    assert (session.dying, session.over.is_set(), session.failure) == (True, True, None)
    assert session.how, "how the process ended is told"
    assert session.lived_s() > 0
    assert gone(pid(session))


async def test_a_server_that_ends_ends_the_session(begin: Begin, tmp_path: Path) -> None:
    mood = Mood(tmp_path)
    session = await settled(begin(little(mood)))
    mood.set("die")
    assert session.client is not None
    with pytest.raises(Exception, match="losed"):
        await session.client.call_tool("check", {"word": "hello"})
    async with asyncio.timeout(20):
        await session.over.wait()
    assert session.dying
    assert "luck" in session.last_words(1)
    assert session.how


async def test_a_server_that_does_not_answer_in_time_is_killed(begin: Begin) -> None:
    session = await settled(begin(program(DEAF, start_s=1.0)))
    assert isinstance(session.failure, TooLate)
    assert str(session.failure) == "did not answer within 1 s"
    assert (session.client, session.how) == (None, "was killed by SIGKILL")
    assert session.last_words() == "here I am"
    assert gone(pid(session))


@pytest.mark.parametrize(("mode", "then"), [(AUTO, HANDSHAKE), (HANDSHAKE, AUTO)])
async def test_a_server_that_stays_silent_is_met_in_the_other_way_the_next_time(
    begin: Begin, mode: str, then: str
) -> None:
    session = await settled(begin(program(DEAF, start_s=0.5), mode=mode))
    assert isinstance(session.failure, TooLate)
    assert session.next_mode == then


async def test_one_that_ends_at_what_it_hears_first_is_started_anew_in_the_older_way(
    begin: Begin,
) -> None:
    session = await settled(begin(adverse_host("strict")))
    assert session.client is not None
    assert (session.mode, session.next_mode) == (HANDSHAKE, HANDSHAKE)
    assert len((await session.client.list_tools()).tools) == 2


async def test_who_ends_it_while_it_does_not_end_waits_no_longer_than_it_may(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_session, "STOP_S", 0.1)
    session = await settled(begin(adverse_host("plain")))
    held = asyncio.Event()
    assert session.line is not None
    stop = session.line.stop
    monkeypatch.setattr(session.line, "stop", lambda *, kindly: held.wait())
    session.end()
    async with asyncio.timeout(30):
        await session.over.wait()
    await stop(kindly=False)


async def test_a_server_that_is_not_there_is_told_with_its_reason(begin: Begin) -> None:
    session = await settled(begin(Host(id="x", name="x", endpoint=Stdio("no-such-program"))))
    assert isinstance(session.failure, FileNotFoundError)
    assert (session.client, session.line, session.how) == (None, None, "")


@pytest.mark.parametrize("delay_s", [0.0, 3600.0])
async def test_who_stops_it_before_it_begins_leaves_nobody_waiting(
    begin: Begin, delay_s: float
) -> None:
    session = begin(program(DEAF), delay_s=delay_s)
    waiting = asyncio.create_task(session.settled.wait())
    async with asyncio.timeout(30):
        await session.stop()
        await waiting
    assert (session.client, session.line, session.failure) == (None, None, None)
    assert session.over.is_set()


async def test_a_start_that_is_stopped_ends_at_once_and_leaves_no_process(begin: Begin) -> None:
    session = begin(program(DEAF, start_s=3600.0))

    async def talks() -> bool:
        return session.last_words() != ""

    await until(talks)
    async with asyncio.timeout(30):
        await session.stop()
    assert (session.client, session.failure, session.over.is_set()) == (None, None, True)
    assert gone(pid(session))
