"""Tasks as handles: the methods of the extension `io.modelcontextprotocol/tasks`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp import MCPError
from mcp_types import INVALID_PARAMS, EmptyResult

from contracts import scopes
from contracts.asks import TaskAsked
from contracts.errors import Rejected
from contracts.status import TaskView, asking
from services.gateway.access.identity import Principal
from services.gateway.mcp import questions, tasks
from services.gateway.mcp.answering import Questions, may_answer, responses_of
from services.gateway.mcp.calls import HostCalls
from services.gateway.mcp.context import Context, check_names_task, principal
from services.gateway.mcp.partial import PartialAnswers
from services.gateway.mcp.seen import check_seen
from services.gateway.mcp.tasks import TaskParams
from services.gateway.mcp.views import AgentView
from services.process import tracing

Method = Callable[[Context, TaskParams], Awaitable[Any]]


class TaskHandles:
    """The methods, by name. They raise MCPError, Rejected, LogUnavailable, StoreError."""

    def __init__(self, view: AgentView, calls: HostCalls, asks: Questions) -> None:
        self._view = view
        self._calls = calls
        self._asks = asks
        self._partial = PartialAnswers()
        self._parts = view.parts
        self.methods: Mapping[str, Method] = {
            "tasks/get": self._get,
            "tasks/cancel": self._cancel,
            "tasks/update": self._update,
        }

    async def _get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        check_names_task(ctx, params.task_id)
        return await self.detailed(ctx, params.task_id)

    async def detailed(self, ctx: Context, task: str) -> dict[str, Any]:
        """The task as `tasks/get` tells of it. Raises MCPError, Rejected."""
        who = principal(ctx)
        view = await self._view.task(who, task)
        if not view.over:
            wanted = await self._wanted(ctx, who, view)
            return tasks.detailed(await self._parts.waits.seen(view), None, time.time(), wanted)
        check_seen(who, view, scopes.RESULTS_READ)
        result = await self._calls.answer(ctx, view)
        self._view.again.seen(view.user, view.id)
        return tasks.detailed(
            view, result.model_dump(by_alias=True, mode="json", exclude_none=True), time.time()
        )

    async def _asked(self, view: TaskView) -> TaskAsked | None:
        """The question that a client may answer."""
        if view.question is None or questions.is_approval(view.question):
            return None
        return asking(await self._parts.desk.facts(view.user, view.id))

    async def _wanted(self, ctx: Context, who: Principal, view: TaskView) -> dict[str, Any]:
        """What the client is still asked for, under keys that no other question of the task has."""
        asked = await self._asked(view)
        if asked is None or not may_answer(who, view):
            return {}
        if not questions.can_ask(ctx.session.client_capabilities, asked):
            return {}
        known = self._partial.of(asked)
        return {
            questions.key_at(asked, key): one.model_dump(
                by_alias=True, mode="json", exclude_none=True
            )
            for key, one in questions.requests_of(asked).items()
            if key not in known
        }

    async def _cancel(self, ctx: Context, params: TaskParams) -> EmptyResult:
        check_names_task(ctx, params.task_id)
        who = principal(ctx)
        if not (await self._view.task(who, params.task_id, scopes.TASKS_WRITE)).over:
            await self._parts.desk.cancel(who.user, params.task_id, tracing.current())
        return EmptyResult()

    async def _update(self, ctx: Context, params: TaskParams) -> EmptyResult:
        check_names_task(ctx, params.task_id)
        who = principal(ctx)
        view = await self._view.task(who, params.task_id, scopes.TASKS_WRITE)
        if (asked := await self._asked(view)) is not None:
            given = responses_of(ctx.params or {})
            at = {key: questions.key_at(asked, key) for key in questions.keys_of(asked)}
            mine = {key: given[there] for key, there in at.items() if there in given}
            try:
                self._partial.add(asked, mine)
            except Rejected as refusal:
                raise MCPError(INVALID_PARAMS, refusal.message) from None
            said = questions.answer_of(asked, self._partial.of(asked))
            if said is not None:
                why = await self._asks.give(who, view, said)
                self._partial.forget(asked)
                if why:
                    raise MCPError(INVALID_PARAMS, f"inputResponses: {why}")
        return EmptyResult()
