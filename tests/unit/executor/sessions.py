"""Sessions of hosts with a real server behind them, and what that server wrote down."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.host import Host, Noop, Stdio
from contracts.task import TaskSpec
from services.executor.hosts import open_session
from services.executor.hosts.base import Call, HostError, HostSession, Opening
from services.executor.plan import Known, prepare
from services.executor.workspace import Workspace
from tests.unit.executor.world import moment, routed, spec

ROOT = Path(__file__).parents[3]
STDIO, NOOP = "stdio", "noop"


class Bench:
    """Sessions of one kind, and the calls made through them."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self.record = folder / "calls.jsonl"
        self.progress: list[tuple[float, float | None, str]] = []
        self.sessions: list[HostSession] = []
        self.ours = True

    def host(self, **fields: Any) -> Host:
        recorder = Stdio(
            sys.executable,
            ("-m", "tests.support.recording_mcp"),
            env={"RECORDING_FILE": str(self.record)},
            cwd=str(ROOT),
        )
        endpoint = recorder if self.kind == STDIO else Noop(delay_ms=50)
        return Host(**{"id": "h1", "name": "h1", "endpoint": endpoint} | fields)

    def open(self, **fields: Any) -> HostSession:
        session = open_session(Opening(self.host(**fields), self.folder / "hosts", True))
        self.sessions.append(session)
        return session

    def call(self, tool: str = "echo", host: Host | None = None, **arguments: Any) -> Call:
        data = {"tool": tool, "arguments": arguments}
        return self.task(host or self.host(), "mcp.call", data)

    def task(self, host: Host, type_: str, data: dict[str, Any]) -> Call:
        wanted = TaskSpec(type=type_, input=msgspec.Raw(msgspec.json.encode(data)))
        plan = prepare(Known(1, host), routed("t1", spec()), wanted, bytes(wanted.input), "permit")

        async def on_progress(progress: float, total: float | None, message: str) -> None:
            self.progress.append((progress, total, message))

        async def still_ours() -> bool:
            return self.ours

        return Call(plan, Workspace(self.folder / "w", "alice", "t1", 1), on_progress, still_ours)

    def written(self, event: str = "start") -> list[dict[str, Any]]:
        if not self.record.exists():
            return []
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def until_written(self, count: int, event: str = "start") -> list[dict[str, Any]]:
        """Wait until the server has written this down; it is another process, so look again."""
        async with asyncio.timeout(15):
            while len(found := self.written(event)) < count:
                await moment()
        return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid: int) -> bool:
    """Whether it is dead, or only waits for whoever inherited it to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


async def failure(session: HostSession, call: Call) -> HostError:
    with pytest.raises(HostError) as caught:
        await session.call(call)
    return caught.value


async def closing(bench: Bench) -> None:
    for session in bench.sessions:
        await session.close()
