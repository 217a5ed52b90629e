"""Hugging Face end to end, on a stand-in of the Hub: link, deploy, discover, run, keep, read."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
import pytest_asyncio

from contracts.facts import JobSigned, Record, ResultStored
from services.audit import checks as audit
from services.cli.commands.log import audit_task
from tests.support import space
from tests.support.hub import HubServer, hub_server
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

SPACE = "ann/Code.Tools"
HOST = "local/ann-Code-Tools"
DATASET = "ann/metamcp-results"
BIG = 20_000_000
TASKS = 100
DOWN_S = float(os.environ.get("HUB_DOWN_S", "8"))
"""How long the Hub is away; several rounds of trying again go by in that time."""
LIGHT = """
[hosts.light]
name = "Light"
endpoint.kind = "stdio"
endpoint.command = "{python}"
endpoint.args = ["-m", "tests.support.recording_mcp"]
endpoint.cwd = "{root}"
endpoint.env = {{ RECORDING_FILE = "{record}" }}
flags = {{ result_pointer_preferred = true }}
limits = {{ max_concurrency = 8, start_s = 60.0 }}
"""


class World(NamedTuple):
    one: System
    hub: HubServer
    token: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An orchestrator whose Hugging Face is the stand-in."""
    folder = tmp_path_factory.mktemp("world")
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(hub_server(folder / "hub"))
        light = folder / "light.toml"
        light.write_text(
            LIGHT.format(python=space.RECORDER[0], root=space.ROOT, record=folder / "light.jsonl")
        )
        variables = {
            **hub.environment,
            "METAMCP_ALLOW_PRIVATE_HOSTS": "true",
            "METAMCP_GATEWAY_SPACE_KIT": str(kit(folder)),
            "METAMCP_REGISTRY_DISCOVER_S": "2",
            "METAMCP_ENABLE_METRICS": "false",
        }
        one = await stack.enter_async_context(system(folder, {"one": 1}, extra=light, **variables))
        yield World(one, hub, hub.account("ann"))


def kit(folder: Path) -> Path:
    """The files of deploy/space around the recording server, which gives big answers."""
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(space.KIT, folder / "kit", ignore=skipped)
    space.configure(folder / "kit")
    path = folder / "kit" / "mcp.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | {"result_pointer_preferred": True}))
    return folder / "kit"


async def call(one: System, method: str, path: str, body: Any = None) -> Any:
    answer = await one.http.request(method, f"{one.url}{path}", json=body, timeout=90)
    assert answer.status_code < 300, answer.text
    return answer.json()["data"]


async def result(one: System, task: str) -> dict[str, Any]:
    return (await one.get(f"/api/results/{task}")).json().get("data", {})  # type: ignore[no-any-return]


async def in_dataset(one: System, task: str) -> bool:
    return str((await result(one, task)).get("uri", "")).startswith(f"hf://datasets/{DATASET}@")


async def test_from_the_link_to_the_result(world: World) -> None:
    one, hub, token = world
    linked = await call(one, "PUT", "/api/accounts/huggingface", {"token": token})
    assert (linked["name"], linked["provider"]) == ("ann", "huggingface")
    made = await call(one, "POST", "/api/spaces", {"name": "Code.Tools"})
    assert (made["repo"], made["private"]) == (SPACE, True)
    await call(one, "POST", f"/api/spaces/{SPACE}/deploy")
    await hub.until_stage(SPACE, "RUNNING")

    async def found() -> bool:
        hosts = await call(one, "GET", "/api/mcps")
        return any((h["id"], h["health"]["status"]) == (HOST, "healthy") for h in hosts)

    await until(found)
    (listed,) = await call(one, "GET", "/api/spaces")
    assert (listed["host"], listed["stage"]) == (HOST, "RUNNING")
    task = await one.submit("big", input={"bytes": BIG}, is_heavy=True)
    done = await one.finished(task)
    assert (done["status"], done["host"]) == ("succeeded", HOST), done
    await until(lambda: in_dataset(one, task))
    described = await result(one, task)
    content = await one.get(f"/api/results/{task}/content")
    digest = hashlib.sha256(content.content).hexdigest()
    assert digest == described["sha256"] == content.headers["x-content-sha256"]
    assert len(content.content) == described["size"] > BIG
    path = described["uri"].partition("@")[2].partition("/")[2]
    assert hashlib.sha256(hub.files("dataset", DATASET)[path]).hexdigest() == digest
    tasks = (await call(one, "GET", "/api/accounts/huggingface/tasks"))["tasks"]
    assert [(t["task_id"], t["type"], t["is_heavy"]) for t in tasks] == [(task, "big", True)]
    facts = await one.facts()
    (signed,) = [r.fact for r in facts if isinstance(r.fact, JobSigned) and r.fact.task == task]
    claims = jwt.decode(signed.permit, options={"verify_signature": False})
    assert (claims["aud"], claims["host"], claims["task_id"]) == (hub.url, HOST, task)
    async with one.log() as log:
        checks = await audit_task(log, task)
    assert audit.passed(checks), checks
    assert token.encode() not in b"".join(record.data for record in facts)


@pytest.mark.long
async def test_a_hub_that_is_down_delays_uploads_and_nothing_else(world: World) -> None:
    one, hub, token = world
    await call(one, "PUT", "/api/accounts/huggingface", {"token": token})
    hub.down, began = True, time.monotonic()
    wanted = [{"tool": "big", "arguments": {"bytes": 70_000 + n}} for n in range(TASKS)]
    tasks = await asyncio.gather(*(one.submit(host="light", input=given) for given in wanted))
    for task in tasks:
        assert (await one.finished(task))["status"] == "succeeded"
    assert not await in_dataset(one, tasks[0])

    async def long_enough() -> bool:
        return time.monotonic() - began >= DOWN_S

    await until(long_enough, seconds=DOWN_S + 10)
    hub.down = False

    async def some() -> bool:
        return any([await in_dataset(one, task) for task in tasks[:5]])

    hub.fail("commit/main", after=True)
    await until(some)
    one.running.kill("results-1", signal.SIGKILL)

    def all_of_them(records: list[Record]) -> bool:
        return set(tasks) <= {r.fact.task for r in records if isinstance(r.fact, ResultStored)}

    await one.told("result.stored.>", all_of_them, seconds=120)
    added: list[str] = []
    for commit in hub.commits("dataset", DATASET):
        added += [path for path in commit.paths if path.startswith("results/")]
    assert len(added) == len(set(added)), "nothing was sent twice"
    for task in tasks[::20]:
        # The service that was started again has its tables from the log.
        await until(functools.partial(in_dataset, one, task))
        content = (await one.get(f"/api/results/{task}/content")).content
        described = await result(one, task)
        assert hashlib.sha256(content).hexdigest() == described["sha256"]
