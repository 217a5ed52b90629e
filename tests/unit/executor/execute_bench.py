"""A session of the kind `execute`, the real HTTP host it calls, and calls to make."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.host import Execute, Host, Limits, TaskBinding
from contracts.task import TaskSpec
from services.executor.attempt.call import Call, HostError, Opening
from services.executor.attempt.plan import KnownHost, prepare
from services.executor.attempt.workspace import Workspace
from services.executor.hosts.execute import ExecuteSession
from tests.support.http_host import HttpHost, Reply, serving
from tests.unit.executor.world import routed, spec

RAW = b'{"b" : 1.50, "a":"\\u00e4\xc3\xa4 $input", "n":[ 1,2 ]}'
GOOD = {"content": [{"type": "text", "text": "ok"}], "structured": {"n": 1}, "is_error": False}
BEARER = "s3cret-bearer"


class Bench:
    """One session with a host at this URL."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        bearer: str | None = None,
        allow_private: bool = False,
        **fields: Any,
    ) -> None:
        types = {"scan": TaskBinding()}
        endpoint = Execute(url, headers=fields.pop("headers", {}))
        defaults = {"limits": Limits(start_s=1.0), "task_types": types}
        self.host = Host(id="h1", name="h1", endpoint=endpoint, **defaults | fields)
        self.spool = folder / "spool"
        self.folder = folder
        self.ours = True
        self.session = ExecuteSession(
            Opening(
                *(self.host, folder),
                allow_private=allow_private,
                spool=self.spool,
                bearer=bearer,
            )
        )

    def call(
        self,
        raw: bytes = RAW,
        *,
        type: str = "scan",
        task: str = "t1",
        permit: str = "the-permit",
        **fields: Any,
    ) -> Call:
        wanted = TaskSpec(type=type, input=msgspec.Raw(raw), **fields)
        route = routed(task, spec(), timeout_s=12.5)
        plan = prepare(KnownHost(1, self.host), route, wanted, raw, permit)

        async def on_progress(progress: float, total: float | None, message: str) -> None:
            raise AssertionError

        async def still_ours() -> bool:
            return self.ours

        space = Workspace(self.folder / "w", "alice", task, 1)
        return Call(plan, space, on_progress, still_ours)

    def left(self) -> list[Path]:
        return list(self.spool.iterdir()) if self.spool.exists() else []


@contextlib.asynccontextmanager
async def bench(
    folder: Path, *script: Reply, **fields: Any
) -> AsyncIterator[tuple[Bench, HttpHost]]:
    """A session, and the host it calls."""
    async with serving(*script) as server, at(folder, server.url, **fields) as one:
        yield one, server


@contextlib.asynccontextmanager
async def at(folder: Path, url: str, **fields: Any) -> AsyncIterator[Bench]:
    """A session with whatever lies at this URL."""
    one = Bench(folder, url, **fields)
    try:
        yield one
    finally:
        await one.session.close()


async def failure_at(folder: Path, url: str, **fields: Any) -> HostError:
    """How a call of whatever lies at this URL fails."""
    try:
        async with at(folder, url, **fields) as one:
            return await failure_of(one)
    except HostError as error:
        return error


async def failure_of(one: Bench, **fields: Any) -> HostError:
    async with asyncio.timeout(20):
        with pytest.raises(HostError) as caught:
            await one.session.call(one.call(**fields))
    return caught.value


def said(reason: str, message: str) -> dict[str, Any]:
    return {"error": {"reason": reason, "message": message}}
