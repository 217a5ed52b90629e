"""Every kind of host keeps the same promises; MCP stdio with a real server that is mistreated."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.facts import FailureKind
from contracts.host import Host, Limits, Noop, Stdio
from services.executor.attempt.call import HostError, Opening
from services.executor.hosts.kinds import open_session
from tests.support.recording_mcp import PICTURE
from tests.unit.executor.sessions import (
    APART,
    APART_EXECUTE,
    APART_OPENAPI,
    EXECUTE,
    HTTP,
    HTTP_LEGACY,
    NOOP,
    OPENAPI,
    ROOT,
    STDIO,
    Bench,
    alive,
    closing,
    failure,
    gone,
)
from tests.unit.executor.world import moment

KINDS = [STDIO, HTTP, HTTP_LEGACY, EXECUTE, OPENAPI, NOOP, APART, APART_EXECUTE, APART_OPENAPI]


@pytest.fixture(params=KINDS)
async def each(
    request: pytest.FixtureRequest, tmp_path: Path, forked_workers: None
) -> AsyncIterator[Bench]:
    """Every kind of host."""
    bench = Bench(tmp_path, request.param)
    await bench.begin()
    yield bench
    await closing(bench)


@pytest.fixture
async def stdio(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, STDIO)
    yield bench
    await closing(bench)


# What every kind promises.


async def test_a_call_is_answered_and_known_as_made(each: Bench) -> None:
    call = each.call(text="hi")
    assert call.called is False
    value = await each.open().call(call)
    assert set(value) == {"content", "structured", "is_error"}
    assert value["is_error"] is False
    assert call.called is True


MEDIA = [
    {"type": "text", "text": "ä", "annotations": {"priority": 0.5}},
    {"type": "image", "data": PICTURE, "mimeType": "image/png"},
    {"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"},
    {"type": "resource_link", "name": "a", "uri": "file:///a.txt", "size": 3},
    {"type": "resource", "resource": {"uri": "mem://t", "mimeType": "text/plain", "text": "t"}},
    {"type": "resource", "resource": {"uri": "mem://b", "blob": "AAE="}},
]


@pytest.mark.parametrize(
    "each", [STDIO, HTTP, HTTP_LEGACY, EXECUTE, APART, APART_EXECUTE], indirect=True
)
async def test_every_kind_of_content_is_kept_as_it_came(each: Bench) -> None:
    value = await each.open().call(each.call("media"))
    assert value == {"content": MEDIA, "structured": None, "is_error": False}


async def test_many_calls_run_at_once(each: Bench) -> None:
    session = each.open()
    await session.call(each.call())
    slow = [each.call("work", ms=300) for _ in range(6)]
    async with asyncio.timeout(1.5):
        await asyncio.gather(*(session.call(call) for call in slow))


async def test_a_cancelled_call_leaves_the_session_usable(each: Bench) -> None:
    session = each.open()
    await session.call(each.call())
    call = each.call("hang")
    running = asyncio.create_task(session.call(call))
    if each.kind != NOOP:
        await each.until_written(2)
    else:
        while call.called is False:
            await asyncio.wait([running], timeout=0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert call.called is None
    await session.call(each.call())


async def test_an_attempt_that_was_taken_away_is_not_called(each: Bench) -> None:
    session = each.open()
    each.ours = False
    error = await failure(session, each.call())
    assert (error.kind, error.called) == (FailureKind.LOST, False)
    assert each.written() == []


async def test_a_session_can_be_closed_twice_and_without_use(each: Bench) -> None:
    session = each.open()
    await session.close()
    await session.close()


async def test_a_noop_host_needs_the_operators_leave(tmp_path: Path) -> None:
    host = Host(id="h1", name="h1", endpoint=Noop())
    with pytest.raises(HostError, match="METAMCP_EXECUTOR_ALLOW_NOOP") as caught:
        open_session(Opening(host, tmp_path, allow_noop=False))
    assert caught.value.kind is FailureKind.UNREACHABLE


# MCP over stdio.


async def test_an_answer_is_kept_faithfully(stdio: Bench) -> None:
    value = await stdio.open().call(stdio.call(text="ä\n$x"))
    assert value == {
        "content": [{"type": "text", "text": "ä\n$x"}],
        "structured": {"result": "ä\n$x"},
        "is_error": False,
    }
    (begun,) = stdio.written()
    assert (begun["task"], begun["attempt"]) == ("t1", 1)


async def test_a_tool_error_is_one(stdio: Bench) -> None:
    error = await failure(stdio.open(), stdio.call("fail", message="because"))
    assert (error.kind, error.called) == (FailureKind.TOOL, True)
    assert "because" in error.message


async def test_a_cancelled_call_is_cancelled_at_the_server(stdio: Bench) -> None:
    session = stdio.open()
    running = asyncio.create_task(session.call(stdio.call("hang")))
    await stdio.until_written(1)
    running.cancel()
    (end,) = await stdio.until_written(1, "end")
    assert end["how"] == "cancelled"


async def test_a_timeout_keeps_the_session(stdio: Bench) -> None:
    session = stdio.open()
    await session.call(stdio.call())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await session.call(stdio.call("hang"))
    await session.call(stdio.call())
    assert len({call["pid"] for call in stdio.written()}) == 1


async def test_a_server_that_does_not_start_says_so_and_where_its_words_are(stdio: Bench) -> None:
    source = "import sys; sys.exit('Error: required in /srv/keys/.env')"
    endpoint = Stdio(sys.executable, ("-c", source))
    error = await failure(stdio.open(endpoint=endpoint), stdio.call())
    assert error.kind is FailureKind.UNREACHABLE
    assert "(it exited with code 1); the operator's log of this host" in error.message
    assert "required" not in error.message, "they are the operator's"


async def test_a_server_that_dies_in_a_call_is_cut_and_started_again(stdio: Bench) -> None:
    session = stdio.open()
    error = await failure(session, stdio.call("die", code=3))
    assert (error.kind, error.called) == (FailureKind.CUT, None)
    assert "exited with code 3" in error.message
    assert "last words of the recorder" not in error.message, "they are the operator's"
    await session.call(stdio.call())
    assert len(stdio.written()) == 2, "the call that was cut was not made again"


async def test_a_server_that_is_killed_cuts_all_its_calls(stdio: Bench) -> None:
    stdio.real = True
    session = stdio.open()
    calls = [asyncio.create_task(failure(session, stdio.call("hang"))) for _ in range(3)]
    begun = await stdio.until_written(3)
    os.kill(begun[0]["pid"], signal.SIGKILL)
    for error in await asyncio.gather(*calls):
        assert (error.kind, error.called) == (FailureKind.CUT, None)
        assert "SIGKILL" in error.message
    await session.call(stdio.call())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("no-such-command-anywhere",), "was not found"),
        (("sh", "-c", "echo no licence >&2; exit 4"), "exited with code 4"),
        (("sleep", "1000"), "did not answer within 0.5 s"),
        (("sh", "-c", "sleep 1000 & exec sleep 1000"), "did not answer within 0.5 s"),
        (("sh", "-c", "yes"), "0.5 s"),
    ],
    ids=["missing", "exits", "mute", "mute with a child", "talks nonsense"],
)
async def test_a_server_that_does_not_start_is_unreachable(
    stdio: Bench, command: tuple[str, ...], words: str
) -> None:
    endpoint = Stdio(command[0], command[1:])
    session = stdio.open(endpoint=endpoint, limits=Limits(start_s=0.5))
    async with asyncio.timeout(30):
        error = await failure(session, stdio.call())
    assert (error.kind, error.called) == (FailureKind.UNREACHABLE, False)
    assert words in error.message


async def test_no_process_is_left_behind(stdio: Bench) -> None:
    pids = stdio.folder / "pids"
    script = f"sleep 1000 & echo $! $$ > {pids}; exec sleep 1000"
    session = stdio.open(endpoint=Stdio("sh", ("-c", script)), limits=Limits(start_s=0.5))
    await failure(session, stdio.call())
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 2
    assert not alive(found[1])
    async with asyncio.timeout(30):
        # It was killed with its group; to die takes a moment.
        while not gone(found[0]):
            await moment()


async def test_closing_ends_the_server(stdio: Bench) -> None:
    stdio.real = True
    session = stdio.open()
    await session.call(stdio.call())
    pid = stdio.written()[0]["pid"]
    assert alive(pid)
    await session.close()
    assert not alive(pid)
    error = await failure(session, stdio.call())
    assert (error.kind, error.called) == (FailureKind.UNREACHABLE, False)


ORPHAN = """
import asyncio, sys
from pathlib import Path
from contracts.host import Stdio
from services.outside.mcp_child import McpChild, Tail

