"""A child ends with its parent, whatever ends that."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE

from services.process.child import alive, bound

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
