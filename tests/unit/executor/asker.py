"""Sessions with the asking server, over every connection, and the answers of people."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.asks import (
    AnswerAction,
    QuestionKind,
    TaskAnswered,
    TaskAsked,
)
from contracts.facts import FailureKind
from contracts.host import COMMAND, Host, Stdio, StreamableHttp, Tool
from contracts.task import TaskSpec
from services.executor.attempt.call import Call, HostError, HostSession, Opening
from services.executor.attempt.inquiry import HostQuestion, HostReply
from services.executor.attempt.plan import KnownHost, prepare
from services.executor.attempt.workspace import Workspace
from services.executor.hosts.kinds import open_session
from services.executor.service import WORKERS
from services.outside.apart.pool import WorkerPool
from tests.support import asking_mcp
from tests.support.forked import Forked, command
from tests.unit.executor.world import routed, spec

STDIO, HTTP, APART = "stdio", "http", "http, in a worker"
MODERN, OLDER = "2026-07-28", "2025-11-25"
TOOLS = tuple(Tool(name, read_only=True) for name in asking_mcp.HARMLESS)
TOOLS += tuple(Tool(name) for name in asking_mcp.CAREFUL)


class Asker:
    """Sessions with the asking server."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder, kind
        self.record = folder / "calls.jsonl"
        self.workers = WorkerPool(WORKERS, folder / "spool") if kind == APART else None
        self.sessions: list[HostSession] = []
        self.url = ""

    def host(self, era: str = MODERN, **fields: Any) -> Host:
        program, *words = command("tests.support.asking_mcp")
        endpoint: Any = Stdio(program, tuple(words), env={asking_mcp.FILE: str(self.record)})
        if self.url:
            endpoint = StreamableHttp(self.url)
        owned = {"owner": "alice", "source": COMMAND} if self.workers else {}
        known = {"endpoint": endpoint, "protocol": era, "tools": TOOLS}
        return Host(**{"id": "h1", "name": "h1"} | owned | known | fields)

    def open(self, host: Host | None = None) -> HostSession:
        opening = Opening(
            host or self.host(),
            self.folder / "hosts",
            allow_private=True,
            spool=self.folder / "spool",
            workers=self.workers,
        )
        self.sessions.append(open_session(opening))
        return self.sessions[-1]

    def call(
        self, tool: str, host: Host | None = None, type_: str = "mcp.call", **words: Any
    ) -> Call:
        raw = msgspec.json.encode({"tool": tool, "arguments": words} if tool else {})
        plan = prepare(
            KnownHost(1, host or self.host()),
            *(routed("t1", spec()), TaskSpec(type=type_), raw, "permit"),
        )

        async def on_progress(progress: float, total: float | None, message: str) -> None:
            pass

        async def still_ours() -> bool:
            return True

        return Call(plan, Workspace(self.folder / "w", "alice", "t1", 1), on_progress, still_ours)

    def written(self, event: str = "call") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]


@contextlib.asynccontextmanager
async def asking(kind: str, folder: Path) -> AsyncIterator[Asker]:
    one = Asker(folder, kind)
    async with contextlib.AsyncExitStack() as stack:
        if one.kind != STDIO:
            environment = {**os.environ, asking_mcp.FILE: str(one.record), "PORT": "0"}
            server = Forked("tests.support.asking_mcp", environment)
            stack.push_async_callback(server.kill)
            one.url = await server.line()
        yield one
        for session in one.sessions:
            await session.close()
        if one.workers is not None:
            await one.workers.close()


async def refusal(session: HostSession, call: Call) -> HostError:
    with pytest.raises(HostError) as caught:
        await session.call(call)
    return caught.value


async def asked(session: HostSession, call: Call) -> HostQuestion:
    error = await refusal(session, call)
    assert (error.kind, error.called, error.callers) == (FailureKind.INPUT_REQUIRED, True, True)
    assert error.question is not None
    return error.question


def answer(question: HostQuestion, action: str = "accept", **content: Any) -> HostReply:
    """What the log says of it later."""
    told = TaskAsked(
        id="1",
        by="e",
        user="alice",
        task="t1",
        q=1,
        kind=QuestionKind.INPUT,
        timeout_s=9,
        host="h1",
        **{name: getattr(question, name) for name in HostQuestion.__struct_fields__},
    )
    said = AnswerAction(action)
    given = TaskAnswered(id="2", by="g", user="alice", task="t1", q=1, action=said, content=content)
    return HostReply(told, given)


def text(value: Any) -> Any:
    return json.loads(value["content"][0]["text"])


class People:
    """Whoever is asked while a call is held open."""

    def __init__(self, call: Call, said: Any = (AnswerAction.ACCEPT, {"name": "Ada"})) -> None:
        call.ask = self.ask
        self.said = said
        self.questions: list[HostQuestion] = []
        self.asked = asyncio.Event()
        self.may = asyncio.Event()

    async def ask(self, question: HostQuestion) -> tuple[AnswerAction, dict[str, Any]]:
        self.questions.append(question)
        self.asked.set()
        await self.may.wait()
        if isinstance(self.said, Exception):
            raise self.said
        return self.said
