"""The main jobs, end to end: the demo as run by a user, real git history, big data."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.up import up
from tests.support.system import System, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
NARROW = "narrow"
"""The host of the shared orchestrator that is full with one call."""


async def metamcp(*arguments: str, data: Path | None = None) -> tuple[int, str, str]:
    """Run the command line as a user does; the answer is exit code, output and errors."""
    environ = {name: value for name, value in os.environ.items() if "METAMCP" not in name}
    environ |= {"METAMCP_DATA": str(data)} if data else {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_demo_does_its_whole_job() -> None:
    code, out, err = await metamcp("demo", "--file", "contracts")
    assert code == 0, out + err
    for fact in ("task.created", "task.routed", "job.signed", "job.done"):
        assert len(re.findall(rf"^[0-9:.]+ .*{fact}", out, re.MULTILINE)) == 2, (
            f"{fact} is not shown"
        )
    for type_ in ("code_analysis", "security_scan"):
        assert re.search(rf"^audit of {type_}$", out, re.MULTILINE)
    assert "account.py" in out, "the symbols are not shown"
    assert re.search(r"^(no|\d+) findings?", out, re.MULTILINE), "the findings are not shown"
    assert "16 of 16 checks hold" in out


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[System]:
    """Everything, with the built-in hosts; git may read this repository."""
    variables = {"METAMCP_REGISTRY_ROOTS": str(ROOT)}
    async with up.start(up.Plan(data=tmp_path / "data", port=0, variables=variables)) as running:
        one = System(running, tmp_path / "nothing")
        yield one
        await one.http.aclose()


@pytest.mark.long
async def test_git_history_is_read_by_the_real_server_and_nothing_else(
    real: System, tmp_path: Path
) -> None:
    shown = await asyncio.create_subprocess_exec(
        *("git", "-C", str(ROOT), "log", "-1", "--format=%H %an"), stdout=asyncio.subprocess.PIPE
    )
    head = (await shown.communicate())[0].decode().split(" ", 1)
    task = await real.submit(type="git_log", input={"repo_path": str(ROOT), "max_count": 2})
    found = await real.finished(task)
    assert found["status"] == "succeeded", found
    assert head[0] in json.dumps(found["result"])
    outside = await real.submit(type="git_log", input={"repo_path": str(tmp_path)})
    refused = await real.finished(outside)
    assert (refused["status"], refused["error"]["code"]) == ("failed", "forbidden_path")
    code, out, err = await metamcp("audit", task, data=real.running.data)
    assert code == 0, out + err
    code, _, err = await metamcp("audit", "no-such-task", data=real.running.data)
    assert code == 4, err


async def test_big_inputs_and_outputs_go_through_the_object_store(shared_system: System) -> None:
    one = shared_system
    big = await one.submit(input={"tool": "big", "arguments": {"bytes": 300_000}})
    found = await one.finished(big)
    pointer = found["result"]
    assert (found["status"], pointer["kind"]) == ("succeeded", "pointer")
    download = await one.get(f"/api/tasks/{big}/result")
    assert len(download.content) == pointer["size"] > 300_000
    assert hashlib.sha256(download.content).hexdigest() == pointer["sha256"]
    text = "x" * 200_000
    echoed = await one.submit(input={"tool": "echo", "arguments": {"text": text}})
    found = await one.finished(echoed)
    assert found["status"] == "succeeded", found
    assert text in (await one.get(f"/api/tasks/{echoed}/result")).text
    log = await one.facts()
    assert max(len(record.data) for record in log) < 100_000


async def test_a_running_task_is_cancelled_at_once_and_a_waiting_one_never_runs(
    shared_system: System,
) -> None:
    one = shared_system
    hang: dict[str, Any] = {"tool": "hang", "arguments": {}}
    running = await one.submit(host=NARROW, input=hang)

    async def runs() -> bool:
        begun = any(call["task"] == running for call in one.calls())
        return (await one.task(running))["status"] == "running" and begun

    await until(runs)
    waiting = await one.submit(host=NARROW, input=hang)
    for task in (waiting, running):
        answer = await one.http.post(f"{one.url}/api/tasks/{task}/cancel")
        assert answer.status_code < 300
        assert (await one.finished(task))["status"] == "cancelled"
    assert (await one.http.post(f"{one.url}/api/tasks/{running}/cancel")).status_code == 404
    begun = {call["task"] for call in one.calls() if call["event"] == "start"}
    assert waiting not in begun


async def test_up_in_one_process_works_and_drains_on_ctrl_c(tmp_path: Path) -> None:
    data = tmp_path / "data"
    environ = {name: value for name, value in os.environ.items() if "METAMCP" not in name}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "up", "--in-process", "--port", "0"),
        *("--data", str(data)),
        cwd=ROOT,
        env=environ | {"METAMCP_REGISTRY_BUILTINS": "false"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"ready at" not in (line := await process.stdout.readline()):
            assert line, "it ended before it was ready"
    assert (await metamcp("tasks", "--json", data=data))[0] == 0
    code, out, err = await metamcp("submit", "nobody_does_this", "{}", "--wait", data=data)
    assert code == 1, out + err
    second = await metamcp("up", "--port", "0", "--data", str(data))
    assert second[0] != 0
    assert "in use" in second[2]
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        await process.communicate()
    assert process.returncode == 0
