"""Log messages of real servers: heard in both eras, and never by another user."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.host import Host, Stdio, StreamableHttp, Tool
from services.executor.attempt.call import Call, HostSession
from services.executor.attempt.said import AT_ONCE, OURSELVES, LogLine
from services.executor.hosts.hearing import LEVEL
from services.executor.service import WORKERS
from services.outside.apart.pool import WorkerPool
from tests.support import forked
from tests.support.saying_mcp import TOOL, served
from tests.unit.executor.sessions import ROOT, STDIO, Bench, closing

OLD, NEW = "2025-11-25", "2026-07-28"
TOOLS = (Tool(TOOL, read_only=True, idempotent=True),)


class Ear:
    """Calls at one session of such a server, and what each of them has heard."""

    def __init__(self, folder: Path, endpoint: Stdio | StreamableHttp, era: str) -> None:
        self.bench = Bench(folder, STDIO)
        self.fields: dict[str, Any] = {"endpoint": endpoint, "tools": TOOLS, "protocol": era}
        self.session: HostSession | None = None

    @property
    def host(self) -> Host:
        return self.bench.host(**self.fields)

    async def say(self, user: str = "alice", **arguments: Any) -> tuple[str, list[LogLine]]:
        """What the tool answers, and what is heard meanwhile."""
        self.session = self.session or self.bench.open(**self.fields)
        call, heard = self.call(user, **arguments)
        answer = await self.session.call(call)
        assert isinstance(answer, dict)
        assert answer["is_error"] is False
        return answer["content"][0]["text"], heard

    def call(self, user: str, **arguments: Any) -> tuple[Call, list[LogLine]]:
        call, heard = self.bench.call(TOOL, host=self.host, **arguments), []
        call.plan = call.plan._replace(user=user)

        async def hear(message: LogLine) -> None:
            heard.append(message)

        call.on_said = hear
        return call, heard


def saying() -> Stdio:
    program = forked.command("tests.support.saying_mcp")
    return Stdio(program[0], program[1:], cwd=str(ROOT))


@pytest.fixture(params=[("stdio", OLD), ("stdio", NEW), ("http", OLD), ("http", NEW)])
async def ear(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Ear]:
    how, era = request.param
    async with contextlib.AsyncExitStack() as stack:
        url = "" if how == "stdio" else await stack.enter_async_context(served())
        one = Ear(tmp_path, StreamableHttp(url) if url else saying(), era)
        yield one
        await closing(one.bench)


async def test_a_call_hears_what_its_host_says_at_the_level_that_is_asked_for(ear: Ear) -> None:
    data = {"what": ["hé", 1]}
    level, heard = await ear.say(data=data, level="warning")
    (said,) = heard
    assert (said.level, json.loads(said.data), said.logger) == ("warning", data, "l")
    assert level == LEVEL


async def test_two_users_calls_at_once_hear_their_own_or_nothing(ear: Ear) -> None:
    await ear.say()
    both = (ear.say("alice", data="alice", among=3), ear.say("bob", data="bob", among=3))
    (_, hers), (_, his) = await asyncio.gather(*both)
    own = isinstance(ear.host.endpoint, StreamableHttp)
    assert [json.loads(said.data) for said in hers] == ["alice"] * own
    assert [json.loads(said.data) for said in his] == ["bob"] * own


async def test_a_session_that_two_users_have_used_says_whose_a_message_is_or_is_not_heard(
    ear: Ear,
) -> None:
    for user in ("alice", "bob", "alice"):
        _, heard = await ear.say(user, data=user)
    assert len(heard) == isinstance(ear.host.endpoint, StreamableHttp)


async def test_what_is_long_is_passed_on_in_short(ear: Ear) -> None:
    _, (said,) = await ear.say(data="é" * 20_000)
    assert len(said.data) < 9000
    assert json.loads(said.data).startswith('"éé')
    assert json.loads(said.data).endswith("é … (40002 bytes)")


async def test_a_users_host_is_heard_out_of_its_worker(tmp_path: Path) -> None:
    async with served() as url:
        ear = Ear(tmp_path, StreamableHttp(url), NEW)
        ear.fields |= {"owner": "alice", "source": "command"}
        ear.bench.workers = WorkerPool(WORKERS, ear.bench.spool)
        _, heard = await ear.say(data="one", times=AT_ONCE + 20)
        await closing(ear.bench)
    texts = [json.loads(said.data) for said in heard]
    assert texts[0] == "one"
    counts = [said.data for said in heard if said.logger == OURSELVES]
    told = sum(int(json.loads(data).rpartition(" ")[2]) for data in counts)
    assert told > 0
    assert texts.count("one") + told == AT_ONCE + 20
