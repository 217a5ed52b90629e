"""A view rebuilt from the log equals the one that grew with it, row for row (invariant 5)."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from contracts.facts import Record
from contracts.subjects import matches
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def rows(data: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of every projection under the data folder."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for path in sorted(data.rglob("*.sqlite")):
        with closing(sqlite3.connect(path)) as db:
            names = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
            for name in names:
                if not name.startswith("sqlite_"):
                    listed = db.execute(f"SELECT * FROM {name}").fetchall()
                    found[f"{path.name}/{name}"] = sorted(listed, key=repr)
    return found


FOLLOWS = {
    "router": (">",),
    "gateway": (">",),
    "registry": ("mcp.>",),
    "executor": ("mcp.registered.>", "mcp.removed.>", "task.cancelled.>"),
    "results": ("job.done.>", "result.>"),
}


def head(records: list[Record], filters: tuple[str, ...]) -> int:
    """Sequence of the last fact that one of the filters selects."""
    return max((r.seq for r in records if any(matches(f, r.subject) for f in filters)), default=0)


async def settled(one: System) -> dict[str, list[tuple[object, ...]]]:
    """The rows once every view has all that it follows."""
    records = await one.facts()
    heads = {name: head(records, filters) for name, filters in FOLLOWS.items()}
    found: dict[str, list[tuple[object, ...]]] = {}

    async def reached() -> bool:
        nonlocal found
        found = rows(one.running.data)
        marks = {name: kept[0][3] for name, kept in found.items() if name.endswith("/checkpoint")}
        assert len(marks) == len(FOLLOWS), marks
        wanted = {mark: next(h for n, h in heads.items() if n in mark) for mark in marks}
        return all(int(str(marks[mark])) >= head for mark, head in wanted.items())

    await until(reached)
    return found


async def test_deleting_every_view_brings_the_same_rows_back(tmp_path: Path) -> None:
    async with system(tmp_path, {"one": 4}, real=False) as one:
        work = [
            {"tool": "echo", "arguments": {"text": "x"}},
            {"tool": "fail", "arguments": {}},
            {"tool": "big", "arguments": {"bytes": 200_000}},
        ]
        tasks = [await one.submit(input=item) for item in work * 5]
        waiting = await one.submit(input=work[0], delay_s=3000)
        await one.submit(type="nobody_does_this")
        await asyncio.gather(*(one.finished(task) for task in tasks))
        assert (await one.task(waiting))["status"] == "pending"
        grown = await settled(one)
    for path in (tmp_path / "data").rglob("*.sqlite*"):
        path.unlink()
    async with system(tmp_path, {"one": 4}, real=False) as one:
        rebuilt = await settled(one)
        assert (await one.task(waiting))["status"] == "pending"
    assert sorted(rebuilt) == sorted(grown)
    for name, listed in grown.items():
        if not name.endswith(("/checkpoint", "router_meta")):
            assert rebuilt[name] == listed, name
