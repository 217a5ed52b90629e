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

from services.process.child import alive, bound, gone

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
    async with asyncio.timeout(5):
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
