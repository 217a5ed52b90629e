"""The views of all five services, built from one log as the services build them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from contracts import subjects
from services.executor import projection as executor
from services.gateway import projection as gateway
from services.log.memory import MemoryLog
from services.log.port import Batch
from services.log.projection import Apply, OnBatch, Projection, project
from services.registry import projection as registry
from services.results import projection as results
from services.results.actor import FILTERS as RESULTS
from services.router import projection as router
from services.router.domain import evolve, initial
from services.router.state import State

EVERYTHING = (">",)
OURS = ("checkpoint", "passed_over")


class Line(msgspec.Struct, frozen=True):
    """A line of a golden log."""

    seq: int
    at: float
    subject: str
    fact: msgspec.Raw


class Views(NamedTuple):
    """What the services hold of one log."""

    router: State
    rows: dict[str, dict[str, list[tuple[Any, ...]]]]
    """By service and table."""
    passed_over: dict[str, set[str]]


class View(NamedTuple):
    """How one service builds its own."""

    schema: Sequence[str]
    version: int
    filters: Sequence[str]
    apply: Apply
    on_batch: OnBatch | None = None


def lines(path: Path) -> list[Line]:
    return [msgspec.json.decode(text, type=Line) for text in path.read_bytes().splitlines()]


def log_of(found: Sequence[Line]) -> MemoryLog:
    log = MemoryLog()
    for line in found:
        log.foreign(line.subject, bytes(line.fact), line.at)
    return log


async def views(log: MemoryLog, folder: Path) -> Views:
    """Follow the log to its end with all of them."""
    state, hosts = initial(), registry.View()

    def route(batch: Batch) -> None:
        for record in batch.records:
            evolve(state, record)

    every = {
        "router": View(
            router.SCHEMA,
            router.VERSION,
            EVERYTHING,
            lambda records: router.rows(state, state.take_changes()),
            route,
        ),
        "registry": View(
            registry.SCHEMA,
            registry.VERSION,
            subjects.HOSTS,
            hosts.apply,
            lambda batch: hosts.fold(batch.records),
        ),
        "executor": View(executor.SCHEMA, executor.VERSION, executor.FILTERS, executor.apply),
        "results": View(results.SCHEMA, results.VERSION, RESULTS, results.Rows().apply),
        "gateway": View(gateway.SCHEMA, gateway.VERSION, EVERYTHING, gateway.apply),
    }
    rows, passed = {}, {}
    for name, view in every.items():
        rows[name], passed[name] = await _built(log, folder / f"{name}.sqlite", view)
    return Views(state, rows, passed)


async def _built(
    log: MemoryLog, path: Path, view: View
) -> tuple[dict[str, list[tuple[Any, ...]]], set[str]]:
    projection = await Projection.open(path, view.schema, view.version)
    work = project(log, projection, view.filters, view.apply, on_batch=view.on_batch)
    following = asyncio.create_task(work)
    try:
        reached = asyncio.create_task(projection.reached(await log.head(), 20))
        await asyncio.wait((following, reached), return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
        assert await reached, f"{path.name} stands still at {projection.position}"
    finally:
        following.cancel()
        await asyncio.wait([following])
        await projection.close()
    return dump(path), projection.passed_over


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a view that is closed."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {n: sorted(db.execute(f"SELECT * FROM {n}"), key=repr) for n in names}
    return {name: rows for name, rows in found.items() if name not in OURS}
