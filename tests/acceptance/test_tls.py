"""The whole system with TLS everywhere: gateway, websocket, and NATS with certificates of both."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from services.cli.common import Exit
from services.process.tls import ClientFiles
from tests.support.system import system
from tests.support.tls import Authority, TlsNats, tls_block

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


async def metamcp(*arguments: str, **variables: str) -> str:
    """Run a command as a process of its own; the answer is what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | variables,
    )
    out, err = await process.communicate()
    assert process.returncode == Exit.OK, err.decode()
    return out.decode()


async def test_a_task_goes_through_with_nothing_in_the_clear(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    gateway, client = authority.issue("gateway"), authority.issue("client")
    block = tls_block(authority.issue("nats"), authority.ca)
    tls = {
        "METAMCP_NATS_CA": str(authority.ca),
        "METAMCP_NATS_TLS_CERT": str(client.cert),
        "METAMCP_NATS_TLS_KEY": str(client.key),
        "METAMCP_GATEWAY_TLS_CERT": str(gateway.cert),
        "METAMCP_GATEWAY_TLS_KEY": str(gateway.key),
    }
    async with (
        TlsNats(tmp_path / "nats", block, ClientFiles(authority.ca, *client)) as server,
        system(
            tmp_path,
            {"one": 1},
            nats=server.url,
            credentials=server.data / "credentials",
            trust=authority.trust(),
            real=False,
            **tls,
        ) as one,
    ):
        assert one.url.startswith("https://")
        async with one.socket() as socket:
            assert json.loads(await socket.recv())["op"] == "hello"
            follow = {"op": "subscribe", "ref": 1, "sub": "s", "to": "tasks", "after": "start"}
            await socket.send(json.dumps(follow))
            task = await one.submit("work", input={"ms": 1})
            seen: list[str] = []
            async with asyncio.timeout(60):
                while "job.done" not in seen:
                    frame = json.loads(await socket.recv())
                    events = frame.get("events", []) if frame["op"] == "events" else []
                    seen += [event["event"]["type"] for event in events]
        assert seen == ["task.created", "task.routed", "job.signed", "job.done"]
        data = ("--data", str(one.running.data), "--json")
        shown = json.loads(await metamcp("task", task, *data))
        assert shown["task"]["status"] == "succeeded"
        facts = await metamcp("replay", "--task", task, *data, **tls)
        assert [json.loads(line)["event"]["type"] for line in facts.splitlines()] == seen
