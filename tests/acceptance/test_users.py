"""Those who use it, with clients that import nothing of it: the README's scripts, as they are."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import TaskCreated
from tests.support.system import System, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
ECHO = {"type": "mcp.call", "input": {"tool": "echo", "arguments": {"text": "hello"}}}


def example(name: str) -> str:
    """The script as README shows it, which must be the file in docs/examples."""
    script = (ROOT / "docs/examples" / name).read_text()
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert script in blocks, f"README does not show docs/examples/{name} as it is"
    assert not re.search(r"\b(contracts|services|metamcp)\b", "\n".join(imports(script)))
    return script


def imports(script: str) -> list[str]:
    return [line for line in script.splitlines() if re.match(r"(import|from)\b", line)]


async def run(name: str, *arguments: str) -> list[str]:
    example(name)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "docs/examples" / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


async def test_the_scripts_of_the_readme_publish_follow_and_resume(shared_system: System) -> None:
    one = shared_system
    assert len(example("nats_publish.py").strip().splitlines()) <= 25
    login = str(one.running.credentials_file("publisher"))
    published = await run("nats_publish.py", one.running.nats_url, login, json.dumps(ECHO))
    done = json.loads(published[-1])
    assert (done["type"], done["outcome"]) == ("job.done", "succeeded")
    task = await one.submit(**ECHO)
    followed = await run("follow_ws.py", one.url, str(one.running.token_file), task)
    seen = [json.loads(line) for line in followed]
    kinds = [entry["event"]["type"] for entry in seen]
    assert kinds == ["task.created", "task.routed", "job.signed", "job.done"]
    seqs = [entry["seq"] for entry in seen]
    assert seqs == sorted(set(seqs)), "a fact came twice, or out of order, over the cut"


async def test_an_outside_publisher_touches_nothing_of_others(shared_system: System) -> None:
    """Reads nothing of others, writes no fact, not even through a reply subject."""
    one = shared_system
    bus = await one.publisher()
    seen: list[str] = []
    for subject in ("job.done.>", "task.created.>", "task.routed.>", "live.>"):
        await bus.subscribe(subject, lambda message: seen.append(message.subject))
    mine = await one.submit(**ECHO)
    await one.finished(mine)
    before = len(await one.facts())
    for reply in ("job.done.local.victim.end", "log.router.9", "live.job.done.local.x.end"):
        await bus.publish("task.created", b"not json at all", reply=reply)
        await bus.publish("job.done.local.victim.end", b"{}", reply=reply)
    theirs = json.dumps(ECHO | {"id": "theirs"}).encode()
    await bus.publish("task.created", theirs)

    async def arrived() -> bool:
        return any(subject.startswith("job.done.theirs") for subject in seen)

    await until(arrived)
    await bus.close()
    assert not [subject for subject in seen if mine in subject]
    users = {getattr(r.fact, "user", "publisher") for r in (await one.facts())[before:]}
    assert users == {"publisher"}
    assert not [
        r for r in await one.facts() if "victim" in r.subject or "log.router.9" in r.subject
    ]


async def test_lying_and_broken_messages_from_outside_are_answered(shared_system: System) -> None:
    one = shared_system
    before = len(await one.facts())
    bus = await one.publisher()
    done: dict[str, Any] = {}

    def note(message: Any) -> None:
        fact = json.loads(message.data)
        done[fact["task"]] = fact

    await bus.subscribe("job.done.>", note)
    lies = {"type": "job.done", "user": "local", "task": "x", "outcome": "succeeded", "id": "lie"}
    await bus.publish("task.created", json.dumps(lies).encode())
    await bus.publish("task.created", b"\xff\xfe broken")
    await bus.publish("task.created", json.dumps(ECHO | {"id": "bad.token"}).encode())
    await bus.publish("task.created", json.dumps(ECHO | {"id": "good"}).encode())

    async def all_answered() -> bool:
        return len(done) >= 4

    await until(all_answered)
    await bus.close()
    assert done.pop("good")["outcome"] == "succeeded"
    assert [fact["outcome"] for fact in done.values()] == ["rejected"] * 3
    assert all(fact["error"]["message"] for fact in done.values())
    created = [r.fact for r in (await one.facts())[before:] if isinstance(r.fact, TaskCreated)]
    assert {fact.user for fact in created} == {"publisher"}
