"""Bad input of every kind: a clear answer, nothing lost, and the next task runs as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.system import System, system

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]
ROUGH = "rough"
"""The host of the shared orchestrator whose calls may end badly."""


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": tool, "arguments": arguments}


async def refused(one: System, status: int, **body: Any) -> str:
    answer = await one.http.post(f"{one.url}/api/tasks", json=body)
    found = answer.json()
    assert (answer.status_code, found["success"]) == (status, False), answer.text
    assert found["error"]["code"] == status
    return str(found["error"]["message"])


async def test_the_api_says_what_is_wrong(shared_system: System) -> None:
    one = shared_system
    good = {"type": "mcp.call", "input": call("echo", text="x")}
    assert "a.b" in await refused(one, 400, **good, id="a.b")
    assert "inputs" in await refused(one, 400, type="mcp.call", inputs={})
    assert "object" in await refused(one, 400, type="mcp.call", input=[1])
    assert "blobs" in await refused(one, 413, type="mcp.call", input={"x": "y" * 2 * 2**20})
    first = await one.http.post(f"{one.url}/api/tasks", json=good | {"id": "same"})
    again = await one.http.post(f"{one.url}/api/tasks", json=good | {"id": "same"})
    assert first.json()["data"]["id"] == again.json()["data"]["id"] == "same"
    other = good | {"input": call("echo", text="other")}
    assert "same" in await refused(one, 409, **other, id="same")
    async with httpx.AsyncClient(headers={"Authorization": "Bearer wrong"}) as stranger:
        assert (await stranger.get(f"{one.url}/api/tasks")).status_code == 401
    assert (await one.get("/api/tasks/nobody-knows-it")).status_code == 404
    assert (await one.finished("same"))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"type": "nobody_does_this"}, "rejected", "no_host"),
        ({"input": call("fail")}, "failed", "tool"),
        ({"input": call("no_such_tool")}, "failed", "bad_input"),
        ({"input": {"arguments": {}}}, "failed", "bad_input"),
        ({"input": call("hang"), "timeout_s": 1, "max_attempts": 1}, "failed", None),
        ({"input": call("die"), "max_attempts": 1}, "failed", None),
    ],
    ids=[
        "unknown type",
        "tool error",
        "unknown tool",
        "no tool",
        "never answers",
        "dies in the call",
    ],
)
async def test_a_task_that_cannot_work_ends_with_the_reason(
    shared_system: System, body: dict[str, Any], status: str, code: str | None
) -> None:
    one = shared_system
    pinned = {"host": ROUGH} if "input" in body else {}
    task = await one.submit(**{"type": "mcp.call"} | pinned | body)
    found = await one.finished(task)
    assert found["status"] == status, found
    assert found["error"]["message"]
    if code:
        assert found["error"]["code"] == code
    after = await one.submit(host=ROUGH, input=call("echo", text="next"))
    assert (await one.finished(after))["status"] == "succeeded"


async def test_malformed_frames_get_an_error_and_the_socket_lives(shared_system: System) -> None:
    async with shared_system.socket() as socket:
        assert json.loads(await socket.recv())["op"] == "hello"
        for bad in ("", "{", "[]", '{"op":"dance","ref":1}', '{"op":"submit","ref":1}'):
            await socket.send(bad)
            frame = json.loads(await socket.recv())
            assert (frame["op"], bool(frame["message"])) == ("error", True), bad
        await socket.send('{"op":"subscribe","ref":2,"sub":"a","to":"tasks"}')
        assert json.loads(await socket.recv())["op"] == "ack"


HOSTS = """
[hosts.exits]
name = "Exits at once"
endpoint = {{ kind = "stdio", command = "{false}" }}
limits = {{ start_s = 3.0 }}

[hosts.mute]
name = "Never answers"
endpoint = {{ kind = "stdio", command = "{sleep}", args = ["1000"] }}
limits = {{ start_s = 3.0 }}

[hosts.missing]
name = "Is not there"
endpoint = {{ kind = "stdio", command = "no-such-command-anywhere" }}
limits = {{ start_s = 3.0 }}
"""


async def test_hosts_that_do_not_work_are_shown_with_the_reason_and_harm_nobody(
    tmp_path: Path,
) -> None:
    extra = tmp_path / "sick.toml"
    extra.write_text(HOSTS.format(false=shutil.which("false"), sleep=shutil.which("sleep")))
    async with system(tmp_path, {"one": 8}, extra=extra, real=False) as one:
        task = await one.submit(input=call("echo", text="x"))
        assert (await one.finished(task))["status"] == "succeeded"
        pinned = await one.submit(input=call("echo"), host="exits", deadline_s=2)
        assert (await one.finished(pinned))["status"] in ("timed_out", "failed")
        hosts = {host["id"]: host for host in (await one.get("/api/mcps")).json()["data"]}
        assert hosts["one"]["health"]["status"] == "healthy"
        for name in ("exits", "mute", "missing"):
            assert hosts[name]["health"]["status"] in ("unhealthy", "unknown", "warning"), name
