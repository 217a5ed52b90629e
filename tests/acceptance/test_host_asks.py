"""Hosts that ask, of both protocol eras, over stdio and HTTP: people answer, whatever is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.facts import JobDone, JobFailed, Outcome, Record, TaskAnswered, TaskAsked
from tests.support import invariants
from tests.support.asking_mcp import FILE
from tests.support.forked import Forked, command
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

MODULE = "tests.support.asking_mcp"
ROOT = Path(__file__).resolve().parents[2]
NEWER, OLDER = "newer", "older"
COUNT, AT_ONCE = 100, 10
VICTIMS = ("gateway", "router", "executor", "nats")
SAID = {"who": {"action": "accept", "content": {"name": "Ada"}}}
NEWS_S = 60.0


def stdio(name: str, record: Path) -> str:
    program, *words = command(MODULE)
    older = ', OLDER = "1"' if name.startswith(OLDER) else ""
    return f"""
[hosts.{name}]
limits = {{ max_concurrency = 16, start_s = 60.0 }}
[hosts.{name}.endpoint]
kind = "stdio"
command = {json.dumps(program)}
args = {json.dumps(words)}
cwd = "{ROOT}"
env = {{ {FILE} = "{record}"{older} }}
"""


def http(name: str, url: str) -> str:
    return f"""
[hosts.{name}]
endpoint = {{ kind = "http", url = "{url}" }}
limits = {{ max_concurrency = 16, start_s = 60.0 }}
"""


@contextlib.asynccontextmanager
async def asking(folder: Path, *names: str) -> AsyncIterator[System]:
    """Everything, with these asking hosts: `newer`, `older`, and the same with `_http` behind."""
    record, tables = folder / "asked.jsonl", list[str]()
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            if not name.endswith("_http"):
                tables.append(stdio(name, record))
                continue
            environment = {**os.environ, FILE: str(record), "PORT": "0"}
            environment |= {"OLDER": "1"} if name.startswith(OLDER) else {}
            server = Forked(MODULE, environment)
            stack.push_async_callback(server.kill)
            tables.append(http(name, await server.line()))
        extra = folder / "asking.toml"
        extra.write_text("\n".join(tables))
        one = await stack.enter_async_context(system(folder, {"other": 1}, extra=extra))
        one.record = record
        yield one


async def ask(one: System, task: str, host: str, tool: str = "form", **fields: Any) -> None:
    given = {"tool": tool, "arguments": {}}
    await one.submit(id=task, host=host, input=given, deadline_s=NEWS_S, **fields)


async def question(one: System, task: str, above: int = 0) -> dict[str, Any]:
    """The task's question, once it has one with a number above this."""
    found: dict[str, Any] = {}

    async def asked() -> bool:
        nonlocal found
        with contextlib.suppress(httpx.TransportError, ValueError, KeyError):
            view = await one.task(task)
            assert "done_at" not in view, view
            found = view["question"]
            return bool(found["q"] > above)
        return False

    await until(asked)
    return found


async def say(one: System, task: str, q: int = 1) -> int:
    """Answer until the gateway has said what came of it."""
    body = {"q": q, "action": "accept", "content": {"name": "Ada"}}
    said = 0

    async def heard() -> bool:
        nonlocal said
        with contextlib.suppress(httpx.TransportError, OSError):
            url = f"{one.url}/api/tasks/{task}/answer"
            said = (await one.http.post(url, json=body)).status_code
            return said != 503
        await one.alive()
        return False

    await until(heard)
    return said


async def strike(one: System, *victims: str) -> None:
    for victim in victims:
        with contextlib.suppress(KeyError, ProcessLookupError):
            one.running.kill(victim)
    await until(one.alive)


def text(view: dict[str, Any]) -> Any:
    return json.loads(view["result"]["value"]["content"][0]["text"])


def of(records: list[Record], kind: type) -> list[str]:
    return [record.fact.task for record in records if isinstance(record.fact, kind)]


