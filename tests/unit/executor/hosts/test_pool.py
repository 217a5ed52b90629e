"""Rooms of hosts, and the bounded parts of a stdio session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import mcp_types
import msgspec
import pytest

from contracts.facts import FailureKind
from contracts.host import Limits, Stdio
from services.executor.attempt.call import Call, HostError, Opening
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.pool import Pool
from services.keys.secrets import Secrets
from services.outside.mcp_child import TAIL_BYTES, Lines, Tail
from tests.unit.executor.sessions import NOOP, STDIO, Bench, alive, closing

NO_SECRETS = Secrets(Path("nowhere"), {})


@pytest.fixture
async def stdio(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, STDIO)
    yield bench
    await closing(bench)


async def test_a_program_is_started_with_what_it_refers_to(stdio: Bench) -> None:
    host = stdio.host()
    assert isinstance(host.endpoint, Stdio)
    endpoint = msgspec.structs.replace(
        host.endpoint, args=("-m", "{secret:MODULE}"), env={"RECORDING_FILE": "{secret:FILE}"}
    )
    known = KnownHost(1, msgspec.structs.replace(host, endpoint=endpoint))
    values = {"MODULE": "tests.support.recording_mcp"}
    pool = Pool(Opening(host, stdio.folder), 3, Secrets(stdio.folder, values))
    with pytest.raises(HostError, match=r"needs the secret FILE.* into secrets/FILE of the data"):
        await pool.call(known, stdio.call())
    values["FILE"] = str(stdio.record)
    answer = await pool.call(known, stdio.call(text="hello"))
    assert isinstance(answer, dict)
    assert (answer["structured"], len(stdio.written())) == ({"result": "hello"}, 1)
    with pytest.raises(HostError) as failed:
        await pool.call(known, stdio.call("fail", message=f"no {stdio.record} here"))
    assert str(stdio.record) not in str(failed.value) + failed.value.message
    await pool.close()


def message(id_: object, size: int) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "result": {"x": "y" * size}}


@pytest.mark.parametrize("id_", [7, "seven"])
@pytest.mark.parametrize("turned", [False, True], ids=["id first", "id last"])
async def test_a_line_over_the_limit_becomes_an_error_for_its_call(
    id_: int | str, turned: bool
) -> None:
    lines = Lines(10_000)
    for asked in (id_, 8):
        lines.sent(mcp_types.JSONRPCRequest(jsonrpc="2.0", id=asked, method="x"))
    long = message(id_, 50_000)
    if turned:
        long = dict(reversed(long.items()))
    data = json.dumps(long).encode() + b"\n" + json.dumps(message(8, 1)).encode() + b"\n"
    found: list[Any] = []
    for start in range(0, len(data), 999):
        found += [each async for each in lines.feed(data[start : start + 999])]
    assert found[0].message.id == id_
    assert "more than 10000" in found[0].message.error.message
    assert found[1].message.id == 8


async def test_memory_for_a_line_without_end_is_bounded() -> None:
    lines = Lines(10_000)
    for _ in range(1000):
        assert [each async for each in lines.feed(b"x" * 10_000)] == []
    incoming = lines._incoming
    kept = sum(map(len, (*incoming._parts, incoming._head, incoming._end)))
    assert kept < 50_000


def test_the_tail_of_a_chatty_server_is_bounded(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "h1.log")
    for number in range(40):
        tail.add(f"line {number}\n".encode() * 10_000)
    assert tail.lines(2) == "line 39\nline 39"
    assert len(tail._data) <= TAIL_BYTES
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 2.2 * 1024 * 1024


async def counted(pool: Pool, known: KnownHost, make: Callable[[], Call], count: int) -> list[Any]:
    calls = [pool.call(known, make()) for _ in range(count)]
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_a_full_room_turns_calls_away_and_another_stays_open(tmp_path: Path) -> None:
    bench = Bench(tmp_path, NOOP)
    busy = KnownHost(1, bench.host(limits=Limits(max_concurrency=2)))
    other = KnownHost(2, bench.host(id="h2"))
    pool = Pool(Opening(busy.host, tmp_path, allow_noop=True), most_waiting=3, secrets=NO_SECRETS)
    answers, beside = await asyncio.gather(
        counted(pool, busy, bench.call, 8),
        counted(pool, other, lambda: bench.call(host=other.host), 1),
    )
    turned_away = [answer for answer in answers if isinstance(answer, HostError)]
    assert len(turned_away) == 3
    assert {(error.kind, error.called) for error in turned_away} == {
        (FailureKind.UNREACHABLE, False)
    }
    assert not isinstance(beside[0], Exception)
    await pool.close()


async def test_a_host_registered_anew_gets_a_new_session_after_the_calls_in_it(
    stdio: Bench,
) -> None:
    pool = Pool(Opening(stdio.host(), stdio.folder / "hosts"), most_waiting=3, secrets=NO_SECRETS)
    first, second = KnownHost(1, stdio.host()), KnownHost(2, stdio.host(server="newer"))
    running = asyncio.create_task(pool.call(first, stdio.call("work", ms=300)))
    await stdio.until_written(1)
    pool.forget("h1")
    await pool.call(second, stdio.call())
    assert (await running)["is_error"] is False
    await pool.close()
    pids = {call["pid"] for call in stdio.written()}
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
