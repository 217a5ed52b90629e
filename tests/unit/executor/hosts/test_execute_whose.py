"""Whose answer an answer of `/execute` is, also where a host sends more than it was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.facts import FailureKind as K
from contracts.host import Limits
from contracts.wire import PERMIT_ECHO
from services.executor.attempt.call import HostError
from tests.support.http_host import Reply, answer
from tests.unit.executor.execute_bench import GOOD, Bench, bench, failure_of

MINE = {"metamcp_jti": "t1.1"}


class Twice:
    """Answers each request twice, a moment apart, on a connection that it keeps open."""

    def __init__(self, *, names: bool) -> None:
        self.names = names
        self.asked = 0
        self.sent_again = asyncio.Event()
        self.serving: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.partition("content-length:")[2].split("\r\n")[0])
                task = json.loads(await reader.readexactly(size))["task_id"]
                self.asked += 1
                writer.write(self._answer(task))
                await writer.drain()
                writer.write(self._answer(task))
                self.sent_again.set()
                await writer.drain()
        writer.close()

    def _answer(self, task: str) -> bytes:
        body = json.dumps({"task": task}).encode()
        name = f"{PERMIT_ECHO}: {task}.1\r\n" if self.names else ""
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{name}"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@contextlib.asynccontextmanager
async def twice(folder: Path, *, names: bool) -> AsyncIterator[tuple[Bench, Twice]]:
    host = Twice(names=names)
    async with await asyncio.start_server(host.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        one = Bench(folder, f"http://127.0.0.1:{port}", replay="always")
        yield one, host
        await one.session.close()
        await asyncio.wait([task for task in host.serving if task is not None])


@pytest.mark.parametrize("names", [True, False])
async def test_a_second_answer_is_never_the_next_calls(tmp_path: Path, names: bool) -> None:
    async with twice(tmp_path, names=names) as (one, host):
        for n in range(12):
            host.sent_again.clear()
            assert await one.session.call(one.call(task=f"t{n}")) == {"task": f"t{n}"}
            await host.sent_again.wait()


async def test_connections_are_kept_with_hosts_that_name_the_permit(tmp_path: Path) -> None:
    async with bench(tmp_path, answer(GOOD, **MINE)) as (one, server):
        for _ in range(5):
            await one.session.call(one.call())
        assert len({seen.connection for seen in server.seen[1:]}) == 1


async def test_a_host_that_names_none_gets_a_connection_for_each_call(tmp_path: Path) -> None:
    async with bench(tmp_path, answer(GOOD), limits=Limits(max_concurrency=2)) as (one, server):
        await asyncio.gather(*(one.session.call(one.call()) for _ in range(6)))
        assert {seen.headers.get("Connection") for seen in server.seen} == {"close"}


async def test_the_answer_of_another_call_is_not_taken(tmp_path: Path) -> None:
    async with bench(tmp_path, answer(GOOD, metamcp_jti="t9.1")) as (one, _):
        error = await failure_of(one)
        assert (error.kind, error.called) == (K.CUT, None)
        assert "it has answered another call" in error.message


async def test_an_answer_without_a_name_is_not_taken_from_a_kept_connection(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, answer(GOOD, **MINE), answer(GOOD)) as (one, _):
        await one.session.call(one.call())
        with pytest.raises(HostError, match="does not say which call it is of"):
            await one.session.call(one.call())
        assert await one.session.call(one.call()) == GOOD, "it is alone on its connection"


@pytest.mark.parametrize(
    "refusal",
    [
        answer({"detail": "not so"}, status=400),
        answer({"detail": "not now"}, status=503),
        answer(b"", status=404),
        answer({"detail": "x" * 200_000}, status=500),
        answer(b"", status=302, Location="/elsewhere"),
    ],
    ids=["bad input", "busy", "empty", "long", "moved"],
)
@pytest.mark.parametrize("replay", ["always", "never"])
async def test_a_refusal_without_a_name_on_a_kept_connection_proves_nothing(
    tmp_path: Path, refusal: Reply, replay: str
) -> None:
    named = answer(GOOD, **MINE)
    async with bench(tmp_path, named, refusal, named, replay=replay) as (one, server):
        await one.session.call(one.call())
        if replay == "always":
            assert await one.session.call(one.call()) == GOOD, "it is asked again, alone"
        else:
            error = await failure_of(one)
            assert (error.kind, error.called) == (K.CUT, None)
            assert "does not say which call it is of" in error.message
            await one.session.call(one.call())
        await one.session.call(one.call())
    _, kept, alone, again = server.seen
    assert (kept.headers.get("Connection"), alone.headers.get("Connection")) == (None, "close")
    assert again.headers.get("Connection") is None
    assert again.connection != kept.connection, "nothing else came over it"
