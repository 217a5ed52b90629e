"""The engine's processes, with programs in their place that misbehave in real ways."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from services.registry.builtin.code.workers import Declined, Lost, NotStarted, Workers

PROGRAM = """\
#!{python}
import json, os, signal, struct, sys

def told(answer):
    data = json.dumps(answer).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
    sys.stdout.buffer.flush()

told({{"ready": True}})
while head := sys.stdin.buffer.read(4):
    request = json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))
    do = request["do"]
    with open({log!r}, "a") as log:
        log.write(f"{{os.getpid()}} {{do}}\\n")
    if do == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if do == "quit":
        print("no more of this", file=sys.stderr)
        sys.exit(3)
    if do == "hang":
        signal.pause()
    if do == "big":
        sys.stdout.buffer.write(struct.pack(">I", 2**31))
        sys.stdout.buffer.flush()
        signal.pause()
    if do == "refuse":
        told({{"refused": "not like this"}})
    elif do == "fail":
        told({{"failed": "KeyError: 'x'"}})
    else:
        told({{"answer": {{"pid": os.getpid(), "text": request.get("text")}}}})
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def python(tmp_path: Path, log: Path) -> Path:
    program = tmp_path / "python"
    program.write_text(PROGRAM.format(python=sys.executable, log=str(log)))
    program.chmod(0o755)
    return program


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_is_used_again(python: Path) -> None:
    workers = Workers(python, 1)
    answers = [await workers.ask("echo", text="é") for _ in range(3)]
    assert {one["text"] for one in answers} == {"é"}
    assert len({one["pid"] for one in answers}) == 1
    await workers.close()
    assert not alive(answers[0]["pid"])


async def test_as_many_side_by_side_as_allowed(python: Path) -> None:
    workers = Workers(python, 2)
    answers = await asyncio.gather(*(workers.ask("echo") for _ in range(20)))
    assert len({one["pid"] for one in answers}) <= 2
    await workers.close()


@pytest.mark.parametrize(
    ("do", "reason", "says"),
    [
        ("crash", "crashed", "signal 11"),
        ("quit", "crashed", "status 3: no more of this"),
        ("hang", "time_limit", "longer than 1 s"),
        ("big", "failed", "bytes, more than"),
    ],
)
async def test_who_loses_its_process_fails_alone(
    python: Path, do: str, reason: str, says: str
) -> None:
    workers = Workers(python, 1, file_s=1.0)
    before = await workers.ask("echo")
    with pytest.raises(Lost) as lost:
        await workers.ask(do)
    assert (lost.value.reason, says in str(lost.value)) == (reason, True), lost.value
    assert not alive(before["pid"])
    after = await workers.ask("echo", text="next")
    assert (after["text"], after["pid"] != before["pid"]) == ("next", True)
    await workers.close()


async def test_what_is_refused_or_fails_costs_no_process(python: Path) -> None:
    workers = Workers(python, 1)
    before = await workers.ask("echo")
    with pytest.raises(Declined, match="not like this"):
        await workers.ask("refuse")
    with pytest.raises(Lost, match="KeyError"):
        await workers.ask("fail")
    assert (await workers.ask("echo"))["pid"] == before["pid"]
    await workers.close()


async def test_who_is_cancelled_takes_the_work_along(python: Path, log: Path) -> None:
    workers = Workers(python, 1)
    before = await workers.ask("echo")
    hanging = asyncio.create_task(workers.ask("hang"))
    async with asyncio.timeout(20):
        while "hang" not in await asyncio.to_thread(log.read_text):
            await asyncio.to_thread(os.sched_yield)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert not alive(before["pid"])
    assert (await workers.ask("echo"))["pid"] != before["pid"]
    await workers.close()


async def test_an_engine_that_does_not_start_says_why(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'no module named lizard' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(NotStarted, match="no module named lizard"):
        await Workers(program, 1).ask("echo")
