"""Answers to nothing, second ones and late ones, over every transport, from real servers."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from contracts.facts import FailureKind
from contracts.host import Host, Stdio, StreamableHttp, Tool
from services.executor.attempt.call import HostError, HostSession
from tests.support.straying_mcp import StrayingSite, straying
from tests.unit.executor.sessions import ROOT, STDIO, Bench, closing
from tests.unit.executor.world import moment

PROGRAM = Stdio(sys.executable, ("-m", "tests.support.straying_mcp"), cwd=str(ROOT))
TOOLS = (Tool("answer", read_only=True, idempotent=True),)


class Straight:
    """One session with such a server, and the calls in it."""

    def __init__(self, folder: Path, site: StrayingSite | None) -> None:
        self.bench = Bench(folder, STDIO)
        self.site = site
        endpoint = PROGRAM if site is None else StreamableHttp(site.url)
        self.fields: dict[str, Any] = {"endpoint": endpoint, "tools": TOOLS}
        self.fields |= {"protocol": "2025-06-18"}
        self.session: HostSession = self.bench.open(**self.fields)

    @property
    def host(self) -> Host:
        return self.bench.host(**self.fields)

    async def ask(self, how: str) -> str:
        """What the tool answers."""
        async with asyncio.timeout(20):
            answer = await self.session.call(self.bench.call("answer", host=self.host, how=how))
        assert isinstance(answer, dict)
        return str(answer["content"][0]["text"])

    async def begun(self) -> Any:
        """The MCP session that is used now."""
        inner: Any = self.session
        return inner._session

    async def holding(self) -> asyncio.Task[str]:
        """A call that is not answered."""
        held = asyncio.create_task(self.ask("hold"))
        if self.site is None:
            await self.ask("plain")  # one line after the other
        else:
            async with asyncio.timeout(20):
                await self.site.server.holding.wait()
        return held


@pytest.fixture(params=["stdio", "/mcp", "/old"])
async def one(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Straight]:
    async with contextlib.AsyncExitStack() as stack:
        site = None
        if request.param != "stdio":
            site = await stack.enter_async_context(straying(request.param))
        straight = Straight(tmp_path, site)
        yield straight
        await closing(straight.bench)


@pytest.mark.parametrize("how", ["twice", "stray"])
async def test_it_ends_the_session_and_the_next_call_has_another(one: Straight, how: str) -> None:
    first = (await one.ask("plain"), await one.begun())
    held = await one.holding()
    with structlog.testing.capture_logs() as lines:
        with contextlib.suppress(HostError):
            assert (await one.ask(how)).startswith(how)
        with pytest.raises(HostError) as cut:
            await held
        assert first[0].startswith("plain")
        assert (await one.ask("plain")).startswith("plain")
    assert await one.begun() is not first[1]
    error = cut.value
    assert (error.kind, error.called, error.transient) == (FailureKind.PROTOCOL, None, True)
    assert "broke the protocol: it has answered request" in error.message
    ended = [line for line in lines if line["event"] == "host_session_ended"]
    assert len(ended) == 1, "it is told once"
    assert "it has answered request" in ended[0]["reason"]


async def test_a_call_that_is_answered_for_nothing_fails_and_is_not_taken(one: Straight) -> None:
    with pytest.raises(HostError) as failed:
        await one.ask("stray")
    assert (failed.value.kind, failed.value.called) == (FailureKind.PROTOCOL, None)
    assert "4242" in failed.value.message


async def test_the_late_answer_of_a_call_that_was_cancelled_ends_nothing(one: Straight) -> None:
    held = await one.holding()
    first = await one.begun()
    held.cancel()
    await asyncio.wait([held])
    for _ in range(3):
        await moment()
    assert (await one.ask("late")).startswith("late")
    assert await one.begun() is first
    assert (await one.ask("plain")).startswith("plain")
    assert await one.begun() is first
