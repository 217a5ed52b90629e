"""The life of a Space: processes that die, limits, settings, and the kit as it is shipped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support import forked, space
from tests.support.space import KIT, ROOT, TYPES, Caller, Issuer, error
from tests.support.system import until

pytestmark = pytest.mark.long

ISSUER = Issuer("RS256")


# Processes that die.


@pytest.fixture(autouse=True)
def _processes_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is killed here is no fork."""
    monkeypatch.setattr(forked, "command", forked.started)


async def test_a_server_that_dies_in_a_call_leaves_it_unknown_and_comes_back(
    tmp_path: Path,
) -> None:
    async with space.start(tmp_path, ISSUER.jwks) as one:
        caller = Caller(one.url, ISSUER)
        answer = await caller.execute("t1", "die")
        assert error(answer) == (409, "outcome_unknown")
        assert "exited with 3" in answer.json()["error"]["message"]
        assert (await caller.execute("t1", "die")).content == answer.content
        health = await caller.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        refused = await caller.execute("t2", "work")
        assert error(refused) == (503, "starting")
        assert int(refused.headers["retry-after"]) >= 1
        await one.healthy()
        assert (await caller.execute("t2", "work")).status_code == 200
        assert [call["tool"] for call in one.calls()] == ["die", "work"]
        await caller.http.aclose()


async def test_the_end_of_a_server_is_noticed_although_its_child_holds_the_pipe(
    tmp_path: Path,
) -> None:
    script = f"sleep 1000 & exec {sys.executable} -m tests.support.recording_mcp"
    space.configure(tmp_path / "config", command=("sh", "-c", script))
    async with space.start(tmp_path, ISSUER.jwks) as one:
        caller = Caller(one.url, ISSUER)
        async with asyncio.timeout(30):
            assert error(await caller.execute("t1", "die")) == (409, "outcome_unknown")
        await one.healthy()
        assert (await caller.execute("t2", "work")).status_code == 200
        await caller.http.aclose()


async def test_a_kill_in_mid_call_is_never_run_again(tmp_path: Path) -> None:
    async with space.start(tmp_path, ISSUER.jwks) as one:
        caller = Caller(one.url, ISSUER)
        done = await caller.execute("done", "work")
        big = await caller.execute("big", "big", {"bytes": 3_000_000})
        cut = asyncio.create_task(caller.execute("cut", "hang"))
        await one.until_called(3)
        await one.kill()
        with pytest.raises(httpx.TransportError):
            await cut
    async with space.start(tmp_path, ISSUER.jwks) as two:
        caller.http.base_url = httpx.URL(two.url)
        for _ in range(2):
            assert error(await caller.execute("cut", "hang")) == (409, "outcome_unknown")
        assert (await caller.execute("done", "work")).content == done.content
        assert (await caller.execute("big", "big", {"bytes": 3_000_000})).content == big.content
        assert len(two.calls()) == 3, "nothing was called a second time"
        again = asyncio.create_task(caller.execute("cut", "hang", attempt=2))
        await two.until_called(4)
        again.cancel()
    await caller.http.aclose()


async def test_a_kill_at_any_moment_never_runs_a_permit_twice(tmp_path: Path) -> None:
    """Kills while a stream of tasks is under way; then every permit is sent again."""
    asked: dict[str, httpx.Response] = {}
    space.configure(tmp_path / "config")
    caller = Caller("http://127.0.0.1", ISSUER)
    for life in range(2):
        async with space.start(tmp_path, ISSUER.jwks) as one:
            caller.http.base_url = httpx.URL(one.url)

            async def stream(lane: int, life: int = life) -> None:
                for n in range(1000):
                    task = f"t-{life}-{lane}-{n}"
                    try:
                        asked[task] = await caller.execute(task, "work", {"ms": 5})
                    except httpx.TransportError:
                        return

            lanes = [asyncio.create_task(stream(lane)) for lane in range(4)]
            await one.until_called(20 * (life + 1))
            await one.kill()
            await asyncio.gather(*lanes)
    async with space.start(tmp_path, ISSUER.jwks) as last:
        caller.http.base_url = httpx.URL(last.url)
        for task in {call["task"] for call in last.calls()}:
            answer = await caller.execute(task, "work", {"ms": 5})
            if task in asked:
                assert answer.content == asked[task].content
            else:
                assert answer.status_code == 200 or error(answer) == (409, "outcome_unknown")
        called = [call["task"] for call in last.calls()]
        assert len(called) == len(set(called)), "each permit was run once"
    await caller.http.aclose()


