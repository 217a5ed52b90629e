"""A router that has lost its view takes the copy, and has what it would have from the log."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from contracts.facts import AnyFact, McpRegistered
from contracts.host import Host, Noop
from services.log.memory import MemoryLog
from services.log.projection import Projection
from services.process.ids import new_id
from services.process.troubles import ProcessTroubles
from services.router import saved
from services.router.actor import Router, Writer
from services.router.projection import SCHEMA, VERSION
from services.router.restored import OpenAgain
from services.router.saved import Copier, restore
from services.router.settings import Settings
from services.store.stream import StoreError
from tests.support import facts
from tests.support.spoiled import header
from tests.unit.router.bench import MemoryLeases


class MemoryCopies:
    """What the object store keeps."""

    def __init__(self) -> None:
        self.kept: tuple[int, bytes] | None = None
        self.away = False

    async def put(self, version: int, data: bytes) -> None:
        if self.away:
            raise StoreError("away")
        self.kept = version, data

    async def get(self, version: int) -> bytes | None:
        if self.away:
            raise StoreError("away")
        return self.kept[1] if self.kept and self.kept[0] == version else None


@contextlib.asynccontextmanager
async def routed(
    log: MemoryLog, path: Path, put: Callable[[], Awaitable[bool]] | None = None
) -> AsyncIterator[Projection]:
    """A router that only follows, once its rows are complete."""
    projection = Projection(path, SCHEMA, VERSION, restore=put)
    standing = OpenAgain(path.parent / "restored.json", ProcessTroubles())
    router = Router(log, projection, MemoryLeases(), Settings(), Writer("r", "i"), standing)
    following = asyncio.create_task(router._follow())
    assert await projection.reached(await log.head(), 10)
    yield projection
    following.cancel()
    await asyncio.wait([following])
    await projection.close()


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        names = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {name: sorted(db.execute(f"SELECT * FROM {name}"), key=repr) for name in names}


async def write(log: MemoryLog, first: int, last: int) -> None:
    """A host, and tasks of which every third is not over."""
    some: list[AnyFact] = []
    if not first:
        spec = Host(id="h1", name="One", endpoint=Noop())
        some.append(McpRegistered(id=new_id(), by="r", host="h1", k=1, spec=spec))
    for n in range(first, last):
        some += [facts.created("alice", f"t{n}"), facts.routed("alice", f"t{n}")]
        if n % 3:
            some += [facts.signed("alice", f"t{n}")]
            some += [facts.done("alice", f"t{n}", attempt=1, host="h1")]
    for fact in some:
        await log.append(fact)


def copier(copies: MemoryCopies, path: Path, at: int = saved.COPY_FACTS) -> Copier:
    return Copier(copies, path, lambda: True, lambda: at)


def putting(copies: MemoryCopies, path: Path) -> tuple[list[bool], Callable[[], Awaitable[bool]]]:
    """`restore` of this view, and what it has answered."""
    answers: list[bool] = []

    async def put() -> bool:
        answers.append(await restore(copies, path))
        return answers[-1]

    return answers, put


async def test_a_copy_and_what_came_after_it_are_the_view(tmp_path: Path) -> None:
    log, copies = MemoryLog(), MemoryCopies()
    path, other = tmp_path / "views" / "r.sqlite", tmp_path / "views" / "other.sqlite"
    await write(log, 0, 20)
    async with routed(log, path) as projection:
        at = projection.position
        await copier(copies, path).look()
    path.unlink()
    await write(log, 20, 40)
    await restore(copies, path)
    restored = await Projection.open(path, SCHEMA, VERSION)
    assert restored.position == at > 0
    await restored.close()
    for place in (path, other):
        async with routed(log, place):
            pass
    assert rows(path) == rows(other)
    assert [one.name for one in path.parent.iterdir() if "copy" in one.name] == []


async def test_a_damaged_view_begins_with_the_copy(tmp_path: Path) -> None:
    log, copies = MemoryLog(), MemoryCopies()
    path, other = tmp_path / "views" / "r.sqlite", tmp_path / "views" / "other.sqlite"
    await write(log, 0, 20)
    async with routed(log, path):
        await copier(copies, path).look()
    await write(log, 20, 40)
    async with routed(log, other):
        pass
    header(path)
    begun, put = putting(copies, path)
    async with routed(log, path, put):
        assert begun == [False, True]
    assert rows(path) == rows(other)


async def test_a_view_of_another_log_takes_no_copy(tmp_path: Path) -> None:
    copies, path = MemoryCopies(), tmp_path / "r.sqlite"
    one, another = MemoryLog(), MemoryLog()
    await write(one, 0, 40)
    await write(another, 0, 20)
    async with routed(one, path):
        await copier(copies, path).look()
    begun, put = putting(copies, path)
    async with routed(another, path, put):
        assert begun == [False]


async def test_a_copy_of_another_log_is_not_taken_for_this_one(tmp_path: Path) -> None:
    copies, path = MemoryCopies(), tmp_path / "r.sqlite"
    one, another = MemoryLog(), MemoryLog()
    await write(one, 0, 20)
    await write(another, 0, 40)
    async with routed(one, path):
        await copier(copies, path).look()
    path.unlink()
    await restore(copies, path)
    async with routed(another, path):
        pass
    async with routed(another, tmp_path / "other.sqlite"):
        pass
    assert rows(path) == rows(tmp_path / "other.sqlite")


async def test_only_the_active_router_copies_and_only_what_is_new(tmp_path: Path) -> None:
    log, copies, path = MemoryLog(), MemoryCopies(), tmp_path / "r.sqlite"
    await write(log, 0, 2)
    async with routed(log, path):
        await Copier(copies, path, lambda: False, lambda: saved.COPY_FACTS).look()
        await copier(copies, path, saved.COPY_FACTS - 1).look()
        assert copies.kept is None
        again = copier(copies, path)
        copies.away = True
        await again.look()
        copies.away = False
        await again.look()
        assert copies.kept is not None
        copies.kept = None
        await again.look()
        assert copies.kept is None


@pytest.mark.parametrize("content", [b"a view", b""])
async def test_a_view_that_is_there_is_left_alone(tmp_path: Path, content: bytes) -> None:
    copies, path = MemoryCopies(), tmp_path / "r.sqlite"
    copies.kept = VERSION, zlib.compress(b"a copy")
    path.write_bytes(content)
    await restore(copies, path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("data", [b"", b"no zlib", zlib.compress(b"x" * 100)[:-4]])
async def test_what_is_no_copy_is_not_taken(tmp_path: Path, data: bytes) -> None:
    copies, path = MemoryCopies(), tmp_path / "r.sqlite"
    copies.kept = VERSION, data
    await restore(copies, path)
    assert not path.exists()
    copies.kept = VERSION + 1, zlib.compress(b"of another release")
    await restore(copies, path)
    copies.away = True
    await restore(copies, path)
    assert not path.exists()
