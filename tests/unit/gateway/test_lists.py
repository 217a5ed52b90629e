"""Pages of tasks: each combination of filters gives what it should, at a known cost."""

from __future__ import annotations

import inspect
import itertools
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from contracts.errors import Rejected
from contracts.facts import AnyFact, Outcome, Record, encode
from contracts.status import OVER, Status
from contracts.subjects import of
from contracts.task import TaskSpec
from services.gateway import lists, selection
from services.gateway import projection as tables
from services.gateway.http.filters import task_filter
from services.gateway.lookup import SPAN_S, words
from services.gateway.rows import Counts, Query, TaskRow
from services.log.projection import Projection
from tests.support import facts as make

FILTERS = {
    "user": (None, "u1"),
    "project": (None, "p1"),
    "status": ((), (Status.PENDING,), (Status.FAILED, Status.RUNNING)),
    "type": (None, "scan"),
    "over": (None, True, False),
    "cursor": (None, 90),
    "host": (None, "h1"),
    "tags": ((), ("run=7",), ("run", "k=")),
    "batch": (None, "b1"),
}
"""Values of each field of a `Query` of which an index knows."""
LOOKED_AT = {
    "text": ("T1", "scan", "none"),
    "created_after": (3000.0, 1e9),
    "created_before": (9000.0, 0.0),
    "ended_after": (6000.0,),
    "ended_before": (6000.0,),
    "longer_s": (100.0,),
    "shorter_s": (100.0, 0.0),
}
"""The same of those for which each task is looked at."""
PAGING = {"limit", "offset"}
READS = re.compile(
    r"SEARCH (tasks|tags) USING (COVERING INDEX \w+ \((project=\? AND )?(user=\? AND )?"
    r"((type|host|batch|tag)=\? AND )?(status=\? AND )?created_seq[<>]\?( AND created_seq<\?)?\)"
    r"|PRIMARY KEY \(user=\? AND id=\?( AND tag=\?)?\))"
)
OTHERS = re.compile(
    r"MERGE \(UNION ALL\)|LEFT|RIGHT|(CO-ROUTINE|SCAN|MATERIALIZE) (page|newest|\(subquery-\d+\))"
    r"|COMPOUND QUERY|LEFT-MOST SUBQUERY|UNION ALL|CORRELATED SCALAR SUBQUERY \d+"
    r"|USE TEMP B-TREE FOR ORDER BY"
)
"""The rest of a plan: putting together what was found. What is sorted was found before."""
COUNT = 300


def queries() -> Iterator[Query]:
    for values in itertools.product(*FILTERS.values()):
        chosen = Query(limit=7, **dict(zip(FILTERS, values, strict=True)))  # type: ignore[arg-type]
        if chosen.user is not None or chosen.project is not None:
            yield chosen


def looking() -> Iterator[Query]:
    """Each filter that takes looking at tasks, with some of the others."""
    chance = random.Random(3)
    every = list(queries())
    for name, values in LOOKED_AT.items():
        for value in values:
            for query in (Query("u1", 7), Query(None, 7, project="p1"), *chance.sample(every, 40)):
                yield query._replace(**{name: value})
    yield Query("u1", 7, created_after=3000.0, created_before=9000.0, text="t", ended_after=4000.0)


def story() -> list[Record]:
    """Tasks of all sorts, some with a clock that was set back meanwhile."""
    chance = random.Random(1)
    facts: list[AnyFact] = []
    for n in range(1, COUNT + 1):
        what = chance.choice(("u1", "u2")), f"t{n}"
        tags = {"run": chance.choice(("7", "8"))} if n % 3 else {}
        spec = TaskSpec(
            type=chance.choice(("scan", "parse")),
            tags=tags | ({"k": ""} if n % 2 else {}),
            batch=chance.choice((None, "b1", "b2")),
            again=chance.choice((None, "t0")),
        )
        project = chance.choice(("", "p1", "p2"))
        facts.append(make.created(*what, spec=spec, project=project))
        if chance.random() < 0.7:
            facts.append(make.routed(*what, host=chance.choice(("h1", "h2"))))
        if chance.random() < 0.3:
            facts.append(make.signed(*what, host="h1"))
        if chance.random() < 0.5:
            facts.append(make.done(*what, chance.choice(list(Outcome))))
        if chance.random() < 0.2:
            facts.append(make.tagged(*what, tags=chance.choice(({}, {"run": "7", "k": "v"}))))
    at, found = 1000.0, []
    for seq, fact in enumerate(facts, 1):
        at += chance.random() * SPAN_S / 4 - (2 * SPAN_S if seq % 97 == 0 else 0)
        found.append(Record(seq, at, of(fact), fact, encode(fact)))
    return found


def filled(path: str) -> sqlite3.Connection:
    """Tables with all of them."""
    db = sqlite3.connect(path)
    for statement in tables.SCHEMA:
        db.execute(statement)
    records = story()
    for start in range(0, len(records), 50):
        for sql, rows in tables.apply(records[start : start + 50]):
            db.executemany(sql, rows)
    db.commit()
    return db


