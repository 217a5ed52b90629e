"""Two hundred long calls by clients of others that wait no longer than they do: none is lost.

Everything is five times as quick as in life, where hosts take 70 to 120 s; CLIENTS_SCALE=1 is life.
"""

from __future__ import annotations

import asyncio
import collections
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.gateway.errors import AWAY
from tests.support.foreign import install
from tests.support.foreign.clients import (
    ALL,
    BRIDGE,
    FASTMCP,
    INSPECTOR,
    PYTHON,
    TYPESCRIPT,
    Foreign,
)
from tests.support.foreign.driven import Driven, Inspector, NotDone
from tests.support.system import System, system, until

SCALE = float(os.environ.get("CLIENTS_SCALE", "5"))
pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(240 + 600 / SCALE)]
ROOT = Path(__file__).parents[2]
ABLE = """
[hosts.able]
name = "Able"
endpoint.kind = "stdio"
endpoint.command = "{python}"
endpoint.args = ["-m", "tests.support.foreign.able_mcp"]
endpoint.env = {{ RECORDING_FILE = "{record}" }}
endpoint.cwd = "{root}"
sessions = "shared"
limits = {{ max_concurrency = 256, start_s = 180.0 }}
"""
CALLS = 200
HOST_S = (70 / SCALE, 120 / SCALE)
PATIENCE_S = 45 / SCALE
"""How long the gateway has a call wait."""
SHORT_S = 30 / SCALE
"""The limit of a client that gives up before it is answered."""
LONG_S = 60 / SCALE + 10
"""That of one which is answered in time; how long a busy machine takes is not scaled."""
NEXT_S = min(60.0, 45 / SCALE)
"""How long a next step has `get_task` wait."""
MOST_STEPS = 20
PROGRAMS = {(PYTHON, "1"), (PYTHON, "2"), (TYPESCRIPT, "1"), (TYPESCRIPT, "2"), (FASTMCP, "4")}
OF_INSPECTOR = 8
"""Each of its calls is a process."""
INSPECTOR_S = 120 + 120 / SCALE
"""It follows a handle to the end."""


class Long(NamedTuple):
    """One call that takes longer than its client waits, or than it is let wait."""

    client: Foreign
    number: int

    @property
    def mark(self) -> str:
        return f"long-{self.number}"

    @property
    def gives_up(self) -> bool:
        """Whether the client waits for less than the gateway has it wait."""
        return self.number % 2 == 0

    @property
    def repeats(self) -> bool:
        """Whether its next step is the same call; otherwise it asks for the task."""
        return self.number // 2 % 2 == 0

    @property
    def tool(self) -> str:
        """What may be called again, or must not: each of these has a process of its own."""
        changes = not self.repeats and self.number // 24 % 8 == 0
        return "able__change" if changes else "able__look"

    @property
    def ms(self) -> float:
        shortest, longest = HOST_S
        return 1000 * (shortest + (longest - shortest) * self.number / CALLS)


def those() -> list[Foreign]:
    """One of each kind: where it speaks both protocols, by the newer one."""
    found = {(one.name, one.version[0]): one for one in ALL if not one.more}
    return [one for key, one in found.items() if key in PROGRAMS or key[0] in (BRIDGE, INSPECTOR)]


