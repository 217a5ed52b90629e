"""Tools that are there after a call, in the session in which it was made."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.host import Host, Stdio, Tool
from services.executor.attempt.call import Opening
from services.executor.attempt.plan import BadInput, KnownHost
from services.executor.hosts.pool import Pool
from services.keys.secrets import Secrets
from tests.support import growing_mcp
from tests.unit.executor.sessions import ROOT, STDIO, Bench

NO_SECRETS = Secrets(Path("nowhere"), {})
KNOWN = tuple(Tool(name, read_only=name != "grow") for name in growing_mcp.OWN)


class Grown:
    """A pool, and one user's calls of the server that grows."""

    def __init__(self, folder: Path, program: str = "growing_mcp") -> None:
        self.folder = folder
        self.bench = Bench(folder, STDIO)
        endpoint = Stdio(
            sys.executable, ("-m", f"tests.support.{program}", str(folder)), cwd=str(ROOT)
        )
        self.host = Host(id="h1", name="h1", endpoint=endpoint, tools=KNOWN)
        self.pool = Pool(Opening(self.host, folder / "hosts"), 10, NO_SECRETS)
        self.told: asyncio.Queue[str] = asyncio.Queue()

    async def hear(self, subject: str, _: bytes) -> None:
        self.told.put_nowait(subject)

    async def say(self, tool: str, *, seq: int = 1, **arguments: Any) -> Any:
        call = self.bench.call(tool, host=self.host, **arguments)
        answer = await self.pool.call(KnownHost(seq, self.host), call)
        assert isinstance(answer, dict)
        return answer["structured"]

    @property
    def started(self) -> int:
        return len(list(self.folder.glob("started-*")))


@contextlib.asynccontextmanager
async def growing(one: Grown) -> AsyncIterator[Grown]:
    telling = asyncio.create_task(one.pool.changes.run(one.hear))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(one.pool.close)
        stack.callback(telling.cancel)
        yield one


@pytest.fixture
async def grown(tmp_path: Path) -> AsyncIterator[Grown]:
    async with growing(Grown(tmp_path)) as one:
        yield one


async def test_a_tool_that_a_call_has_added_is_called_before_anybody_knows_it(
    grown: Grown,
) -> None:
    first = await grown.say("grow", name="late", quiet=True)
    assert await grown.say("late") == first | {"tool": "late"}
    async with asyncio.timeout(30):
        assert await grown.told.get() == "tools.changed.-.h1", "and the registry looks"


async def test_a_tool_that_the_session_does_not_have_is_refused_as_before(grown: Grown) -> None:
    await grown.say("who")
    with pytest.raises(BadInput, match=r"host h1 has no tool 'whom'. Did you mean who, hold\?"):
        await grown.say("whom")
    assert grown.told.empty()


async def test_a_session_that_says_its_tools_are_others_is_told_of(grown: Grown) -> None:
    await grown.say("grow", name="late")
    async with asyncio.timeout(30):
        assert await grown.told.get() == "tools.changed.-.h1"


async def test_a_server_that_tells_only_those_who_listen_is_listened_to(tmp_path: Path) -> None:
    async with growing(Grown(tmp_path, "listened_mcp")) as grown:
        first = await grown.say("grow", name="late")
        async with asyncio.timeout(30):
            assert await grown.told.get() == "tools.changed.-.h1"
        assert await grown.say("late") == first
        assert grown.started == 1, "and it is the session of the calls that listens"


async def test_what_a_host_says_of_itself_ends_no_session(grown: Grown) -> None:
    first = await grown.say("who")
    grown.host = Host(
        id="h1", name="h1", endpoint=grown.host.endpoint, tools=(*KNOWN, Tool("late")), server="x 1"
    )
    assert grown.pool.renew(KnownHost(2, grown.host))
    assert await grown.say("who", seq=2) == first
    assert grown.started == 1
    grown.host = Host(id="h1", name="h1", endpoint=grown.host.endpoint, sessions="shared")
    assert not grown.pool.renew(KnownHost(3, grown.host)), "it is another host now"
