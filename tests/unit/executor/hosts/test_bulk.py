"""Answers too big for memory go through files: nothing is lost, changed or left behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import FailureKind
from contracts.host import Limits, Step, TaskBinding
from contracts.result import Pointer
from services.executor.attempt import output
from services.executor.attempt.call import Answer, HostError, Spooled
from services.executor.attempt.course import Course
from services.executor.attempt.spool import IN_MEMORY
from services.executor.hosts import bulk
from services.executor.hosts.bulk import Bulk
from services.outside.mcp_errors import THEIRS
from services.outside.mcp_message import Incoming
from services.outside.mcp_reading import UNREADABLE, McpReader
from services.store.blobs import Blobs
from tests.support.nats import NatsServer
from tests.unit.executor.sessions import HTTP, STDIO, Bench, closing, failure
from tests.unit.executor.world import moment

BIG = 3 * IN_MEMORY
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def answer(id_: int | str, result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "result": result}).encode()


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def through(
    kept: Bulk,
    message: bytes,
    step: int = 65_536,
    asked: int | str | None = None,
    method: str = "tools/call",
) -> Any:
    """What the SDK sees of an answer to a tool call, or of what answers none."""
    reader = McpReader(kept, kept)
    if asked is not None:
        reader.sent(asked, method)
    incoming = Incoming(64 * IN_MEMORY, kept)
    for start in range(0, len(message), step):
        incoming.add(message[start : start + step])
    (seen,) = await reader.read(incoming)
    return json.loads(seen)


def filler(size: int = BIG) -> dict[str, Any]:
    return {"type": "text", "text": "x" * size}


async def test_a_small_answer_is_kept_in_memory(tmp_path: Path) -> None:
    kept = Bulk(tmp_path, BIG)
    result = {"content": [{"type": "text", "text": "ä"}], "isError": False}
    stand_in = await through(kept, answer(1, result), asked=1)
    assert kept.take(stand_in["result"]["_meta"]) == Answer(result["content"])
    assert files(tmp_path) == []


@given(content=st.lists(JSON, max_size=3), structured=JSON, is_error=st.booleans())
def test_a_big_answer_is_kept_faithfully(
    tmp_path_factory: pytest.TempPathFactory, content: list[Any], structured: Any, is_error: bool
) -> None:
    folder = tmp_path_factory.mktemp("bulk")
    parts = [*content, filler()]
    result = {"content": parts, "structuredContent": structured, "isError": is_error}

    async def run() -> None:
        kept = Bulk(folder, 2 * BIG)
        stand_in = await through(kept, answer("a7", result), asked="a7")
        assert stand_in["id"] == "a7"
        assert len(json.dumps(stand_in)) < 1000
        found = kept.take(stand_in["result"]["_meta"])
        assert found.spooled is not None
        assert found.is_error is is_error
        stored = found.spooled.path.read_bytes()
        assert len(stored) == found.spooled.size
        assert json.loads(stored) == {
            "content": parts,
            "structured": structured,
            "is_error": is_error,
        }
        with pytest.raises(HostError):  # It is handed out once.
            kept.take(stand_in["result"]["_meta"])
        found.spooled.remove()

    asyncio.run(run())
    assert files(folder) == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b'{"jsonrpc":"2.0","id":5,"result":{"content":["' + b"x" * BIG + b'",}}', "JSON-RPC"),
        (b'{"jsonrpc":"2.0","id":5,"result":{"content":["' + b"\xff" * BIG + b'"]}}', "UTF-8"),
        (b'{"jsonrpc":"2.0","id":5,"result":"' + b"x" * BIG + b'"}', "no object"),
        (b'{"jsonrpc":"2.0","id":5,"result":{"content":"' + b"x" * BIG + b'"}}', "no list"),
        (b'{"jsonrpc":"2.0","id":5,"result":{"content":[' + b"9" * BIG + b"]}}", "digits"),
    ],
    ids=["malformed", "not text", "no object", "no list", "a number"],
)
async def test_what_is_no_result_becomes_an_error_for_its_call(
    tmp_path: Path, message: bytes, words: str
) -> None:
    found = await through(Bulk(tmp_path, 2 * BIG), message, asked=5)
    assert (found["id"], found["error"]["code"]) == (5, UNREADABLE)
    assert words in found["error"]["message"]
    assert files(tmp_path) == []


async def test_a_long_error_is_the_server_s_own(tmp_path: Path) -> None:
    message = b'{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"' + b"x" * BIG + b'"}}'
    found = await through(Bulk(tmp_path, 2 * BIG), message, asked=5)
    assert (found["error"]["code"], THEIRS in found["error"]["data"]) == (1, True)
    assert found["error"]["message"].startswith("xxx")
    assert len(found["error"]["message"]) < BIG
    assert files(tmp_path) == []


async def test_a_long_answer_that_is_no_tool_s_is_read_as_it_is(tmp_path: Path) -> None:
    tools = [{"name": "t", "description": "x" * BIG}]
    big = answer(5, {"tools": tools})
    found = await through(Bulk(tmp_path, 2 * BIG), big, asked=5, method="tools/list")
    assert found["result"] == {"tools": tools}
    assert files(tmp_path) == []


async def test_files_that_nobody_takes_are_few_and_end_with_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "UNCLAIMED", 1)
    kept = Bulk(tmp_path, 2 * BIG, at_once=1)
    stand_ins = [
        await through(kept, answer(number, {"content": [filler()]}), asked=number)
        for number in range(4)
    ]
    assert len(files(tmp_path)) == 2
    with pytest.raises(HostError, match="not kept any more") as caught:
        kept.take(stand_ins[0]["result"]["_meta"])
    assert (caught.value.kind, caught.value.called) == (FailureKind.CUT, True)
    kept.close()
    assert files(tmp_path) == []
    await through(kept, answer(9, {"content": [filler()]}), asked=9)
    assert files(tmp_path) == [], "also what comes after the end"


async def test_a_message_that_stops_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    incoming = Incoming(64 * IN_MEMORY, Bulk(tmp_path, 64 * IN_MEMORY))
    incoming.add(b"x" * BIG)
    assert len(files(tmp_path)) == 1
    incoming.close()
    assert files(tmp_path) == []


async def test_several_answers_become_one_result(tmp_path: Path) -> None:
    big = tmp_path / "big.json"
    big.write_bytes(msgspec.json.encode(Answer([filler()]).wire()))
    answers = {
        "one": Answer([], spooled=Spooled(big, big.stat().st_size)),
        "two": Answer([], structured={"n": 1}),
    }
    made = await bulk.together(answers, tmp_path)
    assert made.size == made.path.stat().st_size
    assert json.loads(made.path.read_bytes()) == {
        "outputs": {"one": Answer([filler()]).wire(), "two": answers["two"].wire()}
    }


# Through a real server.


@pytest.fixture
async def stdio(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, STDIO)
    yield bench
    await closing(bench)


async def test_a_big_result_reaches_the_object_store_through_a_file(
    stdio: Bench, nats_server: NatsServer
) -> None:
    value = await stdio.open().call(stdio.call("big", bytes=BIG))
    assert isinstance(value, Spooled)
    async with nats_server.connected("executor") as bus:
        pointer = await output.keep(value, "alice", Blobs(bus), 3 * BIG, Course())
        stored = await Blobs(bus).read(pointer)
    assert stdio.left() == []
    assert isinstance(pointer, Pointer)
    assert hashlib.sha256(stored).hexdigest() == pointer.sha256
    assert set(json.loads(stored)) == {"content", "structured", "is_error"}
    assert len(json.loads(stored)["content"][0]["text"]) == BIG


async def test_a_big_answer_over_the_limit_is_refused_and_leaves_nothing(stdio: Bench) -> None:
    session = stdio.open(limits=Limits(max_output_bytes=BIG))
    error = await failure(session, stdio.call("big", bytes=2 * BIG))
    assert (error.kind, error.called) == (FailureKind.TOO_LARGE, True)
    assert stdio.left() == []
    await session.call(stdio.call())


async def test_a_cancelled_call_leaves_no_file_behind(stdio: Bench) -> None:
    session = stdio.open()
    await session.call(stdio.call())
    running = asyncio.create_task(session.call(stdio.call("big", bytes=BIG)))
    async with asyncio.timeout(30):
        while not stdio.left() and not running.done():
            await moment()
    running.cancel()
    found = (await asyncio.gather(running, return_exceptions=True))[0]
    if isinstance(found, Spooled):
        found.remove()
    await session.close()
    assert stdio.left() == []


async def test_a_step_may_not_use_a_big_answer_and_its_file_goes(stdio: Bench) -> None:
    steps = (
        Step("big", {"bytes": BIG}, output="first"),
        Step("echo", {"text": "$step.first"}, output="second"),
    )
    host = stdio.host(task_types={"two": TaskBinding(steps)})
    error = await failure(stdio.open(task_types=host.task_types), stdio.task(host, "two", {}))
    assert (error.kind, error.called) == (FailureKind.TOO_LARGE, True)
    assert "step.first" in error.message
    assert stdio.left() == []


async def test_big_and_small_answers_make_one_result(stdio: Bench) -> None:
    steps = (Step("big", {"bytes": BIG}, output="first"), Step("echo", {"text": "b"}, output="b"))
    host = stdio.host(task_types={"two": TaskBinding(steps)})
    value = await stdio.open(task_types=host.task_types).call(stdio.task(host, "two", {}))
    assert isinstance(value, Spooled)
    assert stdio.left() == [value.path]
    outputs = json.loads(value.path.read_bytes())["outputs"]
    assert len(outputs["first"]["content"][0]["text"]) == BIG
    assert outputs["b"]["structured"] == {"result": "b"}


HUGE = 100 * 1000 * 1000
"""Bytes of the result: the server sends its text twice, as content and as structured content."""
ROOM = 24 * IN_MEMORY
"""Most that may be allocated on the way of a huge result, which is four times as big."""


@pytest.fixture(params=[STDIO, HTTP])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, request.param)
    await bench.begin()
    yield bench
    await closing(bench)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_100_mb_take_little_memory_from_the_host_to_the_object_store(
    served: Bench, nats_server: NatsServer
) -> None:
    session = served.open()
    await session.call(served.call())
    async with nats_server.connected("executor") as bus:
        tracemalloc.start()
        try:
            value = await session.call(served.call("big", bytes=HUGE // 2))
            pointer = await output.keep(value, "alice", Blobs(bus), 2 * HUGE, Course())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert isinstance(pointer, Pointer)
        size, digest = 0, hashlib.sha256()
        async for part in Blobs(bus).get(pointer):
            size += len(part)
            digest.update(part)
        await Blobs(bus).delete(pointer.uri)
    assert size == pointer.size > HUGE
    assert digest.hexdigest() == pointer.sha256
    assert peak < ROOM
    assert served.left() == []