def calls() -> Iterator[Long]:
    """Two hundred, the Inspector's a few of them."""
    clients = those()
    programs = [one for one in clients if one.name != INSPECTOR]
    (inspector,) = set(clients) - set(programs)
    for number in range(CALLS):
        few = number < OF_INSPECTOR
        yield Long(inspector if few else programs[number // 4 % len(programs)], number)


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[System]:
    extra = tmp_path / "able.toml"
    # The record that `System.calls` reads.
    record = tmp_path / "calls.jsonl"
    extra.write_text(ABLE.format(python=sys.executable, root=ROOT, record=record))
    settings = {
        "METAMCP_GATEWAY_MCP_PATIENCE_S": str(PATIENCE_S),
        "METAMCP_EXECUTOR_SLOTS": str(CALLS),
    }
    async with system(tmp_path, {"one": 4}, extra=extra, real=False, **settings) as running:

        async def healthy() -> bool:
            hosts = (await running.get("/api/mcps")).json()["data"]
            return [host["health"]["status"] for host in hosts] == ["healthy"] * 2

        await until(healthy)
        yield running


async def structured(driven: Driven, limit_s: float, tool: str, **given: Any) -> dict[str, Any]:
    meta = given.pop("meta", None)
    answer = await driven.do("call", tool=tool, arguments=given, limit_s=limit_s, meta=meta)
    if answer.get("isError"):
        text = " ".join(part["text"] for part in answer["content"])
        if AWAY in text:
            raise NotDone(f"timed out: {text}")
        raise AssertionError(f"{tool}: {text[:500]}")
    said: dict[str, Any] = answer["structuredContent"]
    return said


class Case:
    """A long call of a client, and what its model does next."""

    def __init__(self, call: Long, driven: Driven, one: System) -> None:
        self.call = call
        self.began = ""
        """How it was answered: early, gave up, or by a handle that the client followed."""
        self.steps = 0
        self.is_listed = False
        """Whether it was found by `list_tasks`."""
        self._driven = driven
        self._one = one
        self._task = "" if call.repeats else call.mark
        self._outcome = {"mark": call.mark}
        self._limit_s = INSPECTOR_S if isinstance(driven, Inspector) else LONG_S

    async def run(self) -> None:
        """Call, and take steps until there is the outcome."""
        try:
            said = await self._first()
        except asyncio.CancelledError:
            if not isinstance(self._driven, Inspector):
                raise
            self.began, said = "gave up", {}
        except NotDone as error:
            if "timed out" not in str(error).lower():
                raise
            self.began, said = "gave up", {}
        else:
            self.began = "handle" if said == self._outcome else "early"
            self._task = said.get("task", self._task)
        while said != self._outcome:
            assert said.get("status") not in ("failed", "cancelled"), (self.call, said)
            self.steps += 1
            assert self.steps < MOST_STEPS, (self.call, said)
            said = await self._next()

    async def _first(self) -> dict[str, Any]:
        if not isinstance(self._driven, Inspector):
            return await self._called(SHORT_S if self.call.gives_up else LONG_S)
        calling = asyncio.ensure_future(self._called(INSPECTOR_S))
        if self.call.gives_up:
            # It has no limit to give: somebody ends it, once the host is at work.
            await until(lambda: self._is_begun(calling), seconds=INSPECTOR_S, every=0.2)
            calling.cancel()
        return await calling

    async def _is_begun(self, calling: asyncio.Future[Any]) -> bool:
        marks = [call["arguments"]["mark"] for call in begun(self._one)]
        return calling.done() or self.call.mark in marks

    async def _called(self, limit_s: float) -> dict[str, Any]:
        name = {} if self.call.repeats else {"io.metamcp/task": self.call.mark}
        given = {"mark": self.call.mark, "ms": self.call.ms, "meta": name}
        return await structured(self._driven, limit_s, self.call.tool, **given)

    async def _next(self) -> dict[str, Any]:
        try:
            return await self._looked()
        except NotDone as error:
            if AWAY not in str(error):
                raise
            return {}

    async def _looked(self) -> dict[str, Any]:
        if self.call.repeats:
            return await self._called(self._limit_s)
        if self.began == "gave up" and not self.is_listed:
            self.is_listed = await self._lists()
            if not self.is_listed:
                # It was given up before it was anywhere: under the same name it can't be two.
                return await self._called(self._limit_s)
        given = {"task": self._task, "wait_s": NEXT_S}
        found = await structured(self._driven, self._limit_s, "get_task", **given)
        if found["status"] != "succeeded":
            return found
        outcome: dict[str, Any] = found["result"]["value"]["structured"]
        return outcome

    async def _lists(self) -> bool:
        """Whether one that was told no id finds the task among its own."""
        more: dict[str, Any] = {}
        while True:
            given = {"limit": 100, **more}
            page = await structured(self._driven, self._limit_s, "list_tasks", **given)
            if any(task["id"] == self._task for task in page["tasks"]):
                return True
            if not page.get("next_cursor"):
                return False
            more = {"cursor": page["next_cursor"], "mark": page["next_mark"]}


def begun(one: System) -> list[dict[str, Any]]:
    """What the host wrote down of each call before it did anything."""
    return [
        call for call in one.calls() if call["event"] == "start" and "mark" in call["arguments"]
    ]


async def of_one(client: Foreign, one: System, home: Path, given: list[Long]) -> list[Case]:
    """All calls of one client, side by side."""
    url, token = f"{one.url}/mcp", one.running.token
    async with client.connected(url, token, home) as driven:
        cases = [Case(call, driven, one) for call in given]
        async with asyncio.TaskGroup() as running:
            for case in cases:
                running.create_task(case.run())
    return cases


async def test_no_long_call_is_lost_or_made_twice(one: System, tmp_path: Path) -> None:
    each: dict[Foreign, list[Long]] = collections.defaultdict(list)
    for call in calls():
        each[call.client].append(call)
    assert len(each) == len(PROGRAMS) + 2
    running = [of_one(client, one, tmp_path, given) for client, given in each.items()]
    try:
        cases = [case for some in await asyncio.gather(*running) for case in some]
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    counts = collections.Counter((str(case.call.client), case.began) for case in cases)
    for client, began in sorted(counts):
        steps = [c.steps for c in cases if (str(c.call.client), c.began) == (client, began)]
        print(f"{client}: {counts[client, began]} {began}, at most {max(steps)} more steps")
    for client in each:
        assert any(case.is_listed for case in cases if case.call.client == client), client
        ends = {began for named, began in counts if named == str(client)}
        assert ends >= {"gave up", "handle" if client.name == INSPECTOR else "early"}, client
    at = [call["at"] for call in begun(one)]
    print(f"the host began the first and the last {max(at) - min(at):.0f} s apart")
    made = collections.Counter(call["arguments"]["mark"] for call in begun(one))
    assert made == {f"long-{number}": 1 for number in range(CALLS)}
    ended = [call["how"] for call in one.calls() if call["event"] == "end"]
    assert ended == ["returned"] * CALLS
