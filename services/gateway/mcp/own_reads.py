"""The orchestrator's own tools that read: tasks, why they ran where they did, and results."""

from __future__ import annotations

import base64
import codecs
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from mcp_types import CallToolResult, TextContent

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.facts import Record, TaskRouted
from contracts.result import Kept
from contracts.status import Status
from services.audit import checks as audits
from services.audit.checks import Recomputed
from services.gateway.access.identity import Principal
from services.gateway.domain import no_task
from services.gateway.http.parts import MOST_SEQ
from services.gateway.http.results import part_of
from services.gateway.http.tasks import page_of, why_of
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.seen import check_seen
from services.gateway.mcp.views import AgentView
from services.gateway.rows import Query

MOST_TASKS = 100
MOST_PART = 256 * 1024
LEAST_PART = 16
"""So that there is room for a character at least."""
MOST_ENCODED = 900 * 1024
"""Bytes that a part takes in the answer: the SDK's client takes 1 MiB of one event."""

A = TypeVar("A", bound=msgspec.Struct)


class _Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: Status | None = None
    type: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_TASKS)] = 20
    cursor: Annotated[int, msgspec.Meta(ge=0, le=MOST_SEQ)] | None = None
    mark: str | None = None


class _About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    task: str


class _Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    task: str
    offset: Annotated[int, msgspec.Meta(ge=0, le=MOST_SEQ)] = 0
    limit: Annotated[int, msgspec.Meta(ge=LEAST_PART, le=MOST_PART)] = 64 * 1024
    encoding: Literal["text", "base64"] = "text"


class OwnReads:
    """Their handlers. They raise Rejected, LogUnavailable, StoreError."""

    def __init__(self, view: AgentView) -> None:
        self._view = view
        self._parts = view.parts

    async def list_tasks(self, who: Principal, given: dict[str, Any]) -> CallToolResult:
        """A page of the user's tasks, newest first."""
        asked = _read(given, _Listing)
        who.needs(scopes.TASKS_READ)
        await self._parts.holds_what_was_told(who.user)
        status = () if asked.status is None else (asked.status,)
        query = Query(who.user, asked.limit, 0, asked.cursor, status, asked.type)
        page = await page_of(self._parts, query, asked.mark)
        return mcp_tools.said(
            {"tasks": page.data, "next_cursor": page.next_cursor, "next_mark": page.next_mark}
        )

    async def why(self, who: Principal, given: dict[str, Any]) -> CallToolResult:
        """Why each attempt of a task went to its host."""
        task = _read(given, _About).task
        check_seen(who, await self._parts.desk.view(who.user, task), scopes.TASKS_READ)
        return mcp_tools.said(await why_of(self._parts, who.user, task))

    async def audit_task(self, who: Principal, given: dict[str, Any]) -> CallToolResult:
        """What a task's facts prove; an auditor has the router's decisions recomputed as well."""
        task, log = _read(given, _About).task, self._parts.log
        check_seen(who, await self._parts.desk.view(who.user, task), scopes.TASKS_READ)
        records = await self._parts.desk.facts(who.user, task)
        if not records:
            raise no_task(task)
        keys = await log.read_last(audits.key_subjects(records), reach=records[-1].seq)
        routes = (r.fact.route.host_seq for r in records if isinstance(r.fact, TaskRouted))
        hosts = [await log.at(seq) for seq in dict.fromkeys(routes)]
        registered = [host for host in hosts if host is not None]
        found = audits.audit(records, keys, _believed, registered)
        checks = [check for check in found if check.name != audits.ROUTES]
        left_out = f"{audits.ROUTES}: `metamcp audit` does that"
        ok = audits.passed(checks)
        return mcp_tools.said({"task": task, "ok": ok, "checks": checks, "not_checked": [left_out]})

    async def read_result(self, who: Principal, given: dict[str, Any]) -> CallToolResult:
        """A part of a task's result."""
        asked = _read(given, _Reading)
        view = await self._parts.desk.view(who.user, asked.task)
        check_seen(who, view, scopes.RESULTS_READ)
        kept, data = await part_of(self._parts, who.user, asked.task, asked.offset, asked.limit)
        if view is not None:
            self._view.again.seen(view.user, view.id)
        return _part(asked, kept, data)


def _believed(routed: Record) -> Recomputed:
    """A decision of the router, which only those recompute who read all of the log."""
    return Recomputed(None, problem="it was not recomputed")


def _part(asked: _Reading, kept: Kept, data: bytes) -> CallToolResult:
    """The part, and beside it where it stands."""
    text, taken = _shown(asked, kept, data)
    following = asked.offset + taken
    about = {
        "task": asked.task,
        "offset": asked.offset,
        "next_offset": following if following < kept.size else None,
        "size": kept.size,
        "media_type": kept.media_type,
        "sha256": kept.sha256,
    }
    texts = (text, msgspec.json.encode(about).decode())
    return CallToolResult(content=[TextContent(type="text", text=one) for one in texts])


def _shown(asked: _Reading, kept: Kept, data: bytes) -> tuple[str, int]:
    """The part as text, and how many of its bytes that is: a character is not cut in two."""
    if asked.encoding == "base64":
        return base64.b64encode(data).decode(), len(data)
    while True:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data, final=asked.offset + len(data) >= kept.size)
        if len(msgspec.json.encode(text)) <= MOST_ENCODED:
            return text, len(data) - len(decoder.getstate()[0])
        data = data[: len(data) // 2]


def _read(given: dict[str, Any], type_: type[A]) -> A:
    """A call's arguments. Raises Rejected."""
    try:
        return msgspec.convert(given, type_)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.BAD_REQUEST, f"the arguments do not fit: {error}") from None
