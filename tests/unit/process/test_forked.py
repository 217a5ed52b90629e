"""What is forked for a test ends, is ended and is told apart like a program that was started."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from services.process.child import alive
from tests.support import forked
from tests.support.system import until

PROGRAM = """
import os, signal, sys, uuid

print(os.getpid(), os.getcwd(), *sys.argv[1:], os.environ["WORD"], uuid.uuid4(), flush=True)
sys.stderr.write("on stderr")
word = sys.stdin.readline().strip()
if word == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
    print("waits", flush=True)
    signal.pause()
sys.exit(int(word))
"""


@pytest.fixture
async def begun(tmp_path: Path) -> asyncio.subprocess.Process:
    (tmp_path / "program.py").write_text(PROGRAM)
    return await begin(tmp_path)


async def begin(folder: Path) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *forked.command(str(folder / "program.py"), "a b"),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        cwd=folder,
        env={"WORD": "hello"},
    )


async def told(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode().split()


async def test_it_has_what_it_was_started_with_and_its_end_is_passed_on(
    begun: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    assert (await told(begun))[1:5] == [str(tmp_path), "a", "b", "hello"]
    assert await begun.communicate(b"7\n") == (b"", b"on stderr")
    assert begun.returncode == 7


async def test_no_two_are_alike(begun: asyncio.subprocess.Process, tmp_path: Path) -> None:
    other = await begin(tmp_path)
    assert (await told(begun))[-1] != (await told(other))[-1]
    for one in (begun, other):
        await one.communicate(b"0\n")


async def test_who_is_asked_to_end_may_do_so_in_its_own_way(
    begun: asyncio.subprocess.Process,
) -> None:
    await told(begun)
    assert begun.stdin is not None
    begun.stdin.write(b"wait\n")
    assert await told(begun) == ["waits"]
    begun.terminate()
    await begun.communicate()
    assert begun.returncode == 5


@pytest.mark.parametrize("whom", ["the program", "the one that stands for it"])
async def test_a_kill_ends_both(begun: asyncio.subprocess.Process, whom: str) -> None:
    pid = int((await told(begun))[0])
    os.kill(pid if whom == "the program" else begun.pid, signal.SIGKILL)
    # Both ends of a pipe are gone only with both processes.
    await begun.communicate()
    assert begun.returncode == -signal.SIGKILL

    async def gone() -> bool:
        return not alive(pid)

    await until(gone)
