"""Hosts that fail: nothing that is not a call's own answer may become its result."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from tests.failures.faulty_host import FAULT
from tests.failures.stage import ROOT, Stage, stage
from tests.failures.trial import BACK_S, Failure
from tests.support.system import until

MANIFEST = """
[hosts.faulty]
endpoint = {{ kind = "http", url = "{url}" }}
limits = {{ max_concurrency = 4, start_s = 2.0 }}
probe = {{ interval_s = 1.0 }}

[hosts.faulty.task_types.say]
summary = "Say a word"
[[hosts.faulty.task_types.say.steps]]
tool = "say"
arguments = {{ word = "$input.word" }}
"""
CALLS = 40


class Faulty(NamedTuple):
    """The host, and the file that says what is wrong with it."""

    manifest: Path
    file: Path

    def is_now(self, fault: str) -> None:
        """From now on this is wrong with it."""
        self.file.write_text(fault)


@contextlib.asynccontextmanager
async def faulty(folder: Path) -> AsyncIterator[Faulty]:
    """The host as a process of its own; nothing is wrong with it yet."""
    one = Faulty(folder / "faulty.toml", folder / "fault")
    one.is_now("right")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.failures.faulty_host"),
        cwd=ROOT,
        env=os.environ | {FAULT: str(one.file)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    one.manifest.write_text(MANIFEST.format(url=url))
    try:
        yield one
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def faulty_stage(folder: Path) -> AsyncIterator[tuple[Stage, Faulty]]:
    """The orchestrator with this host beside the steady one."""
    async with faulty(folder) as host, stage(folder, hosts=(host.manifest,)) as one:
        yield one, host


def answers(host: Faulty, fault: str) -> Failure:
    """The host fails, and is called all the while."""
    calling: list[asyncio.Task[list[str]]] = []

    async def begin(one: Stage) -> None:
        host.is_now(fault)
        calling.append(asyncio.create_task(said(one, fault)))

    async def named(one: Stage) -> bool:
        return await _status(one) != "healthy"

    async def end(one: Stage) -> None:
        host.is_now("right")
        await asyncio.gather(*calling)

        async def right() -> bool:
            again = await said(one, f"{fault}-after", count=1)
            return again == ["succeeded"] and await _status(one) == "healthy"

        await until(right, seconds=BACK_S)

    # Where each call has its own answer before the stray one comes, nothing fails.
    if fault == "second":
        return Failure(f"answers_{fault}", begin, end, 3)
    return Failure(f"answers_{fault}", begin, end, 3, shown=named, advice="metamcp hosts faulty")


async def _status(one: Stage) -> str:
    """How the host is, as health says it."""
    found = (await one.http.get(f"{one.url}/api/mcps/faulty")).json()["data"]
    return str(found["health"]["status"])


async def said(one: Stage, label: str, count: int = CALLS) -> list[str]:
    """Have words said at once; the statuses. A word that is another's fails."""

    async def ask(number: int) -> str:
        word = f"{label}-{number}"
        body = {"type": "say", "input": {"word": word}, "timeout_s": 1.0, "deadline_s": 20.0}
        params = {"wait": 25}
        answer = await one.http.post(f"{one.url}/api/tasks", json=body, params=params, timeout=40)
        found = answer.json()["data"]
        if found["status"] == "succeeded":
            result = await one.http.get(f"{one.url}/api/tasks/{found['id']}/result")
            assert f'"{word}"' in result.text, (word, result.text)
        return str(found["status"])

    return list(await asyncio.gather(*(ask(number) for number in range(count))))
