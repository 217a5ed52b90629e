"""Sessions of hosts with a real server behind them, and what that server wrote down."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.host import COMMAND, Execute, Host, Noop, Stdio, StreamableHttp, TaskBinding
from contracts.task import TaskSpec
from services.executor.attempt.call import Call, HostError, HostSession, Opening
from services.executor.attempt.plan import KnownHost, prepare
from services.executor.attempt.workspace import Workspace
from services.executor.hosts.kinds import open_session
from services.executor.service import WORKERS
from services.outside.apart.pool import WorkerPool
from tests.support import forked, recording_api, space
from tests.support.apis import endpoint as api_endpoint
from tests.support.http_mcp import HttpServer
from tests.unit.executor.world import moment, routed, spec

ROOT = Path(__file__).parents[3]
RECORDER = (sys.executable, "-m", "tests.support.recording_mcp")
STDIO, NOOP = "stdio", "noop"
HTTP, HTTP_LEGACY = "http, 2026 era", "http, 2025 era"
SERVED = (HTTP, HTTP_LEGACY)
EXECUTE = "execute"
APART, APART_EXECUTE = "http, in a worker", "execute, in a worker"
"""Hosts of a user, whose sessions are held in a process apart."""
OPENAPI, APART_OPENAPI = "openapi", "openapi, in a worker"
SERVED = (*SERVED, APART)
EXECUTED = (EXECUTE, APART_EXECUTE)
TYPES = {name: TaskBinding() for name in space.TYPES}


class Bench:
    """Sessions of one kind, and the calls made through them."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self.record = folder / "calls.jsonl"
        self.progress: list[tuple[float, float | None, str]] = []
        self.sessions: list[HostSession] = []
        self.spool = folder / "spool"
        self.server = HttpServer(self.record, {})
        self.ours = True
        self.real = False
        """The server is a process that was started, and not forked for the test."""
        self.issuer = space.Issuer()
        self.running = contextlib.AsyncExitStack()
        self.space: space.Space | None = None
        self._permits = itertools.count(1)
        self.api = ""
        """Where the API is, if it is one."""
        apart = kind in (APART, APART_EXECUTE, APART_OPENAPI)
        self.owned = {"owner": "alice", "source": COMMAND} if apart else {}
        self.workers = WorkerPool(WORKERS, self.spool) if apart else None

    async def begin(self, **variables: str) -> None:
        """Start the server, if the executor does not; `variables` are its environment."""
        if self.kind in SERVED:
            self.server = HttpServer(self.record, variables)
            await self.server.start()
        elif self.kind in EXECUTED:
            starting = space.start(self.folder, self.issuer.jwks, **variables)
            self.space = await self.running.enter_async_context(starting)
        elif self.kind in (OPENAPI, APART_OPENAPI):
            starting_api = recording_api.recording(self.record)
            self.api = await self.running.enter_async_context(starting_api)

    def host(self, **fields: Any) -> Host:
        if self.space is not None:
            known = {"endpoint": Execute(self.space.url), "replay": "always", "task_types": TYPES}
            return Host(**{"id": "h1", "name": "h1"} | known | self.owned | fields)
        if self.api:
            known = api_endpoint(self.api, recording_api.DOCUMENT)
            return Host(**{"id": "h1", "name": "h1"} | known | self.owned | fields)
        if self.kind in SERVED:
            era = "2025-11-25" if self.kind == HTTP_LEGACY else "2026-07-28"
            endpoint = StreamableHttp(self.server.url, bearer_from=fields.pop("bearer_from", None))
            known = {"endpoint": endpoint, "protocol": era}
            return Host(**{"id": "h1", "name": "h1"} | known | self.owned | fields)
        start = RECORDER if self.real else forked.command(*RECORDER[2:])
        recorder = Stdio(
            start[0], start[1:], env={"RECORDING_FILE": str(self.record)}, cwd=str(ROOT)
        )
        endpoint = recorder if self.kind == STDIO else Noop(delay_ms=50)
        return Host(**{"id": "h1", "name": "h1", "endpoint": endpoint} | fields)

    def open(self, *, bearer: str | None = None, **fields: Any) -> HostSession:
        folder = self.folder / "hosts"
        opening = Opening(
            self.host(**fields),
            folder,
            allow_noop=True,
            allow_private=True,
            spool=self.spool,
            bearer=bearer,
            workers=self.workers,
        )
        session = open_session(opening)
        self.sessions.append(session)
        return session

    def call(self, tool: str = "echo", host: Host | None = None, **arguments: Any) -> Call:
        if self.space is not None:
            return self._executed(tool, arguments)
        if self.api:
            arguments = {"body": arguments}
        data = {"tool": tool, "arguments": arguments}
        return self.task(host or self.host(), "mcp.call", data)

    def _executed(self, type_: str, data: dict[str, Any]) -> Call:
        """A call with a permit of its own: one that is used again gets the first answer."""
        # The recorder's own defaults are not known to the Space, which asks for what it names.
        data = {"text": ""} | data if type_ == "echo" else data
        task, raw = f"t{next(self._permits)}", msgspec.json.encode(data)
        claims = self.issuer.claims(raw, task=task, user="alice", type=type_)
        return self.task(self.host(), type_, data, task, self.issuer.sign(claims))

    def task(
        self,
        host: Host,
        type_: str,
        data: dict[str, Any],
        task: str = "t1",
        permit: str = "permit",
    ) -> Call:
        wanted = TaskSpec(type=type_, input=msgspec.Raw(msgspec.json.encode(data)))
        plan = prepare(
            KnownHost(1, host), routed(task, spec()), wanted, bytes(wanted.input), permit
        )

        async def on_progress(progress: float, total: float | None, message: str) -> None:
            self.progress.append((progress, total, message))

        async def still_ours() -> bool:
            return self.ours

        return Call(plan, Workspace(self.folder / "w", "alice", task, 1), on_progress, still_ours)

    def written(self, event: str = "start") -> list[dict[str, Any]]:
        if not self.record.exists():
            return []
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    def left(self) -> list[Path]:
        """Files of big answers."""
        return list(self.spool.iterdir()) if self.spool.exists() else []

    async def until_written(self, count: int, event: str = "start") -> list[dict[str, Any]]:
        """Wait until the server has written this down; it is another process, so look again."""
        async with asyncio.timeout(30):
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
    except (FileNotFoundError, ProcessLookupError):
        return True


async def failure(session: HostSession, call: Call) -> HostError:
    with pytest.raises(HostError) as caught:
        await session.call(call)
    return caught.value


async def closing(bench: Bench) -> None:
    for session in bench.sessions:
        await session.close()
    if bench.workers is not None:
        await bench.workers.close()
    if bench.server.url:
        await bench.server.kill()
    await bench.running.aclose()
