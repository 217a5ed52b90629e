"""Servers that err as real ones do, over real pipes and connections: each call ends well."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.facts import FailureKind
from contracts.host import COMMAND, Limits, Stdio, StreamableHttp
from services.executor.attempt.call import HostError, HostSession, Spooled
from services.executor.attempt.spool import IN_MEMORY
from services.outside import mcp_body
from tests.support.adverse_mcp import FORGET, ROOT
from tests.unit.executor.sessions import STDIO, Bench, closing

BIG = IN_MEMORY + 100_000
HTTP = "http"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = (sys.executable, "-m", "tests.support.adverse_mcp")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, STDIO)
    yield bench
    await closing(bench)


def program(how: str) -> Stdio:
    return Stdio(sys.executable, ("-m", "tests.support.adverse_mcp", "stdio", how), cwd=str(ROOT))


def opened(bench: Bench, endpoint: Stdio | StreamableHttp, **fields: Any) -> HostSession:
    return bench.open(endpoint=endpoint, protocol="2025-06-18", **fields)


async def called(bench: Bench, session: HostSession, **arguments: Any) -> Any:
    """What a call ends with: its result, or the error."""
    async with asyncio.timeout(20):
        try:
            value = await session.call(bench.call("odd", **arguments))
        except HostError as error:
            return error
    if isinstance(value, Spooled):
        whole = json.loads(value.path.read_bytes())
        value.remove()
        return whole
    return value


@pytest.fixture(params=[STDIO, HTTP])
async def session(request: pytest.FixtureRequest, bench: Bench, address: str) -> HostSession:
    url = StreamableHttp(f"{address}/plain/mcp")
    return opened(bench, program("plain") if request.param == STDIO else url)


OURS = (
    *(mcp_body.NOT_SENT, mcp_body.LOST, mcp_body.STATUS, mcp_body.GONE, mcp_body.DOUBTED),
    *(-32000, -32001, -32018, -32019, -32020, -32021, 0, 10**30),
)


async def test_no_code_of_a_server_is_ours_and_the_host_stays_usable(
    bench: Bench, session: HostSession
) -> None:
    for code in OURS:
        error = await called(bench, session, how="code", code=code)
        assert (error.kind, error.called) == (FailureKind.PROTOCOL, True)
        assert f"JSON-RPC error {code}: its own" in error.message
    assert await called(bench, session, how="plain")


async def test_above_and_below_a_mebibyte_answers_are_judged_alike(
    bench: Bench, session: HostSession
) -> None:
    wanted: dict[str, Any] = {
        "no version": [],
        "surrogate": [{"type": "text", "text": "cut \ufffd"}],
        "unknown": [{"type": "video"}],
        "null error": [],
    }
    for pad in (1, BIG):
        text = {"type": "text", "text": "x" * pad}
        for how, more in wanted.items():
            result = {"content": [text, *more], "structured": None, "is_error": False}
            assert await called(bench, session, how=how, pad=pad) == result
        result = {"content": [text], "structured": {"mean": None}, "is_error": False}
        assert await called(bench, session, how="nan", pad=pad) == result
        result = {"content": [], "structured": [text], "is_error": False}
        assert await called(bench, session, how="no content", pad=pad) == result
        for how, words in (("digits", "digits"), ("broken", "JSON"), ("no list", "no list")):
            error = await called(bench, session, how=how, pad=pad)
            assert (error.kind, error.called) == (FailureKind.PROTOCOL, True)
            assert words in error.message
    assert bench.left() == []


@pytest.mark.parametrize("how", ["text code", "bare error", "null id"])
async def test_an_error_in_another_form_is_told(
    bench: Bench, session: HostSession, how: str
) -> None:
    error = await called(bench, session, how=how)
    assert error.kind is FailureKind.PROTOCOL
    assert "its own" in error.message


# The first contact.


@pytest.mark.parametrize("how", ["strict", "bom"])
async def test_a_server_that_wants_to_hear_initialize_first_is_served(
    bench: Bench, how: str
) -> None:
    session = bench.open(endpoint=program(how))
    assert await called(bench, session, how="plain")


# Sessions that are lost.


@pytest.mark.parametrize("how", FORGET)
async def test_a_session_that_the_server_has_lost_is_begun_again_and_the_call_made_once(
    bench: Bench, address: str, how: str
) -> None:
    session = opened(bench, StreamableHttp(f"{address}/{how}/mcp"))
    async with httpx.AsyncClient() as client:
        await called(bench, session, how="plain")
        await called(bench, session, how="forget")
        before = int((await client.get(f"{address}/{how}/calls")).text)
        value = await called(bench, session, how="plain")
        assert isinstance(value, dict), value
        assert int((await client.get(f"{address}/{how}/calls")).text) - before == 1


async def test_words_about_a_session_in_a_tool_s_own_error_end_none(
    bench: Bench, address: str
) -> None:
    session = opened(bench, StreamableHttp(f"{address}/plain/mcp"))
    inner: Any = session
    await called(bench, session, how="plain")
    first = inner._session
    for _ in range(2):
        error = await called(bench, session, how="code", code='-32600,"x":"y"')
        assert "its own" in error.message
    assert inner._session is first


# What is sent over HTTP.


@pytest.mark.parametrize(
    "how", ["cr", "crlf", "unended", "named", "bom", "typeless", "batch", "moved"]
)
async def test_an_answer_is_found_in_whatever_form_it_comes(
    bench: Bench, address: str, how: str
) -> None:
    session = opened(bench, StreamableHttp(f"{address}/{how}/mcp"))
    value = await called(bench, session, how="plain")
    assert isinstance(value, dict), value
    assert value["content"] == [{"type": "text", "text": "x"}]


@pytest.mark.parametrize(
    ("how", "kind", "was_called", "words"),
    [
        ("html", FailureKind.CUT, None, "text/html"),
        ("accepted", FailureKind.CUT, None, "202 Accepted"),
        ("silence", FailureKind.CUT, None, "ended without one"),
        ("empty", FailureKind.PROTOCOL, True, "it is empty"),
        ("swapped", FailureKind.PROTOCOL, None, "request 999, which was never made"),
        ("forbidden", FailureKind.UNREACHABLE, False, "403 Forbidden: not you; nothing was done"),
        ("away", FailureKind.UNREACHABLE, False, "https://example.org/login"),
        ("rest", FailureKind.UNREACHABLE, False, "3600 s): slow down; nothing was done"),
        ("date", FailureKind.UNREACHABLE, False, "503"),
    ],
)
async def test_what_is_no_answer_is_told_at_once(
    bench: Bench, address: str, how: str, kind: FailureKind, was_called: bool | None, words: str
) -> None:
    # A user's own host: what it says is for its user.
    limits = Limits(start_s=600.0)
    url = StreamableHttp(f"{address}/{how}/mcp")
    session = opened(bench, url, limits=limits, owner="alice", source=COMMAND)
    error = await called(bench, session, how="plain")
    assert (error.kind, error.called) == (kind, was_called)
    assert words in error.message


# Servers of 2024.


async def test_a_server_of_2024_is_served(bench: Bench, address: str) -> None:
    session = bench.open(endpoint=StreamableHttp(f"{address}/old/mcp"), protocol="")
    values = await asyncio.gather(*(called(bench, session, how="plain") for _ in range(5)))
    assert [value["content"] for value in values] == [[{"type": "text", "text": "x"}]] * 5
    big = await called(bench, session, how="plain", pad=BIG)
    assert len(big["content"][0]["text"]) == BIG
    error = await called(bench, session, how="code", code=-32000)
    assert (error.kind, error.called) == (FailureKind.PROTOCOL, True)


async def test_one_whose_stream_ends_cuts_the_call_and_is_met_again(
    bench: Bench, address: str
) -> None:
    session = opened(bench, StreamableHttp(f"{address}/old/mcp"))
    error = await called(bench, session, how="code", code=-7777)
    assert (error.kind, error.called) == (FailureKind.CUT, None)
    assert await called(bench, session, how="plain")
