"""What works with which client of others: tried one by one, and held against docs/mcp.md.

WRITE_DOCS=1 writes it there; FOREIGN_CLIENTS=all tries more of them: both is `make clients`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.foreign import clients_page, install
from tests.support.foreign.clients import EVERY, INSPECTOR, TRIED, Foreign
from tests.support.foreign.driven import Driven, Inspector, NotDone
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
ROOT = Path(__file__).parents[2]
ABLE = """
[hosts.able]
name = "Able"
endpoint.kind = "stdio"
endpoint.command = "{python}"
endpoint.args = ["-m", "tests.support.foreign.able_mcp"]
endpoint.cwd = "{root}"
endpoint.env = {{ RECORDING_FILE = "{record}" }}
limits = {{ max_concurrency = 16, start_s = 60.0 }}
"""
PATIENCE_S = 2
LONGER_MS = 3000
"""Longer than a call is waited for here."""
LIMIT_S = 40
LEFT_MS = 8000
"""How long a call lasts that a client leaves when half of it has passed."""
ANEW_S = 10
"""Some never hear that their session is lost."""
YES, NO = "yes", "no"
EARLY, HANDLE = "early", "handle"
"""How a long call is answered: by its task, or by a handle that the client itself follows."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """One orchestrator for all of them, with a host that has everything."""
    folder = tmp_path_factory.mktemp("clients")
    extra = folder / "able.toml"
    extra.write_text(ABLE.format(python=sys.executable, root=ROOT, record=folder / "calls.jsonl"))
    patience = {"METAMCP_GATEWAY_MCP_PATIENCE_S": str(PATIENCE_S)}
    # Its gateway is killed.
    async with system(folder, {"one": 4}, extra=extra, **patience) as running:

        async def healthy() -> bool:
            hosts = (await running.get("/api/mcps")).json()["data"]
            return [host["health"]["status"] for host in hosts] == ["healthy"] * 2

        await until(healthy)
        yield running


@contextlib.asynccontextmanager
async def with_session(client: Foreign, one: System, home: Path) -> AsyncIterator[Driven]:
    token = one.running.token
    try:
        async with client.connected(f"{one.url}/mcp", token, home) as driven:
            assert driven.era == client.protocol
            yield driven
    except install.NotToBeHad as error:
        pytest.skip(str(error))


class Trial:
    """One client tries everything; hosts' things have names of ours, which end as theirs do."""

    def __init__(self, client: Driven, mark: str, prefix: str = "able__") -> None:
        self._client = client
        self._prefix = prefix
        self._mark = mark
        self._task = ""

    async def columns(self) -> dict[str, str]:
        """What has worked, in order."""
        tried: dict[str, Callable[[], Awaitable[bool | str]]] = {
            "lists": self._lists,
            "calls": self._calls,
            "long call": self._long_call,
            "found again": self._again,
        }
        found = {name: await worked(attempt()) for name, attempt in tried.items()}
        return found | await self.of_the_host()

    async def of_the_host(self) -> dict[str, str]:
        """The same, of what the host has by itself."""
        tried: dict[str, Callable[[], Awaitable[bool | str]]] = {
            "progress": self._progress,
            "prompts": self._prompts,
            "resources": self._resources,
            "elicitation": self._elicitation,
            "log messages": self._logs,
        }
        return {name: await worked(attempt()) for name, attempt in tried.items()}

    async def _call(self, tool: str, **given: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self._client.do(
            "call", tool=tool, arguments=given, limit_s=LIMIT_S
        )
        return answer

    async def _structured(self, tool: str, **given: Any) -> dict[str, Any]:
        said: dict[str, Any] = (await self._call(tool, **given))["structuredContent"]
        return said

    async def _lists(self) -> bool:
        names = {tool["name"] for tool in await self._client.do("tools")}
        return names > {"submit_task", "able__echo", "able__ask", "one__work"}

    async def _calls(self) -> bool:
        return await self._structured(f"{self._prefix}echo", text="hé") == {"result": "hé"}

    async def _progress(self) -> bool:
        steps = (await self._call(f"{self._prefix}progress", steps=3, ms=100))["steps"]
        return bool(steps) and sorted(steps) == steps

    async def _long_call(self) -> bool | str:
        said = await self._look()
        if said == {"mark": self._mark}:
            return HANDLE
        self._task = said["task"]
        return EARLY if said.keys() == {"task", "status", "message"} else NO

    async def _look(self) -> dict[str, Any]:
        return await self._structured(f"{self._prefix}look", mark=self._mark, ms=LONGER_MS)

    async def _again(self) -> bool:
        """By the same call if it had no outcome, and by the task that an answer or a list names."""
        outcome = {"mark": self._mark}
        again = await self._look() if self._task else outcome
        listed = await self._structured("list_tasks", type="mcp.call", limit=1)
        task = self._task or listed["tasks"][0]["id"]
        found = await self._structured("get_task", task=task, wait_s=LIMIT_S)
        return found["result"]["value"]["structured"] == again == outcome

    async def _prompts(self) -> bool:
        named = [prompt["name"] for prompt in await self._client.do("prompts")]
        (name,) = (name for name in named if name.endswith("greet"))
        return "say hello" in str(await self._client.do("prompt", name=name))

    async def _resources(self) -> bool:
        listed = [resource["uri"] for resource in await self._client.do("resources")]
        (uri,) = (uri for uri in listed if uri.endswith("note"))
        return "what is noted" in str(await self._client.do("read", uri=uri))

    async def _elicitation(self) -> bool:
        return (await self._call(f"{self._prefix}ask"))["content"][0]["text"] == "hello Ada"

    async def _logs(self) -> bool:
        # There are servers that let nobody choose.
        with contextlib.suppress(NotDone):
            await self._client.do("level")
        await self._call(f"{self._prefix}talk")
        await self._calls()
        return "said by the host" in str(await self._client.do("heard"))


async def worked(trying: Awaitable[bool | str]) -> str:
    """Whether it did, or how; what is not there, a client finds out in its own way."""
    try:
        found = await trying
    except (NotDone, LookupError, ValueError, AttributeError, TypeError):
        return NO
    return found if isinstance(found, str) else YES if found else NO


@pytest.mark.parametrize("client", TRIED, ids=str)
async def test_what_works_with_it(client: Foreign, one: System, tmp_path: Path) -> None:
    async with with_session(client, one, tmp_path) as driven:
        found = await Trial(driven, str(client)).columns()
    # Without these it is no client.
    assert (found["lists"], found["calls"]) == (YES, YES)
    assert found["long call"] in (EARLY, HANDLE)
    assert found["found again"] == YES
    clients_page.holds(client, found)


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The host alone, over HTTP."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.foreign.able_mcp", "http"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert server.stdout is not None
    try:
        yield (await server.stdout.readline()).decode().strip()
    finally:
        server.kill()
        await server.communicate()


@pytest.mark.skipif(not EVERY, reason="make clients")
async def test_each_can_find_what_a_server_has(tmp_path: Path) -> None:
    """With the host itself, so that `no` means that it is not there and not that it is not seen."""
    async with served() as url:

        async def found(client: Foreign) -> dict[str, str]:
            async with client.connected(url, "none", tmp_path) as driven:
                return await Trial(driven, "", prefix="").of_the_host()

        seen = await asyncio.gather(*map(found, TRIED))
    for client, columns in zip(TRIED, seen, strict=True):
        cannot = {"progress", "elicitation", "log messages"} if client.name == INSPECTOR else set()
        assert {name for name, cell in columns.items() if cell != YES} == cannot, str(client)


async def test_which_tell_that_they_give_up_and_go_on_after_a_restart(
    one: System, tmp_path: Path
) -> None:
    """All at once; for the second the gateway is killed between two calls of a session."""
    async with contextlib.AsyncExitStack() as stack:
        entering = [with_session(client, one, tmp_path) for client in TRIED]
        sessions = await asyncio.gather(*map(stack.enter_async_context, entering))
        tried = dict(zip(TRIED, sessions, strict=True))
        told = await asyncio.gather(*(gives_up(client, tried[client], one) for client in TRIED))
        (killed,) = one.running.kill("gateway")

        async def back() -> bool:
            return one.running.pids.get("gateway-1") not in (None, killed) and await one.alive()

        await until(back)
        found = await asyncio.gather(*map(anew, sessions))
    for client, tells, goes_on in zip(TRIED, told, found, strict=True):
        clients_page.holds(client, {"tells it gives up": tells, "after a restart": goes_on})


async def gives_up(client: Foreign, driven: Driven, one: System) -> str:
    """Whether an outcome that comes after it has given up is kept for the same call again."""
    if isinstance(driven, Inspector):
        # It has no limit.
        return clients_page.UNTRIED
    mark = f"left by {client}"

    def begun() -> int:
        calls = [call for call in one.calls() if call["event"] == "start"]
        return sum(call["arguments"].get("mark") == mark for call in calls)

    async def over() -> bool:
        tasks = (await one.get("/api/tasks?type=mcp.call&limit=100")).json()["data"]
        # Some wait for answers that nobody will give.
        waits = [task for task in tasks if task["status"] == "input_required"]
        return bool(begun()) and all("done_at" in task for task in tasks if task not in waits)

    given = {"arguments": {"mark": mark, "ms": LEFT_MS}, "meta": {"io.metamcp/patience_s": LIMIT_S}}
    with pytest.raises(NotDone, match=r"(?i)timed out"):
        await driven.do("call", tool="able__look", limit_s=LEFT_MS / 2000, **given)
    await until(over)
    await driven.do("call", tool="able__look", limit_s=LIMIT_S, **given)
    return YES if begun() == 1 else NO


async def anew(driven: Driven) -> str:
    """Whether the next call works, or the one after it."""

    async def echoes() -> bool:
        given = {"tool": "able__echo", "arguments": {"text": "x"}, "limit_s": ANEW_S}
        return (await driven.do("call", **given))["structuredContent"] == {"result": "x"}

    if await worked(echoes()) == YES:
        return YES
    return "2nd call" if await worked(echoes()) == YES else NO
