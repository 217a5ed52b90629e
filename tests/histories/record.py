"""Keep this release for the next ones: `python -m tests.histories.record`, once before it is out.

Runs a real orchestrator, writes its whole log to `<version>/log.jsonl`, and copies the contracts.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import contracts
from contracts.facts import McpHealth, Record, ResultStored
from tests.acceptance.test_huggingface import LIGHT
from tests.support import forked, space
from tests.support.hub import hub_server
from tests.support.system import System, system, until

HERE = Path(__file__).parent
BIG = 70_000
"""Bytes of a result that moves."""
NAMED = 5_000
"""Tasks of an operation that is stopped, so many that it is not over by then."""


async def live(one: System, token: str) -> None:
    """Use the orchestrator so that every fact of this release is written."""
    await call(one, "PUT", "/api/accounts/huggingface", {"token": token})
    await call(one, "PUT", "/api/preferences/light", {"weight": 0.5})
    await call(one, "DELETE", "/api/preferences/light")
    moved = await one.submit(host="light", input={"tool": "big", "arguments": {"bytes": BIG}})
    tasks = [
        moved,
        await one.submit("work", input={"ms": 1}, priority="high"),
        await one.submit(host="light", input={"tool": "nobody", "arguments": {}}),
        await one.submit("nobody_knows_this_type"),
        await one.submit("work", input={"ms": 5000}, deadline_s=1.0),
    ]
    long = await one.submit("work", input={"ms": 60_000})

    async def asks() -> bool:
        return (await one.task(tasks[2]))["status"] == "input_required"

    await until(asks)
    await call(one, "POST", f"/api/tasks/{tasks[2]}/answer", {"q": 1, "action": "accept"})

    async def runs() -> bool:
        return (await one.task(long))["status"] == "running"

    await until(runs)
    await call(one, "POST", f"/api/tasks/{long}/cancel")
    for task in (*tasks, long):
        await one.finished(task)

    async def stored() -> bool:
        return any(isinstance(record.fact, ResultStored) for record in await one.facts())

    await until(stored)
    await call(one, "DELETE", f"/api/results/{moved}")
    await call(one, "PUT", f"/api/tasks/{moved}/tags", {"tags": {"kept": "yes"}})
    await many(one, tasks)
    entry = {"name": "Gone", "endpoint": {"kind": "http", "url": "http://127.0.0.1:9/mcp"}}
    await call(one, "POST", "/api/mcps/gone", entry)

    async def ill() -> bool:
        facts = [record.fact for record in await one.facts()]
        return any(isinstance(fact, McpHealth) and fact.host == "gone" for fact in facts)

    await until(ill)
    await call(one, "DELETE", "/api/mcps/gone")


async def many(one: System, tasks: list[str]) -> None:
    """An operation that ends, and one that is stopped before."""
    ended = {"action": "tag", "tags": {"looked": "at"}, "ids": tasks, "id": "ended"}
    await call(one, "POST", "/api/operations", ended)

    async def is_over() -> bool:
        found = await one.get("/api/operations/ended")
        return found.json()["data"]["state"] == "done"

    await until(is_over)
    ids = [f"none-{number}" for number in range(NAMED)]
    await call(one, "POST", "/api/operations", {"action": "cancel", "ids": ids, "id": "stopped"})
    await call(one, "POST", "/api/operations/stopped/stop")


async def call(one: System, method: str, path: str, body: Any = None) -> None:
    """Ask the gateway for something that it must not refuse."""
    answer = await one.http.request(method, f"{one.url}{path}", json=body, timeout=90)
    assert answer.status_code < 300, answer.text


async def run(folder: Path) -> list[Record]:
    """The log of an orchestrator that was used."""
    async with hub_server(folder / "hub") as hub:
        light = folder / "light.toml"
        record = folder / "light.jsonl"
        table = LIGHT.format(python=space.RECORDER[0], root=space.ROOT, record=record)
        light.write_text(f'{table}approve = ["nobody"]\n')
        variables = {**hub.environment, "METAMCP_ALLOW_PRIVATE_HOSTS": "true"}
        async with system(folder, {"one": 4}, extra=light, **variables) as one:
            await live(one, hub.account("ann"))
            return await one.facts()


def line(record: Record, *private: Path | str) -> str:
    """A record as a line of the golden log, without the paths of this machine."""
    text = record.data.decode()
    for path in private:
        text = text.replace(str(path), "/opt/metamcp")
    fields = {"seq": record.seq, "at": record.at, "subject": record.subject}
    return json.dumps(fields)[:-1] + f', "fact": {text}}}\n'


def main() -> None:
    """Record, and freeze."""
    target = HERE / version("metamcp-orchestrator")
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        records = asyncio.run(run(Path(folder)))
        private = (folder, space.RECORDER[0], space.ROOT, sys.prefix, forked.nest().path)
        lines = [line(record, *private) for record in records]
    (target / "log.jsonl").write_text("".join(lines))
    shutil.rmtree(target / "contracts", ignore_errors=True)
    (target / "contracts").mkdir()
    for path in Path(contracts.__file__).parent.glob("*.py"):
        shutil.copy(path, target / "contracts")


if __name__ == "__main__":
    main()
