"""Pages of results: each combination of filters gives what it should, out of an index alone."""

from __future__ import annotations

import itertools
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import AnyFact, Record, ResultDeleted, ResultStored
from contracts.result import Kept, Pointer, ResultListRequest, inline
from contracts.subjects import of
from services.log.port import Checkpoint
from services.log.projection import Projection, merge
from services.process.ids import new_id
from services.results import pages
from services.results import projection as tables
from services.results.domain import place_of
from tests.support import facts

DAY_S = 86_400.0
FILTERS: dict[str, tuple[Any, ...]] = {
    "cursor": (None, 0, 37, 400),
    "kind": (None, "inline", "object_store", "dataset"),
    "host": (None, "h1"),
    "since": (None, 0.3 * DAY_S, 2 * DAY_S, 2.5 * DAY_S),
    "until": (None, 2.6 * DAY_S, 4 * DAY_S),
    "deleted": (None, True, False),
}
READS = re.compile(
    r"SEARCH results USING ((COVERING )?INDEX (results_(user|host)|sqlite_autoindex_\w+) \(user=\?"
    r"( AND host=\?)? AND place=\? AND gone=\? AND created>\? AND (\(created,seq\)<\(\?,\?\)"
    r"|created<\?)\)|INTEGER PRIMARY KEY \(rowid=\?\))"
)
OTHERS = re.compile(r"MERGE \(UNION ALL\)|LEFT|RIGHT|CO-ROUTINE page|SCAN page")
PLACES = {
    "inline": "",
    "object_store": "nats://METAMCP_BLOBS/u/x",
    "dataset": f"hf://datasets/u/d@{'0' * 40}/x",
}


def requests() -> Iterator[ResultListRequest]:
    for values in itertools.product(*FILTERS.values()):
        yield ResultListRequest("u", 5, **dict(zip(FILTERS, values, strict=True)))


def history() -> list[Record]:
    """Results of all sorts over five days; some move, some go, some are of a later attempt."""
    chance = random.Random(1)
    made: list[AnyFact] = []
    for i in range(120):
        host, task = chance.choice(("h1", "u/h1", "h2")), f"t{i}"
        uri = PLACES[chance.choice(tuple(PLACES))]
        size = chance.randrange(1, 100)
        result = Pointer(uri, "0" * 64, size) if uri else inline(b"1" * size)
        user = chance.choice(("u", "u", "v"))
        if chance.random() < 0.2:
            made.append(facts.failed(user, task, 1, host=host, result=inline(b"1")))
        made.append(facts.done(user, task, attempt=2, host=host, result=result))
        both: dict[str, Any] = {"id": new_id(), "by": "results-1", "user": user, "task": task}
        if chance.random() < 0.2:
            pointer = Pointer(PLACES["dataset"], "0" * 64, size)
            made.append(ResultStored(pointer=pointer, **both))
        if chance.random() < 0.3:
            made.append(ResultDeleted(reason="old", **both))
    step = 5 * DAY_S / len(made)
    return [Record(n, n * step, of(fact), fact, b"") for n, fact in enumerate(made, 1)]


async def filled(path: Path, records: list[Record], at_once: int) -> Projection:
    projection = await Projection.open(path, tables.SCHEMA, tables.VERSION)
    rows = tables.Rows()
    for i in range(0, len(records), at_once):
        changes = rows.apply(records[i : i + at_once])
        await projection.commit(merge(changes), Checkpoint("e", i, ""))
    return projection


def fits(request: ResultListRequest, one: Kept) -> bool:
    return (
        request.kind in (None, place_of(one.uri))
        and (request.host is None or one.host in (request.host, f"u/{request.host}"))
        and (request.since is None or one.created >= request.since)
        and (request.until is None or one.created < request.until)
        and request.deleted in (None, bool(one.deleted))
    )


def test_every_filter_is_tried() -> None:
    assert set(ResultListRequest.__struct_fields__) == {"user", "limit", *FILTERS}


def test_a_page_and_its_sums_are_read_out_of_an_index() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        for one in tables.SCHEMA:
            db.execute(one)

        def plan(sql: str, values: tuple[object, ...]) -> list[str]:
            return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]

        for request in requests():
            wanted = pages.asked(request)
            statements = [
                pages.statement(wanted, (5.0, 5), 51),
                pages.counted_rows(wanted, 1.0, 2.0),
            ]
            for found in itertools.starmap(plan, statements):
                assert all(READS.fullmatch(s) or OTHERS.fullmatch(s) for s in found), found
                searched = [step for step in found if "place=?" in step]
                assert all(("host=?" in step) == bool(wanted.hosts) for step in searched), found
            [only] = plan(*pages.counted_days(wanted, 1, 2))
            assert only.startswith("SEARCH sums USING PRIMARY KEY (user=? AND day>? AND day<?"), (
                only
            )


@pytest.mark.parametrize("at_once", [1, 1000])
async def test_pages_hold_what_was_asked_for_and_say_how_much_there_is(
    tmp_path: Path, at_once: int
) -> None:
    projection = await filled(tmp_path / "view.sqlite", history(), at_once)
    sql = f"SELECT {tables.COLUMNS} FROM results WHERE user = 'u' ORDER BY seq DESC"
    every = [tables.kept_of(row) for row in await projection.query(sql)]
    assert len(every) > 50
    for request in requests():
        matching = [one for one in every if fits(request, one)]
        page = await pages.page(projection, request)
        assert page.total == len(matching), request
        assert page.size == sum(one.size for one in matching), request
        rest = [one for one in matching if request.cursor is None or one.seq < request.cursor]
        assert list(page.results) == rest[:5], request
        assert page.cursor == (rest[4].seq if len(rest) > 5 else None), request
    await projection.close()


async def test_pages_follow_one_another_though_the_clock_was_set_back(tmp_path: Path) -> None:
    records = [
        Record(n, 100.0 - n * (n > 10), of(fact), fact, b"")
        for n, fact in enumerate(
            (facts.done("u", f"t{i}", result=inline(b"1")) for i in range(20)), 1
        )
    ]
    projection = await filled(tmp_path / "view.sqlite", records, 1)
    cursor, seen = None, list[int]()
    while True:
        page = await pages.page(projection, ResultListRequest("u", 3, cursor))
        seen += [one.seq for one in page.results]
        if (cursor := page.cursor) is None:
            break
    assert sorted(seen) == list(range(1, 21))
    await projection.close()