async def test_a_gentle_stop_lets_a_run_end(tmp_path: Path) -> None:
    async with space.start(tmp_path, ISSUER.jwks) as one:
        caller = Caller(one.url, ISSUER)
        running = asyncio.create_task(caller.execute("t1", "work", {"ms": 1000}))
        await one.until_called(1)
        one.process.send_signal(signal.SIGTERM)
        assert (await running).status_code == 200
        await caller.http.aclose()
    assert "shutdown complete" in one.said()


@pytest.mark.slow
async def test_a_run_that_a_stop_has_cut_is_unknown(tmp_path: Path) -> None:
    async with space.start(tmp_path, ISSUER.jwks) as one:
        caller = Caller(one.url, ISSUER)
        running = asyncio.create_task(caller.execute("t1", "hang"))
        await one.until_called(1)
        await one.stop()
        assert error(await running) == (409, "outcome_unknown")
        assert one.calls("end")[0]["how"] == "cancelled"
    async with space.start(tmp_path, ISSUER.jwks) as two:
        caller.http.base_url = httpx.URL(two.url)
        assert error(await caller.execute("t1", "hang")) == (409, "outcome_unknown")
        assert len(two.calls()) == 1
        await caller.http.aclose()


# Limits and settings of their own.


async def test_more_than_the_slots_are_told_to_come_back(tmp_path: Path) -> None:
    more = {"METAMCP_MAX_CONCURRENCY": "1", "METAMCP_BEARER": "s3cret"}
    async with space.start(tmp_path, ISSUER.jwks, **more) as one:
        caller = Caller(one.url, ISSUER)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            caller.http.headers.pop("Authorization", None)
            caller.http.headers.update(headers)
            refused = await caller.execute("t0", "work")
            assert error(refused) == (401, "bad_permit")
            assert refused.headers["www-authenticate"] == "Bearer"
        assert one.calls() == []
        caller.http.headers["Authorization"] = "Bearer s3cret"
        assert (await caller.http.get("/mcp.json")).json()["limits"]["max_concurrency"] == 1
        first = asyncio.create_task(caller.execute("t1", "work", {"ms": 1500}))
        await one.until_called(1)
        busy = await caller.execute("t2", "work")
        assert error(busy) == (429, "busy")
        assert int(busy.headers["retry-after"]) >= 1
        joined = await caller.execute("t1", "work", {"ms": 1500}, attempt=2)
        assert joined.content == (await first).content, "who joins needs no slot"
        assert (await caller.execute("t2", "work")).status_code == 200
        assert "s3cret" not in one.said()
        await caller.http.aclose()


async def test_a_server_that_never_answers_is_starting(tmp_path: Path) -> None:
    space.configure(tmp_path / "config", command=("sleep", "1000"), start_s=0.3)
    async with space.start(tmp_path, ISSUER.jwks, ready=False) as one:
        caller = Caller(one.url, ISSUER)

        async def given_up() -> bool:
            return "did not answer within" in (await caller.http.get("/health")).text

        await until(given_up, seconds=10)
        answer = await caller.execute("t1", "work")
        assert error(answer) == (503, "starting")
        await caller.http.aclose()


async def test_a_server_without_a_tool_that_is_named_is_not_used(tmp_path: Path) -> None:
    types = {"work": [{"tool": "no_such_tool"}]}
    async with space.start(tmp_path, ISSUER.jwks, types=types, ready=False) as one:
        caller = Caller(one.url, ISSUER)

        async def noticed() -> bool:
            return "no_such_tool" in (await caller.http.get("/health")).text

        await until(noticed, seconds=20)
        assert error(await caller.execute("t1", "work")) == (503, "starting")
        await caller.http.aclose()


PROTOCOL_ERROR = """
import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp import MCPError
from mcp.types import CallToolResult, ListToolsResult, Tool

async def tools(context, params):
    return ListToolsResult(tools=[Tool(name="work", input_schema={"type": "object"})])

async def call(context, params):
    raise MCPError(-32050, "the moon is full")

server = Server("faulty", version="1", on_list_tools=tools, on_call_tool=call)

async def main():
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

anyio.run(main)
"""


async def test_an_error_of_the_protocol_is_an_internal_one(tmp_path: Path) -> None:
    script = tmp_path / "faulty.py"
    script.write_text(PROTOCOL_ERROR)
    types = {"work": TYPES["work"]}
    space.configure(tmp_path / "config", types, command=(sys.executable, str(script)))
    async with space.start(tmp_path, ISSUER.jwks) as one:
        caller = Caller(one.url, ISSUER)
        answer = await caller.execute("t1", "work")
        assert error(answer) == (500, "internal")
        assert "the moon is full" in answer.json()["error"]["message"]
        await caller.http.aclose()


