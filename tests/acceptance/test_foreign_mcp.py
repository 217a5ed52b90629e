"""Clients of others at `/mcp`, in installations of their own: FastMCP's, SDKs', the Inspector's.

More of them with FOREIGN_CLIENTS=all, as `make clients` has it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from contracts.facts import JobDone, Outcome, TaskCreated
from services.gateway.mcp import names, own_list
from tests.support.foreign import install, many_mcp
from tests.support.foreign.program import Ended, run
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
ROOT = Path(__file__).parents[2]
PAGE = "http://localhost:6274"
"""Where the Inspector's page is."""
ALL = os.environ.get("FOREIGN_CLIENTS") == "all"
PINS = ("fastmcp", *(("mcp-1", "fastmcp-2", "fastmcp-3", "fastmcp-4") if ALL else ()))
NODE_AGENTS = (("2", "auto"), *((("1",), ("2", "legacy")) if ALL else ()))
ERAS = ("legacy", "modern")
MANY = """
[hosts.zoo]
name = "Many tools"
endpoint.kind = "stdio"
endpoint.command = "{python}"
endpoint.args = ["-m", "tests.support.foreign.many_mcp"]
endpoint.cwd = "{root}"
"""
OWN = {tool.name for tool in own_list.OWN}
ZOO = {
    name if re.fullmatch("[A-Za-z0-9_-]{1,64}", name) else names.alias("zoo", tool, name)
    for tool in many_mcp.NAMES
    for name in [f"zoo__{tool}"]
}
marks = itertools.count(100_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """One orchestrator for all of them, whose hosts are there."""
    folder = tmp_path_factory.mktemp("foreign")
    extra = folder / "zoo.toml"
    extra.write_text(MANY.format(python=sys.executable, root=ROOT))
    variables = {"METAMCP_GATEWAY_ALLOWED_ORIGINS": PAGE}
    async with system(folder, {"one": 16}, extra=extra, real=False, **variables) as running:

        async def healthy() -> bool:
            hosts = (await running.get("/api/mcps")).json()["data"]
            return [host["health"]["status"] for host in hosts] == ["healthy"] * 2

        await until(healthy)
        yield running


@pytest.fixture(scope="module")
def node() -> install.Node:
    """Node with the packages of npm."""
    try:
        return install.node()
    except install.NotToBeHad as error:
        pytest.skip(str(error))


def python(pins: str) -> Path:
    try:
        return install.python(f"{pins}.txt")
    except install.NotToBeHad as error:
        pytest.skip(str(error))


def config(one: System, token: str | None = None) -> dict[str, Any]:
    """The configuration that docs/mcp.md shows, for this orchestrator."""
    shown = re.search(r"```json\n(.*?)```", (ROOT / "docs" / "mcp.md").read_text(), re.DOTALL)
    assert shown is not None
    text = shown[1].replace("http://127.0.0.1:8080", one.url)
    assert one.url in text
    found: dict[str, Any] = json.loads(text.replace("TOKEN", token or one.running.token))
    return found


async def alone(folder: Path, *command: str | Path, **variables: str) -> Ended:
    """Run a program with nothing of this environment but its path."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    return await run(*command, cwd=folder, **environment)


async def agent(one: System, folder: Path, *command: str | Path) -> tuple[int, Any]:
    """Run an agent; the answer is its mark, which its tasks bear, and what it tells."""
    mark = next(marks)
    given = {"AGENT_CONFIG": json.dumps(config(one)), "AGENT_MARK": str(mark)}
    return mark, (await alone(folder, *command, **given)).json()


def check(mark: int, told: dict[str, Any]) -> None:
    """What an agent has to be told, whatever client it uses."""
    text = ["text"]
    assert told["echo"] == {
        "text": "hé",
        "kinds": text,
        "structured": {"result": "hé"},
        "is_error": False,
    }
    assert told["after"]["text"] == "after"
    assert told["sum"]["structured"] == {"sum": 3}
    assert [answer["text"] for answer in told["odd"]] == ["größe", "a.b/c-d"]
    kinds = ["text", "image", "audio", "resource_link", "resource", "resource"]
    assert told["media"]["kinds"] == kinds
    assert told["big"]["kinds"] == ["text", "resource_link"]
    own = told["own"]["structured"]
    assert (own["id"], own["status"], own["host"]) == (f"own-{mark}", "succeeded", "one")
    assert {host["id"] for host in told["hosts"]["structured"]["result"]} == {"one", "zoo"}
    assert (told["failed"]["is_error"], told["failed"]["kinds"]) == (True, text)
    assert "no" in told["failed"]["text"]
    assert "there is no tool 'one__nothing'" in told["unknown"]
    # All of them hold this against the tool's output schema, which they have listed.
    assert told["early"]["is_error"] is False
    assert told["early"]["structured"].keys() == {"task", "status", "message"}
    assert "timed out" in told["timeout"].lower()
    step, total, message = told["cancelled"]["progress"]
    assert (total, message) == (mark, f"step {int(step)}")
    named = told["named"]["structured"]
    assert (named["id"], named["status"]) == (f"named-{mark}", "succeeded")


async def outcomes(one: System, given: str) -> set[Outcome]:
    """How the calls with this in their input have ended; waits until all calls of all have."""
    created: dict[str, TaskCreated] = {}
    ended: dict[str, Outcome] = {}

    async def all_over() -> bool:
        for record in await one.facts():
            match record.fact:
                case TaskCreated() as fact:
                    created[fact.task] = fact
                case JobDone(task=task, outcome=outcome):
                    ended[task] = outcome
        return created.keys() == ended.keys()

    await until(all_over)
    return {
        ended[task] for task, fact in created.items() if given.encode() in bytes(fact.spec.input)
    }


async def check_what_was_left(one: System, mark: int) -> None:
    """Calls that the agent cancelled or gave up go on until somebody ends their tasks."""
    log = await one.facts()
    over = {record.fact.task for record in log if isinstance(record.fact, JobDone)}
    left = (f'"steps":{mark}'.encode(), b'"tool":"hang"')
    for fact in (record.fact for record in log if isinstance(record.fact, TaskCreated)):
        if fact.task in over or not any(part in bytes(fact.spec.input) for part in left):
            continue
        assert not (await one.task(fact.task)).get("cancel_requested")
        await one.http.post(f"{one.url}/api/tasks/{fact.task}/cancel")
    assert await outcomes(one, '"tool":"hang"') == {Outcome.CANCELLED}


@pytest.mark.parametrize("pins", PINS)
async def test_a_client_in_python(one: System, tmp_path: Path, pins: str) -> None:
    script = "mcp_1_agent.py" if pins == "mcp-1" else "fastmcp_agent.py"
    mark, told = await agent(one, tmp_path, python(pins), install.HERE / script)
    check(mark, told)
    # FastMCP 2 never asks for a second page.
    wanted = OWN | {"one__echo"} if pins == "fastmcp-2" else OWN | ZOO
    assert set(told["tools"]) > wanted
    assert "no" in told.get("raised", "no")
    assert "no error" not in told["stranger"]
    assert f"=={told['version']} " in (install.HERE / f"{pins}.txt").read_text()
    await check_what_was_left(one, mark)


@pytest.mark.parametrize("arguments", NODE_AGENTS, ids=" ".join)
async def test_a_client_in_typescript(
    one: System, tmp_path: Path, node: install.Node, arguments: tuple[str, ...]
) -> None:
    mark, told = await agent(one, tmp_path, *node.script("sdk_agent.mjs"), *arguments)
    check(mark, told)
    assert set(told["tools"]) > OWN | ZOO
    assert "401" in told["stranger"]
    await check_what_was_left(one, mark)


async def test_fastmcp_follows_our_tasks_by_their_handles(one: System, tmp_path: Path) -> None:
    script = install.HERE / "fastmcp_tasks_agent.py"
    mark, told = await agent(one, tmp_path, python("fastmcp"), script)
    handle = told["handle"]
    assert handle["status"] == "working"
    assert (await one.task(handle["task_id"]))["status"] == "succeeded"
    assert told["status"]["task_id"] == told["ended"]["task_id"] == handle["task_id"]
    assert (told["status"]["status"], told["ended"]["status"]) == ("working", "completed")
    assert told["ended"]["result"]["structuredContent"] == told["result"]
    assert (told["result"]["task"], told["polled"]) == ("t", {"result": "hi"})
    assert told["cancelled"]["status"] == "cancelled"
    assert (await one.task(told["cancelled"]["task_id"]))["status"] == "cancelled"
    assert "was cancelled" in told["cancelled_result"]
    assert told["failed"].startswith("ToolError")
    assert "no" in told["failed"]
    assert "did not run as a task" in told["own"]
    assert told["left"].startswith("TimeoutError")
    assert (await one.finished(f"left-{mark}"))["status"] == "succeeded"
    assert told["kept"] == told["again"] == f"kept-{mark}"
    assert told["again_ended"]["status"] == "completed"
    assert told["again_ended"]["result"]["structuredContent"]["task"] == "t"


class Inspector:
    """The command line of the MCP Inspector."""

    def __init__(self, one: System, node: install.Node, folder: Path, era: str) -> None:
        self._one = one
        self._program = node.program("mcp-inspector")
        self._folder = folder
        self._era = era

    async def __call__(self, *arguments: str, token: str | None = None) -> Ended:
        """Ask the orchestrator for one method."""
        bearer = f"Authorization: Bearer {token or self._one.running.token}"
        where = [f"{self._one.url}/mcp", "--transport", "http", "--header", bearer]
        return await alone(
            self._folder,
            *(*self._program, "--cli", *where, "--protocol-era", self._era, "--quiet"),
            *("--stored-auth-only", "--method", *arguments),
        )

    async def call(self, tool: str, **arguments: Any) -> Any:
        """What a tool answers."""
        given = ("--tool-name", tool, "--tool-args-json", json.dumps(arguments))
        return (await self("tools/call", *given)).json()


@pytest.mark.parametrize("era", ERAS)
async def test_the_command_line_of_the_inspector(
    one: System, tmp_path: Path, node: install.Node, era: str
) -> None:
    inspector = Inspector(one, node, tmp_path, era)
    listed = await inspector("tools/list", "--strict")
    assert listed.err == "", "every tool's schema is portable"
    assert {tool["name"] for tool in listed.json()["tools"]} > OWN | ZOO
    echoed = await inspector.call("one__echo", text="hé")
    assert (echoed["content"], echoed["isError"]) == ([{"type": "text", "text": "hé"}], False)
    # It calls what is listed alone.
    odd = await inspector("tools/call", "--tool-name", names.alias("zoo", "größe", "zoo__größe"))
    assert odd.json()["content"][0]["text"] == "größe"
    added = await inspector("tools/call", "--tool-name", "zoo__sum", "--tool-arg", "a=1", "b=2")
    assert added.json()["structuredContent"] == {"sum": 3}
    task = f"inspector-{next(marks)}"
    named = ("--tool-arg", "text=x", "--tool-metadata", f"io.metamcp/task={task}")
    (await inspector("tools/call", "--tool-name", "one__echo", *named)).json()
    assert (await one.task(task))["status"] == "succeeded"
    work = await inspector.call("submit_task", type="work", input={"ms": 1}, wait_s=30)
    assert work["structuredContent"]["status"] == "succeeded"
    failed = await inspector("tools/call", "--tool-name", "one__fail")
    assert failed.status == 5
    assert json.loads(failed.out)["isError"] is True
    stranger = await inspector("tools/list", token="wrong")
    assert stranger.status == 3
    assert json.loads(stranger.err)["error"]["code"] == "auth_required"


async def test_the_inspector_reads_the_configuration_that_is_shown(
    one: System, tmp_path: Path, node: install.Node
) -> None:
    (tmp_path / "mcp.json").write_text(json.dumps(config(one)))
    where = ("--cli", "--config", "mcp.json", "--server", "metamcp", "--quiet")
    call = ("--method", "tools/call", "--tool-name", "list_hosts")
    # The desktop's store of secrets is not for tests.
    memory = {"MCP_INSPECTOR_SECRET_STORE": "memory"}
    hosts = (await alone(tmp_path, *node.program("mcp-inspector"), *where, *call, **memory)).json()
    assert {host["id"] for host in hosts["structuredContent"]["result"]} == {"one", "zoo"}


async def test_the_versions_that_are_tried_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "mcp.md").read_text()
    made = "".join(pins.read_text().partition("with:")[0] for pins in install.HERE.glob("*.txt"))
    packages = json.loads((install.HERE / "package.json").read_text())["dependencies"]
    versions = {*re.findall(r"==([0-9.]+)", made), *packages.values()}
    assert {version for version in versions if version not in page} == set()
    assert len(versions) > 6


async def test_a_page_of_an_allowed_origin_may_use_it(one: System) -> None:
    asked = "authorization,content-type,mcp-protocol-version,mcp-session-id,last-event-id,mcp-name"
    headers = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    async with httpx.AsyncClient(trust_env=False) as page:
        preflight = await page.options(f"{one.url}/mcp", headers=headers)
        refused = await page.post(f"{one.url}/mcp", headers={"Origin": PAGE})
    assert preflight.status_code in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == PAGE
    allowed = preflight.headers["access-control-allow-headers"].lower().replace(" ", "")
    assert set(asked.split(",")) <= set(allowed.split(","))
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)
    exposed = refused.headers["access-control-expose-headers"].lower()
    assert "mcp-session-id" in exposed
    assert "www-authenticate" in exposed


async def test_a_page_of_another_origin_is_refused(one: System) -> None:
    foreign = {"Origin": "http://evil.example", "Accept": "application/json, text/event-stream"}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await one.http.post(f"{one.url}/mcp", headers=foreign, json=ping)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
