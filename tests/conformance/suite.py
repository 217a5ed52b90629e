"""Runs of the suite, each held against its part of `baseline.yml`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.foreign import install
from tests.support.foreign.program import run
from tests.support.forked import Forked

BASELINE = Path(__file__).with_name("baseline.yml")
LIMIT_S = 280
SCENARIO_MS = 150_000
"""For one scenario; those of clients are all begun at once, and wait for each other."""


async def node() -> install.Node:
    """What the suite runs in; where it is not to be had, the test is left out."""
    try:
        return await asyncio.to_thread(install.node)
    except install.NotToBeHad as error:
        pytest.skip(str(error))


@contextlib.asynccontextmanager
async def fixture() -> AsyncIterator[tuple[str, str]]:
    """The host of ours: where it is of both protocol eras, and where of the older one."""
    one = Forked("tests.conformance.host", os.environ)
    try:
        newer, older = (await one.line()).split()
        yield newer, older
    finally:
        await one.kill()


def expected(role: str, name: str) -> list[str]:
    """What may fail in one run: for every run of a role (`server`), and for it (`server NAME`)."""
    every: dict[str, list[str] | None] = yaml.safe_load(BASELINE.read_text())
    return [*(every.get(role) or ()), *(every.get(f"{role} {name}") or ())]


async def ran(
    node: install.Node, folder: Path, role: str, name: str, *words: str, **variables: str
) -> tuple[str, set[str]]:
    """Run the suite once: what is wrong, and which entries of the baseline have failed."""
    file = folder / f"{role}-{name}.yml"
    wanted = expected(role, name)
    file.write_text(yaml.safe_dump({role: wanted}))
    command: tuple[Any, ...] = (*node.program("conformance"), role, *words)
    judged = ("--expected-failures", str(file), "--timeout", str(SCENARIO_MS))
    kept = ("-o", str(folder / f"{role}-{name}"))
    ended = await run(*command, *judged, *kept, limit_s=LIMIT_S, PATH=node.path, **variables)
    lines = ended.out.splitlines()
    failed = {line.strip().removeprefix("~ ") for line in lines if line.startswith("  ~ ")}
    (folder / f"{role}-{name}.txt").write_text(ended.out + ended.err)
    start = next((n for n, line in enumerate(lines) if "SUMMARY" in line), 0)
    told = "" if ended.status == 0 else f"{role} {name}:\n" + "\n".join(lines[start:])
    return told, failed & set(wanted)


def never_failed(role: str, failed: dict[str, set[str]]) -> list[str]:
    """Entries of the baseline with which nothing was wrong in any of their runs."""
    every: dict[str, list[str] | None] = yaml.safe_load(BASELINE.read_text())
    anywhere = set().union(*failed.values())
    stale = [one for one in every.get(role) or () if one not in anywhere]
    for name, found in failed.items():
        stale += [one for one in every.get(f"{role} {name}") or () if one not in found]
    return stale
