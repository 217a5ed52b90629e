"""The route that writes a list of tasks out, as far as it goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from litestar import get
from litestar.params import QueryParameter
from litestar.response import Stream

from contracts import scopes
from services.gateway import exported, lists
from services.gateway.http.filters import FILTERED, Filtered
from services.gateway.http.paging import Mark, proven
from services.gateway.http.parts import MOST_LISTED, Asking, Cursor, Parts, Wired
from services.gateway.openapi.document import described
from services.gateway.rows import Query, TaskRow

MOST_EXPORTED = 100_000
"""Tasks of one export."""


CSV = "csv"
_MEDIA = {"jsonl": "application/x-ndjson", CSV: "text/csv; charset=utf-8"}
Format = Annotated[
    Literal["jsonl", "csv"] | None,
    QueryParameter(
        description="`jsonl`, as without it: as the list has them, a line each; `csv`: a table."
    ),
]


@get(
    "/api/tasks/export",
    media_type="application/x-ndjson",
    dependencies=FILTERED,
    opt=described(scope=scopes.TASKS_READ, errors=(404, 409)),
)
async def export_tasks(
    parts: Wired,
    principal: Asking,
    filtered: Filtered,
    format: Format = None,
    cursor: Cursor = None,
    mark: Mark = None,
) -> Stream:
    """Write out the tasks that `GET /api/tasks` lists with these filters, newest first.

    At most 100,000: to go on, give the `created_seq` of the last one as `cursor`.
    """
    query = (await filtered.of(parts, principal))._replace(limit=MOST_LISTED, cursor=cursor)
    await proven(parts, cursor, mark)
    # What is wrong is told before anything is written.
    first = await lists.list_tasks(parts.projection, query)
    form = format or "jsonl"
    name = f'attachment; filename="tasks.{form}"'
    headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
    return Stream(_lines(parts, query, first, form), media_type=_MEDIA[form], headers=headers)


async def _lines(
    parts: Parts, query: Query, page: tuple[list[TaskRow], int | None], form: str
) -> AsyncIterator[bytes]:
    """All pages, as text. An error cuts the connection."""
    as_text = exported.csv_lines if form == CSV else exported.json_lines
    left = MOST_EXPORTED
    if form == CSV:
        yield exported.csv_head()
    while True:
        rows, more = page
        if rows:
            yield as_text(rows)
        left -= len(rows)
        if more is None or left <= 0:
            return
        query = query._replace(cursor=more, limit=min(MOST_LISTED, left))
        page = await lists.list_tasks(parts.projection, query)


ROUTES = (export_tasks,)
