"""Lists of a user's results, and what they count; neither costs more when there are more."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from contracts.result import ResultListRequest, ResultPage
from services.log.projection import Projection, reads
from services.results.domain import DAY_S
from services.results.projection import COLUMNS, kept_of

PLACES = ("inline", "object_store", "dataset")
_ALWAYS = (float("-inf"), float("inf"))
_PLACED = ", ".join(f"results.{name}" for name in COLUMNS.split(", "))


class PageOf(NamedTuple):
    """What a request asks for: any of these in each respect, and a stretch of time."""

    user: str
    hosts: tuple[str, ...]
    """Empty: any."""
    places: tuple[str, ...]
    gone: tuple[int, ...]
    since: float
    until: float


@reads
async def page(projection: Projection, request: ResultListRequest) -> ResultPage:
    """Some of a user's results that match, newest first, and how many there are of them."""
    wanted = asked(request)
    total, size = await _counted(projection, wanted)
    below: tuple[float, int] | None = (wanted.until, 0)
    if request.cursor is not None:
        below = await _place(projection, wanted, request.cursor)
    if below is None:
        return ResultPage((), None, total, size)
    rows = await projection.query(*statement(wanted, below, request.limit + 1))
    kept = sorted((kept_of(row) for row in rows), key=lambda one: (-one.created, -one.seq))
    more = kept[request.limit - 1].seq if len(kept) > request.limit else None
    return ResultPage(tuple(kept[: request.limit]), more, total, size)


def asked(request: ResultListRequest) -> PageOf:
    """Read a request."""
    host, since, until = request.host, request.since, request.until
    # A bare name is one's own host's as well, now and in the log of an earlier release.
    hosts = () if host is None else (host, f"{request.user}/{host}")
    places = PLACES if request.kind is None else (request.kind,)
    gone = (0, 1) if request.deleted is None else (int(request.deleted),)
    begin, end = _ALWAYS
    begin, end = begin if since is None else since, end if until is None else until
    return PageOf(request.user, hosts, places, gone, begin, end)


def statement(
    wanted: PageOf, below: tuple[float, int], limit: int
) -> tuple[str, tuple[object, ...]]:
    """The SELECT of a page: each place and state is read in order out of an index that begins with
    all that is asked for; SQLite merges them, and reads no more of them than the page needs."""
    where = "user = ? AND place = ? AND gone = ? AND created >= ? AND (created, seq) < (?, ?)"
    branches: list[str] = []
    values: list[object] = []
    for host, place, gone in itertools.product(wanted.hosts or (None,), wanted.places, wanted.gone):
        of_host = "" if host is None else "host = ? AND "
        branches.append(f"SELECT created, seq, rowid AS id FROM results WHERE {of_host}{where}")
        values += [*([] if host is None else [host]), wanted.user, place, gone]
        values += [wanted.since, *below]
    keys = " UNION ALL ".join(branches)
    return (
        f"SELECT {_PLACED} FROM ({keys} ORDER BY created DESC, seq DESC LIMIT ?) AS page"
        " CROSS JOIN results ON results.rowid = page.id",
        (*values, limit),
    )


async def _place(projection: Projection, wanted: PageOf, cursor: int) -> tuple[float, int] | None:
    """Where a page ends that ended with this sequence: what follows is older. None: nothing."""
    found = await projection.query(
        "SELECT created, seq FROM results WHERE user = ? AND seq <= ? ORDER BY seq DESC LIMIT 1",
        (wanted.user, cursor),
    )
    if not found:
        return None
    created, seq = found[0]
    # A result that is gone from the table was newer than the one that is found in its place.
    return min((created, seq if seq == cursor else seq + 1), (wanted.until, 0))


async def _counted(projection: Projection, wanted: PageOf) -> tuple[int, int]:
    """How many results match, and their bytes: whole days are counted already."""
    first, last = _days(wanted)
    total = size = 0
    counts = [counted_days(wanted, first, last)]
    counts += [counted_rows(wanted, begin, end) for begin, end in _edges(wanted, first, last)]
    for sql, values in counts:
        ((count, bytes_),) = await projection.query(sql, values)
        total, size = total + count, size + bytes_
    return total, size


def _days(wanted: PageOf) -> tuple[float, float]:
    """The first day that lies in the stretch as a whole, and the one behind the last."""
    begin, end = _ALWAYS
    first = begin if wanted.since == begin else -(-wanted.since // DAY_S)
    last = end if wanted.until == end else wanted.until // DAY_S
    return first, max(first, last)


def _edges(wanted: PageOf, first: float, last: float) -> list[tuple[float, float]]:
    """What is left of the stretch before the first whole day and behind the last."""
    edges = [
        (wanted.since, min(wanted.until, first * DAY_S)),
        (max(wanted.since, last * DAY_S), wanted.until),
    ]
    return [(begin, end) for begin, end in edges if begin < end]


def counted_days(wanted: PageOf, first: float, last: float) -> tuple[str, tuple[object, ...]]:
    """Count what was made on these days."""
    text, values = _filters(wanted)
    return (
        f"SELECT coalesce(sum(count), 0), coalesce(sum(size), 0) FROM sums WHERE {text}"
        " AND day >= ? AND day < ?",
        (*values, first, last),
    )


def counted_rows(wanted: PageOf, begin: float, end: float) -> tuple[str, tuple[object, ...]]:
    """Count what was made in a stretch of time."""
    text, values = _filters(wanted)
    return (
        f"SELECT count(*), coalesce(sum(size), 0) FROM results WHERE {text}"
        " AND created >= ? AND created < ?",
        (*values, begin, end),
    )


def _filters(wanted: PageOf) -> tuple[str, tuple[object, ...]]:
    parts = ["user = ?", f"place IN ({_marks(wanted.places)})", f"gone IN ({_marks(wanted.gone)})"]
    if wanted.hosts:
        parts.append(f"host IN ({_marks(wanted.hosts)})")
    return " AND ".join(parts), (wanted.user, *wanted.places, *wanted.gone, *wanted.hosts)


def _marks(values: tuple[object, ...]) -> str:
    return ", ".join("?" * len(values))