async def main():
    deaf = Stdio("sleep", ("1000",))
    child = await McpChild.start(deaf, Tail(Path(sys.argv[1])), 1000)
    print(child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_a_server_that_hears_nothing_dies_with_a_killed_executor(tmp_path: Path) -> None:
    executor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHAN, str(tmp_path / "log")),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert executor.stdout is not None
    async with asyncio.timeout(20):
        pid = int(await executor.stdout.readline())
        assert alive(pid)
        executor.kill()
        await executor.wait()
        while not gone(pid):
            await moment()


async def test_progress_is_passed_on(stdio: Bench) -> None:
    await stdio.open().call(stdio.call("progress", steps=3))
    assert stdio.progress == [(float(n), 3.0, f"step {n}") for n in (1, 2, 3)]


async def test_an_answer_over_the_limit_is_refused_and_harms_no_other(stdio: Bench) -> None:
    session = stdio.open(limits=Limits(max_output_bytes=100_000))
    beside = asyncio.create_task(session.call(stdio.call("work", ms=500)))
    error = await failure(session, stdio.call("big", bytes=3_000_000))
    assert (error.kind, error.called) == (FailureKind.TOO_LARGE, True)
    assert (await beside)["is_error"] is False
    value = await session.call(stdio.call("big", bytes=40_000))
    assert len(value["content"][0]["text"]) == 40_000


async def test_what_a_server_says_is_kept_in_a_file(stdio: Bench) -> None:
    session = stdio.open()
    await failure(session, stdio.call("die"))
    kept = (stdio.folder / "hosts" / "h1.log").read_text()
    assert "last words of the recorder" in kept
