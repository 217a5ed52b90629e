"""Pages of what the log has made: their cursors prove their past, as those of streams do."""

from __future__ import annotations

from typing import Annotated

from litestar.params import QueryParameter

from contracts.errors import Reason, Rejected
from services.gateway.http.parts import Parts
from services.gateway.stream.marks import mark_of
from services.log.port import name_of

Mark = Annotated[
    str | None,
    QueryParameter(
        max_length=64,
        description="`next_mark` of the page before: 409 if the log is another one since.",
    ),
]


async def proven(parts: Parts, cursor: int | None, mark: str | None) -> None:
    """Hold a cursor against the log; one without a mark is believed. Raises Rejected(CONFLICT)."""
    if cursor is not None and mark and await next_mark(parts, cursor) != mark:
        raise Rejected(
            Reason.CONFLICT,
            "the cursor is of another past: the log was put back from a backup. List anew",
        )


async def next_mark(parts: Parts, cursor: int | None) -> str | None:
    """The mark of the fact that a page ends with; None: it was the last page, or has none."""
    found = None if cursor is None else await parts.log.at(cursor)
    return None if found is None else mark_of(found.seq, name_of(found)) or None
