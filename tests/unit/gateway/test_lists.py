"""Pages of tasks: each combination of filters gives what it should, out of an index alone."""

from __future__ import annotations

import inspect
import itertools
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from contracts.status import OVER, Status
from services.gateway import lists
from services.gateway import projection as tables
from services.gateway.http import projects, tasks
from services.gateway.rows import Query, TaskRow
from services.log.projection import Projection

FILTERS = {
    "user": (None, "u1"),
    "project": (None, "p1"),
    "status": (None, Status.PENDING, Status.FAILED),
    "type": (None, "scan"),
    "over": (None, True, False),
    "cursor": (None, 90),
}
"""Values of each field of a `Query` that is a filter."""
PAGING = {"limit", "offset"}
READS = re.compile(
    r"SEARCH tasks USING (COVERING INDEX \w+ \((project=\? AND )?(user=\? AND )?(type=\? AND )?"
    r"status=\? AND created_seq<\?\)|PRIMARY KEY \(user=\? AND id=\?\))"
)
OTHERS = re.compile(r"MERGE \(UNION ALL\)|LEFT|RIGHT|CO-ROUTINE page|SCAN page")
"""The rest of a plan: putting together what was found."""


def queries() -> Iterator[Query]:
    for values in itertools.product(*FILTERS.values()):
        chosen = Query(limit=7, **dict(zip(FILTERS, values, strict=True)))  # type: ignore[arg-type]
        if chosen.user is not None or chosen.project is not None:
            yield chosen


def filled(path: str) -> sqlite3.Connection:
    """Tables with a hundred tasks of all sorts."""
    chance = random.Random(1)
    db = sqlite3.connect(path)
    for statement in tables.SCHEMA:
        db.execute(statement)
    for seq in range(1, 101):
        status = chance.choice(list(Status))
        what = chance.choice(("u1", "u2")), f"t{seq}", chance.choice(("scan", "parse"))
        end = 1.0 if status in OVER else None
        row = (*what, "normal", status.value, seq, 1.0, seq, 1.0, end, 0, "", 0, "", 0, "")
        db.execute(tables._INSERT_TASK, (*row, chance.choice(("", "p1", "p2")), ""))
    db.commit()
    return db


def test_every_filter_of_the_api_is_tried() -> None:
    assert set(Query._fields) == {*FILTERS, *PAGING}
    routes = (tasks.list_tasks, projects.list_project_tasks)
    asked = {name for route in routes for name in inspect.signature(route.fn).parameters}
    assert asked - {"parts", "principal", "mark"} <= {*FILTERS, *PAGING}


def test_a_page_of_any_combination_is_read_out_of_an_index() -> None:
    with closing(filled(":memory:")) as db:
        for query in queries():
            if not (statuses := lists._statuses(query)):
                continue
            sql, values = lists.statement(query, statuses)
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            odd = [step for step in plan if not (READS.fullmatch(step) or OTHERS.fullmatch(step))]
            assert not odd, (query, plan)
            found = [step for step in plan if "COVERING" in step]
            assert len(found) == len(statuses), (query, plan)
            for name in ("user", "project", "type"):
                wanted = getattr(query, name) is not None
                assert all((f"{name}=?" in step) == wanted for step in found), (query, plan)


@pytest.mark.parametrize("offset", [0, 3])
async def test_pages_hold_what_was_asked_for_newest_first(tmp_path: Path, offset: int) -> None:
    filled(str(tmp_path / "view.sqlite")).close()
    projection = await Projection.open(tmp_path / "view.sqlite", tables.SCHEMA, tables.VERSION)
    every = await lists.list_tasks(projection, Query("u1", 100))
    every += await lists.list_tasks(projection, Query("u2", 100))
    every.sort(key=lambda row: -row.seq)
    assert len(every) == 100
    for query in queries():
        wanted = [row for row in every if fits(query, row)][offset:][: query.limit]
        found = await lists.list_tasks(projection, query._replace(offset=offset))
        assert found == wanted, query
    await projection.close()


def fits(query: Query, row: TaskRow) -> bool:
    return (
        query.user in (None, row.user)
        and query.project in (None, row.project)
        and query.status in (None, row.status)
        and query.type in (None, row.type)
        and query.over in (None, row.status in OVER)
        and (query.cursor is None or row.created_seq < query.cursor)
    )