@contextlib.asynccontextmanager
async def publisher(status: int) -> AsyncIterator[str]:
    """Serves the issuer's keys; the answer is the URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(ISSUER.jwks).encode()
        head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"


async def test_keys_come_from_a_url(tmp_path: Path) -> None:
    async with publisher(200) as url, space.start(tmp_path, None, METAMCP_JWKS_URL=url) as one:
        caller = Caller(one.url, ISSUER)
        assert (await caller.execute("t1", "work")).status_code == 200
        assert (await caller.http.get("/health")).json()["status"] == "healthy"
        caller.issuer = Issuer(kid="unknown")
        assert error(await caller.execute("t2", "work")) == (401, "bad_permit")
        await caller.http.aclose()


async def test_keys_that_can_not_be_had_are_no_verdict(tmp_path: Path) -> None:
    async with publisher(502) as url, space.start(tmp_path, None, METAMCP_JWKS_URL=url) as one:
        caller = Caller(one.url, ISSUER)
        refused = await caller.execute("t1", "work")
        assert error(refused) == (503, "starting")
        assert int(refused.headers["retry-after"]) >= 1
        health = (await caller.http.get("/health")).json()
        assert (health["status"], "502" in health["reason"]) == ("warning", True)
        await caller.http.aclose()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("METAMCP_OWNER", "", "METAMCP_OWNER is not set"),
        ("METAMCP_PUBLIC_URL", "", "METAMCP_PUBLIC_URL is not set"),
        ("METAMCP_JWKS", "", "METAMCP_JWKS_URL"),
        ("METAMCP_STATE", "", "METAMCP_STATE is not set"),
        ("METAMCP_MAX_BODY", "many", "METAMCP_MAX_BODY"),
        ("METAMCP_CONFIG", "/nowhere", "server.toml"),
    ],
)
async def test_what_is_missing_stops_the_start_with_a_sentence(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    space.configure(tmp_path / "config")
    one = space.launch(tmp_path, ISSUER.jwks, **{name: value})
    assert await asyncio.to_thread(one.process.wait, 20) == 1
    (line,) = one.said().splitlines()
    assert line.startswith("the Space can't start: ")
    assert words in line


async def test_a_folder_in_use_stops_the_start(tmp_path: Path) -> None:
    async with space.start(tmp_path, ISSUER.jwks):
        second = space.launch(tmp_path, ISSUER.jwks)
        assert await asyncio.to_thread(second.process.wait, 30) == 1
        assert "another process uses the folder" in second.said()


# As it is shipped.


@pytest.mark.acceptance
@pytest.mark.timeout(300)
async def test_the_shipped_space_does_its_examples(tmp_path: Path) -> None:
    pinned = ROOT / "services" / "registry" / "builtin"
    program = tmp_path / "bin" / "mcp-server-tree-sitter"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nexec {sys.executable} {pinned / 'pinned.py'} --home {tmp_path / 'servers'}"
        f" --pins {pinned / 'constraints' / 'tree-sitter.txt'} -- mcp-server-tree-sitter\n"
    )
    program.chmod(0o755)
    folder = tmp_path / "space"
    shutil.copytree(KIT, folder / "config", ignore=shutil.ignore_patterns("__pycache__"))
    places = {"PATH": f"{os.environ['PATH']}:{program.parent}", "HOME": os.environ["HOME"]}
    async with space.start(folder, ISSUER.jwks, ready=False, **places) as one:

        async def ready() -> bool:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{one.url}/health")).status_code == 200

        await until(ready, seconds=240, every=0.2)
        caller = Caller(one.url, ISSUER)
        types = (await caller.http.get("/mcp.json")).json()["task_types"]
        found = {
            name: (await caller.execute(f"t-{name}", name, described["example"])).json()
            for name, described in types.items()
        }
        assert {answer["is_error"] for answer in found.values()} == {False}
        analysis = found["code_analysis"]["structured"]
        assert set(analysis) == {"symbols", "complexity", "dependencies"}
        assert analysis["symbols"]["result"]["functions"][0]["name"] == "hello"
        assert "hello" in json.dumps(found["ast_parsing"])
        outside = {"files": {"a.py": "x = 1"}, "path": "../../../../../../etc/hostname"}
        answer = await caller.execute("outside", "code_analysis", outside)
        assert answer.json()["is_error"] is True
        assert list((one.state / "work").iterdir()) == [], "no workspace is left"
        await caller.http.aclose()
