"""A child ends with its parent, whatever ends that; one that was killed is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any

import pytest

from services.process.child import alive, begun, bound, gone

PARENT = """
import subprocess, sys
from services.process.child import bound
child = subprocess.Popen(bound(sys.argv[1], "600"))
print("started", flush=True)
child.wait()
"""


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None
    return found


async def test_a_child_ends_with_a_parent_that_is_killed() -> None:
    command = (sys.executable, "-c", PARENT, program("sleep"))
    parent = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE)
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"started\n"
    parent.kill()
    # The child holds the pipe too: it ends once both are gone.
    async with asyncio.timeout(30):
        assert await parent.stdout.read() == b""
    await parent.wait()


def test_a_child_of_somebody_else_does_not_run() -> None:
    command = ["1" if part == str(os.getpid()) else part for part in bound(program("echo"), "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "whoever started this program is gone" in done.stderr


def test_the_program_gets_its_arguments_as_they_are() -> None:
    command = bound(program("echo"), "one", "two", "-c", "*")
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout == b"one two -c *\n"


def test_alive() -> None:
    assert [alive(pid) for pid in (os.getpid(), 1, 2**70)] == [True, True, False]


def test_who_has_ended_is_not_alive() -> None:
    ended = subprocess.Popen([program("true")])
    ended.wait()
    assert not alive(ended.pid)


@pytest.mark.parametrize("read", [0, 1 << 20])
async def test_a_killed_child_is_gone_however_much_it_had_to_say(read: int) -> None:
    process = await asyncio.create_subprocess_exec("yes", stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    # Until nobody takes more of it from the pipe.
    await process.stdout.readexactly(read)
    await until_full(process.stdout)
    process.kill()
    async with asyncio.timeout(4):
        await gone(process)
    assert process.returncode == -9


async def until_full(stream: asyncio.StreamReader) -> None:
    reader: Any = stream
    never = asyncio.Event()
    while not reader._paused:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(never.wait(), 0.01)


LISTED = """
import os, sys
for one in sorted(map(int, os.listdir("/proc/self/fd"))):
    if one > 2 and os.path.exists(f"/proc/self/fd/{one}"):
        print(one, os.readlink(f"/proc/self/fd/{one}"), file=sys.stderr)
print("listed", file=sys.stderr)
"""
INHERITABLE = """
import asyncio, os, sys
import uvloop
from contracts.host import Stdio
from services.outside.mcp_child import McpChild, Tail

async def main():
    tail = Tail()
    child = await McpChild.start(Stdio(sys.executable, ("-c", sys.argv[1])), tail, 1000)
    async with child.streams():
        await child.gone.wait()
    await child.stop()
    print(tail.lines(20))

reading, writing = os.pipe()
os.set_inheritable(writing, True)
(uvloop.run if sys.argv[2] == "uvloop" else asyncio.run)(main())
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc here")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_host_gets_none_of_our_descriptors_but_its_pipes(loop: str) -> None:
    command = [sys.executable, "-c", INHERITABLE, LISTED, loop]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == "listed\n"


def test_a_child_keeps_what_it_is_to_keep() -> None:
    reading, writing = os.pipe()
    other = os.dup(writing)
    says = f"import os; os.write({writing}, b'kept'); os.write({other}, b'no')"
    command = bound(sys.executable, "-c", says, keep=[writing])
    subprocess.run(command, pass_fds=(writing, other), capture_output=True, check=False)
    os.close(writing)
    os.close(other)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "kept"


async def test_who_is_cancelled_while_it_starts_a_child_leaves_nothing() -> None:
    """asyncio itself would wait for the end of what the child has started."""
    reading, writing = os.pipe()
    command = ("/bin/sh", "-c", "sleep 600 & echo; wait")
    options = {"stdin": PIPE, "stdout": writing, "stderr": PIPE, "start_new_session": True}
    starting = asyncio.create_task(begun(*command, **options))
    loop = asyncio.get_running_loop()
    for _ in range(2):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
    assert not starting.done()
    # The child has started what it starts before anybody here has heard of it.
    assert os.read(reading, 1) == b"\n"
    os.close(writing)
    starting.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert await asyncio.to_thread(os.read, reading, 1) == b"", "nobody has the pipe"
    os.close(reading)