async def test_what_hosts_ask_is_answered(tmp_path: Path) -> None:
    hosts = (NEWER, OLDER, "newer_http", "older_http")
    async with asking(tmp_path, *hosts) as one:
        for host in hosts:
            await ask(one, f"on-{host}", host)
        for host in hosts:
            asked = await question(one, f"on-{host}")
            assert (asked["message"], asked["kind"]) == ("What is your name?", "input")
            assert asked.get("held", False) is host.startswith(OLDER)
            assert await say(one, f"on-{host}") == 200
        for host in hosts:
            view = await one.finished(f"on-{host}")
            assert (view["status"], text(view)) == ("succeeded", SAID)
            assert view["attempt"] == (1 if host.startswith(OLDER) else 2)
        calls = [call for call in one.calls() if call["event"] == "call"]
        facts = await one.facts()
    made = Counter(call["task"] for call in calls)
    assert made == {f"on-{host}": 1 if host.startswith(OLDER) else 2 for host in hosts}
    failures = [r.fact.kind for r in facts if isinstance(r.fact, JobFailed)]
    assert failures == ["input_required"] * 2
    invariants.audited(facts)


@pytest.mark.long
async def test_a_held_call_whose_executor_is_killed_asks_again(tmp_path: Path) -> None:
    async with asking(tmp_path, OLDER) as one:
        await ask(one, "held", OLDER, on_unknown="retry")
        assert (await question(one, "held"))["q"] == 1
        await strike(one, "executor")
        assert (await question(one, "held", above=1))["q"] == 2
        assert await say(one, "held", 1) == 404, "nobody waits for that answer"
        assert await say(one, "held", 2) == 200
        view = await one.finished("held")
        assert (view["status"], text(view)) == ("succeeded", SAID)


async def test_a_held_call_outlives_all_but_its_executor(tmp_path: Path) -> None:
    async with asking(tmp_path, OLDER) as one:
        await ask(one, "held", OLDER, timeout_s=3)
        assert (await question(one, "held"))["held"]
        await strike(one, "gateway", "router", "nats")
        assert await say(one, "held") == 200
        view = await one.finished("held")
        assert (view["status"], view["attempt"], text(view)) == ("succeeded", 1, SAID)
        assert [call["event"] for call in one.calls()] == ["call", "end"]
        invariants.audited(await one.facts())


@pytest.mark.long
async def test_what_hosts_have_asked_outlives_everything(tmp_path: Path) -> None:
    async with asking(tmp_path, NEWER) as one:
        tasks = [f"asked-{n}" for n in range(COUNT)]
        for task in tasks:
            await ask(one, task, NEWER, max_attempts=20, on_unknown="retry")
        await one.told("task.asked.>", lambda records: len(records) >= COUNT)
        await strike(one, *VICTIMS)
        left, answers = iter(tasks), dict[str, int]()

        async def person() -> None:
            for task in left:
                answers[task] = await say(one, task)

        people = [asyncio.create_task(person()) for _ in range(AT_ONCE)]
        try:
            for enough in (COUNT // 4, COUNT // 2):

                async def answered(enough: int = enough) -> bool:
                    return len(answers) >= enough

                await until(answered)
                await strike(one, *VICTIMS)
            await asyncio.gather(*people)
        finally:
            for running in people:
                running.cancel()
        records = await one.all_done(tasks)
        calls = one.calls()
    assert set(answers.values()) == {200}
    assert Counter(of(records, TaskAsked)) == Counter(tasks)
    assert Counter(of(records, TaskAnswered)) == Counter(tasks)
    ends = {r.fact.task: r.fact.outcome for r in records if isinstance(r.fact, JobDone)}
    assert ends == dict.fromkeys(tasks, Outcome.SUCCEEDED)
    heard = {call["task"] for call in calls if call["event"] == "end" and call["responses"] == SAID}
    assert heard == set(tasks), "each host call that ended had the answer"
    assert all(call["responses"] == SAID for call in calls if call["event"] == "end")
    invariants.audited(records)
