"""Which tasks a list, a count or an export is about: the filters that these routes share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from contracts.errors import Reason, Rejected
from contracts.ids import check_user
from contracts.status import Status
from contracts.tags import MOST_TAGS
from services.gateway.access.identity import Principal
from services.gateway.http.parts import Parts, User, whose
from services.gateway.http.queries import SHOWN
from services.gateway.rows import Query

TEXT_CHARS = 200
"""Of what is looked for."""
TAG_CHARS = 64 + 1 + 256
"""Of a tag with its value."""
_TIME = "seconds since the epoch, or a time as in RFC 3339"

OfStatus = Annotated[
    list[Status] | None,
    QueryParameter(
        description="Only tasks that are so, or so: can be repeated.", max_items=len(Status)
    ),
]
OfType = Annotated[str | None, QueryParameter(description="Only tasks of this type.")]
OfProject = Annotated[
    str | None, QueryParameter(description="Only tasks of this project, whoever sent them.")
]
OfHost = Annotated[
    str | None, QueryParameter(description="Only tasks whose latest attempt went to this host.")
]
OfTag = Annotated[
    list[str] | None,
    QueryParameter(
        description="Only tasks that have this tag, `key` or `key=value`; of several, all of them.",
        max_items=MOST_TAGS,
    ),
]
OfBatch = Annotated[str | None, QueryParameter(description="Only tasks of this batch.")]
OfText = Annotated[
    str | None,
    QueryParameter(
        description="Only tasks with this in their type or id, in capitals or not.",
        max_length=TEXT_CHARS,
    ),
]
Over = Annotated[
    bool | None, QueryParameter(description="Only tasks that are over, or only the others.")
]
CreatedAfter = Annotated[
    str | None, QueryParameter(description=f"Only tasks created then or later: {_TIME}.")
]
CreatedBefore = Annotated[
    str | None, QueryParameter(description=f"Only tasks created before: {_TIME}.")
]
EndedAfter = Annotated[
    str | None, QueryParameter(description=f"Only tasks that ended then or later: {_TIME}.")
]
EndedBefore = Annotated[
    str | None, QueryParameter(description=f"Only tasks that ended before: {_TIME}.")
]
Longer = Annotated[
    float | None,
    QueryParameter(ge=0, description="Only tasks that took so many seconds or more, and are over."),
]
Shorter = Annotated[
    float | None, QueryParameter(ge=0, description="Only tasks that were over in less than that.")
]


class TaskFilter(NamedTuple):
    """The filters as they were given; nobody has looked whether they may be."""

    query: Query

    async def of(self, parts: Parts, principal: Principal) -> Query:
        """What somebody may list; the tables hold what they were told.

        Raises Rejected(NOT_FOUND, BAD_ID), InsufficientScope.
        """
        user, project = self.query.user, self.query.project
        if project is None:
            owner: str | None = whose(principal, user)
            await parts.holds_what_was_told(owner or "")
            return self.query._replace(user=owner)
        await parts.projects.find(project, principal, "see")
        await parts.caught_up()
        await parts.holds_what_was_told(principal.user)
        return self.query if user is None else self.query._replace(user=check_user(user))


async def task_filter(
    status: OfStatus = None,
    type: OfType = None,
    user: User = None,
    project: OfProject = None,
    host: OfHost = None,
    tag: OfTag = None,
    batch: OfBatch = None,
    text: OfText = None,
    over: Over = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    ended_after: EndedAfter = None,
    ended_before: EndedBefore = None,
    longer_s: Longer = None,
    shorter_s: Shorter = None,
) -> TaskFilter:
    """Read the filters. Raises Rejected(BAD_REQUEST)."""
    if wrong := [one for one in tag or () if len(one) > TAG_CHARS or not one.partition("=")[0]]:
        raise Rejected(Reason.BAD_REQUEST, f"tag: write key or key=value, not {wrong[0][:SHOWN]!r}")
    return TaskFilter(
        Query(
            user,
            status=tuple(dict.fromkeys(status or ())),
            type=type,
            project=project,
            over=over,
            host=host,
            tags=tuple(dict.fromkeys(tag or ())),
            batch=batch,
            text=text or None,
            created_after=moment(created_after, "created_after"),
            created_before=moment(created_before, "created_before"),
            ended_after=moment(ended_after, "ended_after"),
            ended_before=moment(ended_before, "ended_before"),
            longer_s=longer_s,
            shorter_s=shorter_s,
        )
    )


Filtered = NamedDependency[TaskFilter]
FILTERED: dict[str, Any] = {"filtered": Provide(task_filter)}
"""The dependency of routes that have it."""
LAST_S = 253_402_300_800.0
"""The year 10000."""


def moment(text: str | None, name: str) -> float | None:
    """Seconds since the epoch. Raises Rejected(BAD_REQUEST)."""
    if text is None:
        return None
    try:
        at = float(text)
    except ValueError:
        try:
            # A plus sign that was not escaped has become a space.
            told = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
            at = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            at = -1.0
    if not 0 <= at <= LAST_S:
        wanted = "write seconds since the epoch, or a time such as 2026-12-01T06:40:00Z"
        raise Rejected(Reason.BAD_REQUEST, f"{name}: {wanted}, not {text[:SHOWN]!r}")
    return at
