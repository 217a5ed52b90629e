"""Calls of `/execute` on a real HTTP server: what is sent, and what each answer means."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import FailureKind
from contracts.host import SPACE, Capability, Limits
from contracts.result import sha256_hex
from services.executor.attempt.call import HostError, Spooled
from tests.support.http_host import Reply, answer, cut, parts, serving
from tests.unit.executor.execute_bench import (
    BEARER,
    GOOD,
    RAW,
    at,
    bench,
    failure_at,
    failure_of,
    said,
)
from tests.unit.executor.sessions import failure

# What is sent.


async def test_the_request_is_that_of_the_specification(tmp_path: Path) -> None:
    wanted = (Capability("parse", "1.2.0", ("ast",)), Capability("scan"))
    async with bench(tmp_path, answer(GOOD), headers={"X-Team": "red"}) as (one, server):
        call = one.call(required_capabilities=wanted)
        assert await one.session.call(call) == GOOD
        assert call.called is True
        (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/execute")
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["X-Team"] == "red"
    assert "Authorization" not in seen.headers
    sent = json.loads(seen.body)
    assert datetime.fromisoformat(sent.pop("timestamp")).utcoffset() is not None
    assert list(sent) == [
        *("task_id", "user_id", "input", "required_capabilities", "timeout", "signature")
    ]
    assert sent == {
        "task_id": "t1",
        "user_id": "alice",
        "input": json.loads(RAW),
        "required_capabilities": [
            {"name": "parse", "version": "1.2.0", "parameters": ["ast"]},
            {"name": "scan", "version": "1.0.0", "parameters": []},
        ],
        "timeout": 12.5,
        "signature": "the-permit",
    }


@pytest.mark.parametrize("raw", [b"{}", RAW, b'{\n  "a": 1e2\n}\n', b' {"x":"}\\"" }'])
async def test_the_input_is_sent_byte_for_byte(tmp_path: Path, raw: bytes) -> None:
    async with bench(tmp_path, answer({})) as (one, server):
        await one.session.call(one.call(raw))
        (seen,) = server.seen
    begin = seen.body.index(b'"input":') + len(b'"input":')
    end = seen.body.index(b',"required_capabilities":')
    assert sha256_hex(seen.body[begin:end]) == sha256_hex(raw)


async def test_the_secret_goes_along_as_bearer_token(tmp_path: Path) -> None:
    async with bench(tmp_path, answer({}), bearer=BEARER) as (one, server):
        await one.session.call(one.call())
        assert server.seen[0].headers["Authorization"] == f"Bearer {BEARER}"


async def test_connections_are_kept_and_bounded(tmp_path: Path) -> None:
    limits = Limits(max_concurrency=2)
    async with bench(tmp_path, answer({}, metamcp_jti="t1.1"), limits=limits) as (one, server):
        await one.session.call(one.call())
        await asyncio.gather(*(one.session.call(one.call()) for _ in range(20)))
        assert len({seen.connection for seen in server.seen[1:]}) <= 2


async def test_an_attempt_that_was_taken_away_is_not_sent(tmp_path: Path) -> None:
    async with bench(tmp_path, answer({})) as (one, server):
        one.ours = False
        error = await failure_of(one)
        assert (error.kind, error.called) == (FailureKind.LOST, False)
        assert server.seen == []


# What an answer means.


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (answer({"any": ["thing", 1.5, None]}), {"any": ["thing", 1.5, None]}),
        (answer(GOOD, 201, kind="application/json; charset=utf-8"), GOOD),
        (answer({}, kind="application/vnd.thing+json"), {}),
        (answer([1, 2]), {"value": [1, 2]}),
        (answer("text"), {"value": "text"}),
        (answer(None), {"value": None}),
        (parts(b'{"a"', b": 1}", zipped=True), {"a": 1}),
        (answer({"is_error": "yes"}), {"is_error": "yes"}),
    ],
)
async def test_json_is_the_result_as_it_came(tmp_path: Path, reply: Reply, result: Any) -> None:
    async with bench(tmp_path, reply) as (one, _):
        assert await one.session.call(one.call()) == result


K = FailureKind
TOOL_ERROR = {"content": [{"type": "text", "text": "no\nluck"}, {"type": "image"}, 7]}
ANSWERS: list[tuple[Reply, FailureKind, bool | None, str]] = [
    (answer(TOOL_ERROR | {"is_error": True}), K.TOOL, True, "no\nluck"),
    (answer({"is_error": True}), K.TOOL, True, "no text"),
    (answer({"is_error": True, "content": "x"}), K.TOOL, True, "no text"),
    (answer(b"<p>hello</p>", kind="text/html"), K.PROTOCOL, True, "text/html .*<p>hello</p>"),
    (answer(b"", 204, kind="text/plain"), K.PROTOCOL, True, "text/plain instead of JSON"),
    (answer(b"{", kind="application/json"), K.PROTOCOL, True, "not JSON"),
    (answer(b'{"a": "\xff"}'), K.PROTOCOL, True, "not JSON"),
    (answer(b"[" * 100_000), K.PROTOCOL, True, "not JSON"),
    (answer(said("bad_request", "no task_id"), 400), K.BAD_INPUT, True, "400: bad_request: no t"),
    (answer({"detail": [{"loc": "x"}]}, 422), K.BAD_INPUT, True, r'422: \[{"loc":"x"}\]'),
    (answer(said("bad_permit", "expired"), 401), K.PROTOCOL, True, "401: bad_permit: expired"),
    (answer({"detail": "Forbidden"}, 403), K.PROTOCOL, True, "403: Forbidden"),
    (answer(b"a\x00\x1b[1mb\r\nc", 404, kind="text/plain"), K.PROTOCOL, True, r"404: a \[1mb c$"),
    (answer(b"", 405), K.PROTOCOL, True, "405: without a word"),
    (answer(b"x" * 5000, 418), K.PROTOCOL, True, "418: x{300}$"),
    (answer(said("outcome_unknown", "?"), 409), K.CUT, None, "409: outcome_unknown"),
    (answer(said("cancelled", "left"), 409), K.CUT, True, "409: cancelled: left"),
    (answer(said("too_large", "!"), 413), K.TOO_LARGE, True, "413"),
    (answer(said("internal", "boom"), 500), K.TOOL, True, "500: internal: boom"),
    (answer("gateway", 502), K.CUT, None, "502"),
    (answer({}, 504), K.TIMEOUT, None, "504"),
    (answer({}, 520), K.CUT, None, "520"),
    (answer({}, 501), K.PROTOCOL, True, "501"),
    (answer("", 302, Location="http://evil.test/x?t=1"), K.PROTOCOL, True, "evil.test/x, which"),
    (answer("", 308, Location="/there"), K.PROTOCOL, True, "redirects calls to /there"),
    (answer("", 304), K.PROTOCOL, True, "to nowhere"),
    (cut(), K.CUT, None, "connection was lost"),
    (parts(b'{"content": [', then="cut"), K.CUT, None, "connection was lost"),
    (answer({}, X_Long="x" * 20_000), K.PROTOCOL, True, "not HTTP"),
]


@pytest.mark.parametrize(("reply", "kind", "called", "words"), ANSWERS)
async def test_every_other_answer_is_a_failure_of_its_kind(
    tmp_path: Path, reply: Reply, kind: FailureKind, called: bool | None, words: str
) -> None:
    async with bench(tmp_path, reply, source=SPACE, allow_private=True) as (one, server):
        error = await failure_of(one)
        assert (error.kind, error.called) == (kind, called)
        with pytest.raises(HostError, match=words):
            raise HostError(kind, error.message)
        assert error.message.startswith("host h1: ")
        assert len(server.seen) == 1, "sent once"
        assert one.left() == []


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(b"<h1>10.0.0.5 /srv/inner</h1>", kind="text/html"), "instead of JSON"),
        (answer(b"Traceback: 10.0.0.5 /srv/inner", 500, kind="text/plain"), "500: without a word"),
        (answer({"upstream": "10.0.0.5 /srv/inner"}, 502), "502: without a word"),
        (answer("", 302, Location="http://10.0.0.5/srv/inner"), "redirects calls to another place"),
    ],
)
async def test_what_is_not_meant_for_users_stays_with_the_operator_of_a_host(
    tmp_path: Path, reply: Reply, words: str
) -> None:
    async with bench(tmp_path, reply) as (one, _):
        error = await failure_of(one)
    assert words in error.message
    assert "inner" not in error.message
    assert "10.0.0.5" not in error.message


async def test_a_host_that_repeats_the_secret_does_not_put_it_into_a_message(
    tmp_path: Path,
) -> None:
    leaks = [
        answer(said("bad", f"your token {BEARER} is no good"), 401),
        answer({"is_error": True, "content": [{"type": "text", "text": BEARER}]}),
        answer(BEARER.encode(), 200, kind="text/plain"),
    ]
    theirs = {"source": SPACE, "allow_private": True}
    async with bench(tmp_path, *leaks, bearer=BEARER, **theirs) as (one, _):
        for _ in leaks:
            error = await failure_of(one)
            assert BEARER not in str(error)
            assert "***" in error.message


async def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    async with serving(answer({})) as server:
        url = server.url
    for there in (url, "http://nowhere.invalid"):
        async with at(tmp_path, there) as one:
            call = one.call()
            error = await failure(one.session, call)
        assert (error.kind, error.called, call.called) == (K.UNREACHABLE, False, False)


@pytest.mark.parametrize(
    ("url", "source", "words"),
    [
        ("https://127.0.0.1:{port}", "alice", "METAMCP_ALLOW_PRIVATE_HOSTS"),
        ("https://localhost:{port}", "alice", "METAMCP_ALLOW_PRIVATE_HOSTS"),
        ("http://127.0.0.1:{port}", "alice", "https only"),
        ("ftp://127.0.0.1:{port}", "manifest", "begins with"),
        ("http://127.0.0.1:{port}?x", "manifest", "query"),
    ],
)
async def test_a_host_that_may_not_be_called_is_unreachable_and_says_why(
    tmp_path: Path, url: str, source: str, words: str
) -> None:
    async with serving(answer({})) as server:
        there = url.format(port=server.url.rpartition(":")[2])
        error = await failure_at(tmp_path, there, source=source)
        assert (error.kind, error.called) == (K.UNREACHABLE, False)
        assert words in error.message
        assert server.seen == []
        async with at(tmp_path, server.url, source=source, allow_private=True) as allowed:
            assert await allowed.session.call(allowed.call()) == {}


# Big answers.

MIB = 1024 * 1024


def big(size: int, end: bytes = b'"}]}', begin: bytes = b"") -> Reply:
    """An answer with one text of this size, in pieces."""
    piece = b"x" * MIB
    first = b'{"content": [{"type": "text", "text": "'
    return parts(begin + first, *[piece] * (size // MIB), end)


async def test_a_big_answer_lies_in_a_file_as_it_came(tmp_path: Path) -> None:
    async with bench(tmp_path, big(30 * MIB, begin=b" \n")) as (one, _):
        result = await one.session.call(one.call())
        assert isinstance(result, Spooled)
        data = result.path.read_bytes()
        assert len(data) == result.size > 30 * MIB
        assert json.loads(data)["content"][0]["text"] == "x" * 30 * MIB
        assert one.left() == [result.path]
        result.remove()


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (big(2 * MIB, b'"}], "is_error": true}'), K.TOOL, "x{200}"),
        (big(2 * MIB, b'"}], "is_error": true, "content": [{"text": "short"}]}'), K.TOOL, "short"),
        (big(2 * MIB, b'"}]'), K.PROTOCOL, "not JSON"),
        (big(2 * MIB, b'"}]} {}'), K.PROTOCOL, "not JSON"),
        (big(2 * MIB, b'\xff"}]}'), K.PROTOCOL, "not UTF-8"),
        (big(2 * MIB, b'"}]}]', b"["), K.PROTOCOL, "must be a JSON object"),
        (big(9 * MIB), K.TOO_LARGE, "limit"),
        (parts(*[b" " * MIB] * 9, zipped=True), K.TOO_LARGE, "limit"),
    ],
)
async def test_a_big_answer_that_is_no_result_leaves_nothing_but_what_a_tool_said(
    tmp_path: Path, reply: Reply, kind: FailureKind, words: str
) -> None:
    limits = Limits(max_output_bytes=8 * MIB)
    async with bench(tmp_path, reply, limits=limits) as (one, _):
        error = await failure_of(one)
        assert (error.kind, error.called) == (kind, True)
        with pytest.raises(HostError, match=words):
            raise error
        assert len(error.message) < 5000
        if kind is K.TOOL:
            assert isinstance(error.answer, Spooled)
            assert json.loads(error.answer.path.read_bytes())["is_error"] is True
            error.answer.remove()
        assert one.left() == []


async def test_a_big_answer_that_breaks_off_or_is_cancelled_leaves_nothing(
    tmp_path: Path,
) -> None:
    begun = (b'{"a": "', b"x" * 2 * MIB)
    broken, endless = parts(*begun, then="cut"), parts(*begun, then="hang")
    async with bench(tmp_path, broken, endless) as (one, _):
        error = await failure_of(one)
        assert (error.kind, error.called) == (K.CUT, None)
        assert one.left() == []
        running = asyncio.create_task(one.session.call(one.call()))
        while not one.left():
            await asyncio.wait([running], timeout=0.01)
        running.cancel()
        await asyncio.wait([running])
        assert one.left() == []