def test_every_filter_of_the_api_is_tried() -> None:
    assert set(Query._fields) == {*FILTERS, *LOOKED_AT, *PAGING}
    asked = set(inspect.signature(task_filter).parameters)
    assert asked == {*FILTERS, *LOOKED_AT} - {"cursor", "tags"} | {"tag"}


def test_a_page_of_any_combination_is_read_out_of_an_index() -> None:
    with closing(filled(":memory:")) as db:
        for query in [*queries(), *looking()]:
            wanted = selection.statuses(query)
            if not wanted:
                continue
            found = selection.select(query, wanted, selection.Range(3, 5000))
            page = found.page(8) if found.exact else found.looked(500, 8)
            for sql, values in (page, found.last(500), found.counted(500)):
                plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
                grouped = [step for step in plan if step != "USE TEMP B-TREE FOR GROUP BY"]
                odd = [s for s in grouped if not (READS.fullmatch(s) or OTHERS.fullmatch(s))]
                assert not odd, (query, plan)
                covering = [step for step in plan if "COVERING" in step]
                assert len(covering) == max(1, len(found.each)), (query, plan)
            sorts = [step for step in plan if "ORDER BY" in step]
            assert not sorts or not found.exact, (query, plan)


def test_only_what_no_index_knows_is_left_to_look_at() -> None:
    for query in queries():
        found = selection.select(query, selection.statuses(query), selection.Range())
        given = [*query.tags, query.batch, query.host, query.type]
        one = len(given) - given.count(None) == 1
        one_owner = query.user is None or query.project is None
        any_status = not query.status and query.over is None
        plain = not (query.tags or query.batch or query.host)
        read = plain or (one and one_owner and (any_status or query.host is not None))
        assert found.exact is read, query


async def every_task(projection: Projection) -> list[TaskRow]:
    every = []
    for user in ("u1", "u2"):
        rows, more = await lists.list_tasks(projection, Query(user, COUNT))
        assert more is None
        every += rows
    return sorted(every, key=lambda row: -row.created_seq)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("lists") / "view.sqlite"
    filled(str(found)).close()
    return found


async def test_pages_hold_what_was_asked_for_newest_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    projection = await Projection.open(path, tables.SCHEMA, tables.VERSION)
    every = await every_task(projection)
    assert len(every) == COUNT
    monkeypatch.setattr(lists, "LOOKS_AT", (3, 10, 20))
    found = 0
    sample = random.Random(5).sample(list(queries()), 200)
    for query in [*sample, *looking()]:
        wanted = [row for row in every if fits(query, row)]
        found += bool(wanted)
        got, cursor = [], query.cursor
        while True:
            rows, more = await lists.list_tasks(projection, query._replace(cursor=cursor))
            assert len(rows) <= query.limit, query
            assert more is None or cursor is None or more < cursor, query
            got += rows
            if (cursor := more) is None:
                break
        assert got == wanted, query
        counts = await lists.count_tasks(projection, query)
        assert counts == Counts(len(wanted), Counter(row.status.value for row in wanted)), query
    assert found > 100
    monkeypatch.setattr(lists, "MOST_COUNTED", 10)
    counts = await lists.count_tasks(projection, Query("u1"))
    assert (max(counts.by_status.values()), counts.more) == (10, True)
    await projection.close()


async def test_an_offset_is_for_what_an_index_finds(path: Path) -> None:
    projection = await Projection.open(path, tables.SCHEMA, tables.VERSION)
    every = [row for row in await every_task(projection) if row.user == "u1"]
    rows, more = await lists.list_tasks(projection, Query("u1", 5, 3))
    assert (rows, more) == (every[3:8], every[7].created_seq)
    with pytest.raises(Rejected, match="cursor"):
        await lists.list_tasks(projection, Query("u1", 5, 3, text="t"))
    await projection.close()


def fits(query: Query, row: TaskRow) -> bool:
    """What a filter means, task by task."""
    took = None if row.done_at is None else row.done_at - row.created_at
    ended, created = row.done_at, row.created_at
    return (
        query.user in (None, row.user)
        and query.project in (None, row.project)
        and (not query.status or row.status in query.status)
        and query.type in (None, row.type)
        and query.over in (None, row.status in OVER)
        and (query.cursor is None or row.created_seq < query.cursor)
        and query.host in (None, row.host)
        and query.batch in (None, row.batch)
        and set(query.tags) <= set(words(row.tags))
        and (query.text is None or any(query.text.lower() in one for one in (row.type, row.id)))
        and (query.created_after is None or created >= query.created_after)
        and (query.created_before is None or created < query.created_before)
        and (query.ended_after is None or (ended is not None and ended >= query.ended_after))
        and (query.ended_before is None or (ended is not None and ended < query.ended_before))
        and (query.longer_s is None or (took is not None and took >= query.longer_s))
        and (query.shorter_s is None or (took is not None and took < query.shorter_s))
    )
