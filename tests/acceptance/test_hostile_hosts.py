"""Hosts that mean harm, each in its own way: the task ends, they are asked seldom, and nobody else
notices. Registered by a user without roles, as MCP servers and as hosts that answer `/execute`."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.bench.others import own_host
from tests.support.apart import Guest, World, at, call
from tests.support.arena import Arena, arena
from tests.support.hostile import DOUBLING, PATTERN, POISON
from tests.support.processes import rss_mib
from tests.support.system import until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.skipif(os.environ.get("ATTACKS") != "all", reason="`make attacks` runs these"),
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

MIB = 1024 * 1024
SECONDS = 5.0
"""Limit of one attempt at a hostile host; its task is over some seconds later."""
OVER_S = 40.0
MOST_ASKED = 500
"""Requests at one host while its task runs: more is a loop that the host has set going."""
MOST_GROWN_MIB = 400
MOST_SPOOLED = 700 * MIB
MCP = (
    *("comments", "notes", "blanks", "fields", "unended", "big", "progress", "asks", "others"),
    *("again", "silent", "cut", "heads", "bomb", "deep", "loop", "drip", "dead"),
    *("wide", "tricks", "pages", "list-comments", "list-blanks", "churn"),
)
EXECUTE = ("silent", "cut", "heads", "bomb", "deep", "loop", "drip", "dead", "churn", "big")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts() -> AsyncIterator[Arena]:
    async with arena() as one:
        yield one


@pytest.mark.parametrize("kind", MCP)
async def test_an_mcp_server_harms_nobody(hosts: Arena, kind: str) -> None:
    async with hosts.attack() as (one, guest, other):
        entry = {**at(one.hosts.mcp(kind)), "limits": {"max_output_bytes": 64 * MIB}}
        host = await guest.host("bad", entry)
        assert host is not None, guest.refusals
        await tried(one, guest, other, kind, call(host))


@pytest.mark.parametrize("kind", EXECUTE)
async def test_an_execute_host_harms_nobody(hosts: Arena, kind: str) -> None:
    async with hosts.attack() as (one, guest, other):
        types = {"bad_work": {"summary": "x"}}
        where = at(one.hosts.execute(kind), "execute", task_types=types)
        host = await guest.host("bad", {**where, "limits": {"max_output_bytes": 64 * MIB}})
        assert host is not None, guest.refusals
        await tried(one, guest, other, kind, {"type": "bad_work", "host": host})


async def tried(one: World, guest: Guest, other: Guest, kind: str, task: dict[str, Any]) -> None:
    """Its task is over in time, however; meanwhile others are served, their new hosts too."""
    before, memory = await asked(one, kind), grown(one)
    task_id = await guest.task({**task, "timeout_s": SECONDS, "max_attempts": 1, "deadline_s": 20})
    assert task_id is not None, guest.refusals
    assert await own_host(one, other) == []
    await over(guest, task_id)
    assert await asked(one, kind) - before < MOST_ASKED
    assert grown(one) - memory < MOST_GROWN_MIB
    assert spooled(one.running.data) < MOST_SPOOLED


async def over(guest: Guest, task: str) -> None:
    async def ended() -> bool:
        answer = await guest.ask("GET", f"/api/tasks/{task}")
        return answer is not None and "done_at" in answer.json()["data"]

    await until(ended, seconds=OVER_S, every=1.0)


async def asked(one: World, kind: str) -> int:
    """Requests of HTTP so far; what is in them is counted besides."""
    seen = [(*name.split(" "), count) for name, count in (await one.hosts.seen()).items()]
    return sum(one[-1] for one in seen if one[0] == kind and len(one) == 4)


def grown(one: World) -> float:
    return sum(rss_mib(pid) for name, pid in one.running.pids.items() if name != "nats")


def spooled(data: Path) -> int:
    """Bytes in the data folder beside what nats keeps."""
    nats = data / "nats"
    files = [path for path in data.rglob("*") if nats not in path.parents]
    return sum(path.stat().st_size for path in files if path.is_file())


REMOTE = "remote"
SCHEMAS: dict[str, Any] = {
    "backtracking": PATTERN,
    "doubling": DOUBLING,
    "repeats": {"properties": {"a": {"type": "string", "pattern": "((a{1,100}){1,100}){1,100}$"}}},
    "optional": {"properties": {"a": {"type": "string", "pattern": "(a?){60}a{60}!!"}}},
    "names": {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
    "itself": {"$ref": "#"},
    "circle": {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
    "many": {"anyOf": [{"properties": {"a": {"enum": [str(k)]}}} for k in range(3_000)]},
    "numbers": {"properties": {"a": {"multipleOf": 1e-300}}, "minProperties": 10**300},
    "deep": "deep",
    REMOTE: REMOTE,
}


@pytest.mark.parametrize("name", SCHEMAS)
async def test_a_schema_of_a_user_harms_nobody_and_is_no_way_out(hosts: Arena, name: str) -> None:
    """It is refused when the host is registered, or judges a task in time; nothing is fetched."""
    async with hosts.attack() as (one, guest, other):
        schema = SCHEMAS[name]
        if name == REMOTE:
            schema = {"$ref": f"{one.hosts.url}/schema/1/fetched"}
        if name == "deep":
            schema = {}
            for _ in range(25):
                schema = {"properties": {"a": schema}}
        types = {"judged": {"summary": "x", "steps": [{"tool": "work"}], "input_schema": schema}}
        host = await guest.host("judge", at(one.hosts.mcp("quiet"), task_types=types))
        if host is None:
            assert " 400 " in guest.refusals[-1], guest.refusals
        else:
            assert await guest.healthy(host)
            limits = {"timeout_s": SECONDS, "max_attempts": 1, "deadline_s": 20}
            body = {"type": "judged", "host": host, "input": {"a": POISON, POISON: 1}, **limits}
            task = await guest.task(body)
            assert await own_host(one, other) == []
            if task is not None:
                await over(guest, task)
        assert await asked(one, "schema") == 0


@pytest.mark.parametrize(
    "extremes",
    [
        {"limits": {"start_s": 1e308}, "probe": {"interval_s": 1e308}},
        {"limits": {"start_s": 1e-308}, "probe": {"interval_s": 1e-308}},
        {"limits": {"max_output_bytes": 2**62}},
        {"capabilities": [{"name": "x", "version": "9" * 5_000}]},
        {"capabilities": [{"name": "x", "version": "1." * 20_000 + "1"}]},
        {"capabilities": [{"name": f"c{k}"} for k in range(5_000)]},
        {"task_types": {f"t{k}": {"steps": [{"tool": "work"}]} for k in range(2_000)}},
    ],
    ids=["long", "short", "output", "digits", "dots", "capabilities", "types"],
)
async def test_extreme_words_about_oneself_harm_nobody(
    hosts: Arena, extremes: dict[str, Any]
) -> None:
    async with hosts.attack() as (one, guest, other):
        host = await guest.host("extreme", at(one.hosts.mcp("quiet"), **extremes))
        if host is not None:
            need = [{"name": "x", "version": "1.0"}] if "capabilities" in extremes else []
            began = time.monotonic()
            await guest.healthy(host)
            await guest.task(call(host, required_capabilities=need))
            assert await own_host(one, other) == []
            assert await asked(one, "quiet") < MOST_ASKED * (1 + time.monotonic() - began)
