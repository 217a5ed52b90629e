"""Rows: written in whatever portions, the tables are those of the whole log."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import FailureKind, Record
from services.router.domain import evolve, initial
from services.router.projection import SCHEMA, rows
from services.router.state import Changes
from tests.unit.router.world import World, host, one_route, ready


def lives() -> World:
    """Tasks that wait, run, fail and are done, one of them under a host that goes."""
    world = ready(host("a", 5), host("b", 5, "other"))
    for n in range(3):
        world.submit(f"t{n}")
        world.sign(route := one_route(world))
        if n:
            world.succeed(route)
        else:
            world.fail(route, FailureKind.TOOL, retryable=True)
    world.submit("held", type="other")
    world.sign(one_route(world))
    world.remove("b")
    return world


def written(records: list[Record], ends: set[int]) -> tuple[dict[str, list[tuple]], int]:
    """The tables when rows are written behind each of these sequences, and how many rows it took;
    what was folded between two writes comes in batches of one fact."""
    file = sqlite3.connect(":memory:")
    for statement in SCHEMA:
        file.execute(statement)
    state, unwritten, count = initial(), Changes(), 0
    for record in records:
        evolve(state, record)
        unwritten.add(state.take_changes())
        if record.seq in ends or record is records[-1]:
            for change in rows(state, unwritten):
                file.executemany(change.sql, change.rows)
                count += len(change.rows)
            unwritten = Changes()
    tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master")]
    found = {name: sorted(file.execute(f"SELECT * FROM {name}")) for name in tables}
    file.close()
    return found, count


LIFE = lives().records


@given(st.sets(st.integers(1, len(LIFE))))
def test_the_tables_do_not_depend_on_when_they_are_written(ends: set[int]) -> None:
    each, _ = written(LIFE, {record.seq for record in LIFE})
    assert written(LIFE, ends)[0] == each


def test_a_task_that_came_and_went_between_two_writes_costs_no_row() -> None:
    world = ready(host("a", 5))
    quiet = written(world.records, set())[1]
    world.submit("t1")
    world.sign(route := one_route(world))
    world.succeed(route)
    _, count = written(world.records, set())
    assert count == quiet + 1, "how the host has done"


def test_a_row_leaves_out_what_a_failure_has_reset() -> None:
    world = ready(host("a", 1))
    world.submit("t1")
    world.sign(route := one_route(world))
    world.fail(route, FailureKind.TOOL, retryable=True)
    ((_, row),) = written(world.records, set())[0]["router_tasks"]
    assert b"permit_until" not in row
    assert b"executor" not in row
