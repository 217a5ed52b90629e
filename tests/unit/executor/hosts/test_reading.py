"""What is no call of a tool, in every kind of session with an MCP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.errors import Reason, Rejected
from contracts.host import Host, Limits
from contracts.reads import ReadAnswer, ReadRequest
from services.executor.attempt.call import Opening
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.pool import Pool
from services.executor.hosts.reading import ReadDesk
from services.keys.secrets import Secrets
from tests.unit.executor.sessions import APART, HTTP, HTTP_LEGACY, NOOP, STDIO, Bench, closing
from tests.unit.executor.world import moment


class Hosts:
    """One host."""

    def __init__(self, host: Host) -> None:
        self.known = KnownHost(3, host)

    async def reached(self, seq: int, timeout_s: float) -> bool:
        return seq <= self.known.seq

    def get(self, host: str) -> KnownHost | None:
        return self.known if host == self.known.host.id else None


@pytest.fixture
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, forked_workers: None
) -> AsyncIterator[Bench]:
    found = Bench(tmp_path, request.param)
    found.spool.mkdir(exist_ok=True)
    await found.begin()
    yield found
    await closing(found)


@pytest.fixture
async def pool(bench: Bench) -> AsyncIterator[Pool]:
    opening = Opening(
        bench.host(),
        bench.folder / "hosts",
        allow_private=True,
        allow_noop=True,
        spool=bench.spool,
        workers=bench.workers,
    )
    found = Pool(opening, 3, Secrets(bench.folder, {}))
    yield found
    await found.close()


async def ask(desk: ReadDesk, method: str, host: str = "h1", **params: Any) -> ReadAnswer:
    raw = msgspec.Raw(msgspec.json.encode(params))
    request = ReadRequest(host, 2, "alice", method, raw)
    answer = await desk.read(msgspec.json.encode(request))
    return msgspec.msgpack.decode(answer, type=ReadAnswer)


@pytest.mark.parametrize("bench", [STDIO, HTTP, HTTP_LEGACY, APART], indirect=True)
async def test_answers_and_errors_come_as_the_server_gives_them(bench: Bench, pool: Pool) -> None:
    desk = ReadDesk(pool, Hosts(bench.host()))
    found = await ask(desk, "prompts/list")
    assert msgspec.json.decode(found.result) == {"prompts": []}
    refused = await ask(desk, "resources/read", uri="mem://none")
    assert refused.error is not None
    assert refused.error.code == -32602
    assert "mem://none" in refused.error.message
    assert not bench.written(), "no tool was called"


@pytest.mark.parametrize("bench", [STDIO], indirect=True)
async def test_what_is_not_asked_so_is_refused(bench: Bench, pool: Pool) -> None:
    host = bench.host(path_arguments={"echo": ("text",)}, owner="alice")
    desk = ReadDesk(pool, Hosts(host))

    async def reason(method: str, host: str = "h1", user: str = "alice", **params: Any) -> Reason:
        raw = msgspec.Raw(msgspec.json.encode(params))
        request = ReadRequest(host, 2, user, method, raw)
        with pytest.raises(Rejected) as caught:
            await desk.read(msgspec.json.encode(request))
        return caught.value.reason

    assert await reason("tools/call", name="echo") is Reason.FORBIDDEN
    assert await reason("prompts/list", "h2") is Reason.NOT_FOUND
    assert await reason("prompts/list", user="bob") is Reason.NOT_FOUND
    assert await reason("resources/read", uri=" FILE:///etc/passwd") is Reason.FORBIDDEN
    with pytest.raises(Rejected):
        await desk.read(b"{}")


@pytest.mark.parametrize("bench", [STDIO, HTTP], indirect=True)
async def test_a_resource_is_subscribed_to_once_in_a_session(bench: Bench, pool: Pool) -> None:
    desk = ReadDesk(pool, Hosts(bench.host()))
    for method in ("resources/subscribe", "resources/subscribe", "resources/unsubscribe"):
        found = await ask(desk, method, uri="mem://one")
        assert (found.result, found.error) == (b"{}", None)


@pytest.mark.parametrize("bench", [APART], indirect=True)
async def test_a_process_apart_tells_of_no_changes(bench: Bench, pool: Pool) -> None:
    with pytest.raises(Rejected, match="tells of no changes"):
        await ask(ReadDesk(pool, Hosts(bench.host())), "resources/subscribe", uri="mem://one")


@pytest.mark.parametrize("bench", [NOOP], indirect=True)
async def test_a_host_that_is_no_mcp_server_is_not_asked(bench: Bench, pool: Pool) -> None:
    with pytest.raises(Rejected, match="no MCP server"):
        await ask(ReadDesk(pool, Hosts(bench.host())), "prompts/list")


@pytest.mark.parametrize("bench", [STDIO], indirect=True)
async def test_a_question_waits_for_a_place_as_calls_do(bench: Bench, pool: Pool) -> None:
    host = bench.host(limits=Limits(max_concurrency=1))
    hosts = Hosts(host)
    desk = ReadDesk(pool, hosts)
    calling = asyncio.create_task(pool.call(hosts.known, bench.call("hang", host)))
    await bench.until_written(1)
    asking = asyncio.create_task(ask(desk, "prompts/list"))
    door = pool._doors["h1"]
    async with asyncio.timeout(10):
        while door.inside < 2:
            await moment()
    assert not asking.done()
    calling.cancel()
    assert msgspec.json.decode((await asking).result) == {"prompts": []}
