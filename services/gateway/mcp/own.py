"""The orchestrator's own tools: each is a handler here, and a row that agents are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from mcp import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult

from contracts import scopes
from contracts.asks import AnswerAction
from contracts.errors import Reason, Rejected
from contracts.task import serves, tool_of
from services.gateway import domain
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.asks import AnswerBody
from services.gateway.domain import TaskBody
from services.gateway.http.asks import give_answer
from services.gateway.http.parts import submitted
from services.gateway.mcp import questions
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.leaving import Leaving
from services.gateway.mcp.own_reads import OwnReads
from services.gateway.mcp.seen import as_seen, check_seen
from services.gateway.mcp.selection import choosing
from services.gateway.mcp.views import AgentView
from services.process import tracing
from services.process.ids import new_id

MOST_WAIT_S = 60.0

Handler = Callable[[Principal, dict[str, Any]], Awaitable[CallToolResult]]


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent answers with."""

    task: str
    q: int
    action: AnswerAction
    content: dict[str, Any] = {}
    reason: str = ""


class OwnTools:
    """Their handlers, by name. They raise Rejected, MCPError, LogUnavailable, StoreError."""

    def __init__(self, view: AgentView, leaving: Leaving) -> None:
        self._view = view
        self._leaving = leaving
        self._parts = view.parts
        reads = OwnReads(view)
        self.handlers: Mapping[str, Handler] = {
            "submit_task": self._submit,
            "get_task": self._get,
            "cancel_task": self._cancel,
            "answer_task": self._answer,
            "list_hosts": self._list_hosts,
            "list_tasks": reads.list_tasks,
            "why": reads.why,
            "audit_task": reads.audit_task,
            "read_result": reads.read_result,
        }

    async def _submit(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        wait_s = _seconds(given.pop("wait_s", 0))
        body = task_body(given)
        if await self._asks(principal, body):
            body = msgspec.structs.replace(body, approve=True)
        task = body.id if body.id is not None else new_id()
        try:
            named = msgspec.structs.replace(body, id=task)
            _, view = await submitted(self._parts, principal, named, "mcp", wait_s)
        except asyncio.CancelledError:
            if body.on_leave == "cancel":
                self._leaving.cancel(principal.user, task)
            raise
        return mcp_tools.said(as_seen(principal, view))

    async def _asks(self, principal: Principal, body: TaskBody) -> bool:
        """Whether a person has to allow it, by the profile: also what may be such a tool."""
        choice = choosing.get()
        if not choice.approve:
            return False
        tool = tool_of(body)
        found = [one for one in await self._view.hosts(principal) if body.host in (None, one.id)]
        return not tool or not found or any(choice.asks(host, tool) for host in found)

    async def _get(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        wait_s = _seconds(given.get("wait_s", 0))
        return await self._view.shown(principal, str(given.get("task", "")), wait_s)

    async def _cancel(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        task = str(given.get("task", ""))
        view = await self._parts.desk.view(principal.user, task)
        check_seen(principal, view, scopes.TASKS_WRITE)
        await self._parts.desk.cancel(principal.user, task, tracing.current())
        if view and not principal.asked(view.asked_by) and not principal.may(scopes.TASKS_READ):
            return mcp_tools.said({"id": task, "cancel_requested": True})
        return await self._view.shown(principal, task, 0)

    async def _answer(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        said = read_answer(given)
        records = await self._parts.desk.facts(principal.user, said.task)
        check_seen(principal, domain.view(said.task, records), scopes.TASKS_WRITE)
        if questions.is_about_leave(records, said.q):
            text = f"only a person may allow this: by `metamcp answer {said.task}`, or over HTTP"
            raise NotAllowed("a person", text)
        body = AnswerBody(said.q, said.action, said.content, said.reason)
        seq, again = await give_answer(self._parts, principal, principal.user, said.task, body)
        told = "this was answered before" if again else "answered"
        text = f"{told}: get_task with task {said.task} and wait_s (45, say) tells how it goes on"
        about = {"task": said.task, "q": said.q, "action": said.action, "seq": seq}
        return mcp_tools.said(about | {"message": text})

    async def _list_hosts(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        wanted = given.get("task_type")
        if not isinstance(wanted, str | None):
            raise Rejected(Reason.BAD_REQUEST, "task_type: expected a text")
        found = await self._view.hosts(principal)
        serving = [host for host in found if wanted is None or serves(host, wanted)]
        return mcp_tools.said([mcp_tools.host_summary(host) for host in serving])


def task_body(given: dict[str, Any]) -> TaskBody:
    """A task from a call's arguments. Raises Rejected."""
    try:
        body = msgspec.json.encode(given)
    except UnicodeEncodeError as error:
        raise Rejected(Reason.BAD_REQUEST, f"not a task: {error}") from None
    return domain.parse_task(body)


def read_answer(given: dict[str, Any]) -> _Answer:
    """An answer from a call's arguments. Raises Rejected."""
    try:
        return msgspec.json.decode(msgspec.json.encode(given), type=_Answer)
    except (UnicodeEncodeError, *domain.UNREADABLE) as error:
        raise Rejected(Reason.BAD_REQUEST, f"not an answer: {error}") from None


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MCPError(INVALID_PARAMS, "wait_s: expected a number of seconds")
    return float(max(0.0, min(value, MOST_WAIT_S)))
