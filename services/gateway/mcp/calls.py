"""A call of a host's tool: a durable task underneath, its progress and its answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import msgspec
from mcp import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, InputRequiredResult

from contracts import scopes, wire
from contracts.host import Host, OnLeave
from contracts.result import Inline
from contracts.rpc_error import MISSING_CAPABILITY
from contracts.status import TaskView
from contracts.task import MCP_CALL
from services.gateway.access.identity import Principal
from services.gateway.actor import Submitted
from services.gateway.domain import TaskBody
from services.gateway.errors import AWAY
from services.gateway.mcp import again, alive, early, names, questions, said, tasks
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.again import KnownCall
from services.gateway.mcp.answering import BroughtBack, ClientQuestions, Questions
from services.gateway.mcp.asked import CallWishes, wishes
from services.gateway.mcp.context import Context, base, declares_tasks, is_gone, principal
from services.gateway.mcp.leaving import Leaving
from services.gateway.mcp.news import News, Rising
from services.gateway.mcp.own import task_body
from services.gateway.mcp.sealed import digest_of
from services.gateway.mcp.seen import check_seen, there
from services.gateway.mcp.selection import choosing
from services.gateway.mcp.share import UserShares
from services.gateway.mcp.views import AgentView
from services.gateway.stream.feed import Waiter
from services.gateway.stream.subscription import Subscription
from services.log.port import LogUnavailable
from services.process import tracing
from services.process.ids import new_id
from services.store.blobs import StoreError

INLINE_BYTES = 1024 * 1024 - 4096
"""Results up to this size stand in the answer itself; bigger ones are a link.

The SDK's client takes 1 MiB of one event, and what is around the result needs some of it.
"""
MOST_UNDER_WAY = 500
"""Calls of one user at one gateway whose ends are waited for."""


ASKS = ("task.asked", "task.answered", "job.failed")
"""Facts that a call hears of before its task ends: a host may give up what it has asked."""

Answer: TypeAlias = CallToolResult | InputRequiredResult | dict[str, Any]
"""What a tool says or asks, or a handle."""


class _Call(NamedTuple):
    """A call of a host's tool."""

    ctx: Context
    who: Principal
    request: TaskBody
    """Its task, but for the id."""
    patience_s: float
    on_leave: OnLeave
    key: str
    """As of `again`."""
    brought: BroughtBack = BroughtBack()

    def digest(self) -> str:
        """Of what is called."""
        request = self.request
        return digest_of(request.host, msgspec.json.decode(request.input), request.on_leave)


class HostCalls:
    """Calls of hosts' tools. Raises Rejected, MCPError, LogUnavailable, StoreError."""

    def __init__(self, view: AgentView, leaving: Leaving, asks: Questions) -> None:
        self._view = view
        self._parts = view.parts
        self._asks = asks
        self._leaving = leaving
        self._under_way = UserShares("calls under way", "wait for some to end")

    async def call(self, ctx: Context, name: str, given: dict[str, Any]) -> Answer:
        """Call the tool of this name."""
        who = principal(ctx)
        host, tool = await self._meant(who, name)
        settings = self._parts.settings
        asked = wishes(ctx.meta, settings.mcp_patience_s)
        if declares_tasks(ctx):
            asked = asked._replace(patience_s=settings.mcp_at_once_s)
        call = _call(ctx, who, host, tool, given, asked)
        brought = await self._asks.brought(ctx, who, call.digest)
        call, named = call._replace(brought=brought), brought.task or asked.task
        with self._under_way.one(who, MOST_UNDER_WAY):
            while True:
                known = self._known(call, named)
                answer = await self._answered(call, known)
                if answer is not None:
                    return answer
                # What was called before has ended too long ago.
                self._view.again.forget(known)

    async def answer(self, ctx: Context, view: TaskView) -> CallToolResult:
        """What the task's host has said."""
        result, url = view.result, f"{base(ctx)}/api/tasks/{view.id}/result"
        if result is None:
            return mcp_tools.answer(view, b"null", url)
        if isinstance(result, Inline):
            return mcp_tools.answer(view, bytes(result.value), url)
        if result.size > INLINE_BYTES or not result.uri.startswith("nats://"):
            return mcp_tools.answer(view, None, url)
        data = b"".join([part async for part in self._parts.desk.download(result)])
        return mcp_tools.answer(view, data, url)

    def _known(self, call: _Call, named: str | None) -> KnownCall:
        """The task that the call is."""
        user = call.who.user
        if named is not None or not call.key:
            return KnownCall(user, named or new_id())
        return self._view.again.find(user, call.key, new_id())

    async def _answered(self, call: _Call, known: KnownCall) -> Answer | None:
        """The answer to a call that is this task; None: the task is of another call, long over."""
        user, task, desk = known.user, known.task, self._parts.desk
        known.waiting += 1
        try:
            with self._following(call.ctx, user, task) as (waiter, news):
                request = msgspec.structs.replace(call.request, id=task)
                sent = await desk.submit(call.who, request, "mcp", tracing.current())
                view = await desk.first_view(sent)
                check_seen(call.who, view, scopes.RESULTS_READ)
                old = bool(known.key) and sent.accepted.duplicate
                if old and not again.stands(view, self._parts.log.now()):
                    return None
                with self._asks.of(call.ctx, call.who, call.brought, call.digest) as asking:
                    found = await self._until_over(call, sent, view, waiter, news, asking)
                if not isinstance(found, TaskView):
                    return found
                return await self._said(call.ctx, known, found)
        except asyncio.CancelledError:
            if call.on_leave == "cancel" and known.waiting == 1:
                self._leaving.cancel(user, task)
            raise
        except (LogUnavailable, StoreError):
            # To call again would be to do it again.
            return mcp_tools.failed(f"{AWAY}: ask get_task for task {task}, which goes on")
        finally:
            known.waiting -= 1

    async def _said(self, ctx: Context, known: KnownCall, view: TaskView) -> Answer:
        """The answer: the outcome, or as long as there is none the task."""
        if not view.over:
            if declares_tasks(ctx):
                return tasks.handle(view, time.time())
            return early.answered_early(await self._parts.waits.seen(view))
        if (error := tasks.of_host(view)) and error.code == MISSING_CAPABILITY:
            # By the protocol the client may come again with what is missing.
            self._view.again.forget(known)
            raise MCPError(*error)
        answer = await self.answer(ctx, view)
        if not is_gone(ctx):
            self._view.again.seen(view.user, view.id)
        return answer

    @contextlib.contextmanager
    def _following(self, ctx: Context, user: str, task: str) -> Iterator[tuple[Waiter, News]]:
        """Hear of a task's end, of its progress, and of what it asks and its host says."""
        feed = self._parts.feed
        waiter, news = feed.wait_for_end(user, task), News(said.level_of(ctx))
        following = Subscription(news, wire.Subscribe(0, "mcp", "task", task, ASKS), user)
        feed.attach(following)
        feed.want_progress(following, 1)
        try:
            with contextlib.ExitStack() as listening:
                if news.level is not None:
                    listening.enter_context(feed.said.heard(user, task, news.hear))
                yield waiter, news
        finally:
            feed.want_progress(following, -1)
            feed.detach(following)
            feed.forget(waiter)

    async def _until_over(
        self,
        call: _Call,
        sent: Submitted,
        view: TaskView,
        waiter: Waiter,
        news: News,
        asking: ClientQuestions,
    ) -> TaskView | CallToolResult | InputRequiredResult:
        """Pass progress and questions on until the task is over, or the client waits no longer.

        Raises MCPError when the gateway stops first.
        """
        clock, ctx = asyncio.get_running_loop().time, call.ctx
        until, rising, ended = clock() + call.patience_s, Rising(), waiter.future
        seen = 0
        while not view.over:
            if ended.done() and not ended.result():
                raise _stopping(view.id)
            if ended.done():
                view = there(await self._parts.desk.view(view.user, view.id), view.id)
                continue
            if news.asked > seen:
                seen = news.asked
                view = await self._asked(call.ctx, view, seen, rising)
            if (reply := await asking.look(view)) is not None:
                return reply
            if asking.pending:
                # The time that people take to answer is not what the client waits for.
                until = clock() + call.patience_s
            if (left_s := until - clock()) <= 0 and not asking.pending:
                return await self._parts.desk.latest(sent)
            waiting = asyncio.ensure_future(news.some.wait())
            awaited: list[asyncio.Future[Any]] = [ended, waiting, *asking.pending]
            try:
                await asyncio.wait(
                    awaited,
                    timeout=alive.ALIVE_S if asking.pending else min(left_s, alive.ALIVE_S),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                waiting.cancel()
            some = await _pass_on(ctx, news, rising)
            goes_on = not ended.done() and (asking.pending or left_s > alive.ALIVE_S)
            if not some and goes_on:
                await ctx.session.report_progress(*rising.sign(f"task {view.id} goes on"))
        # The last that was said may have come with the end.
        await _pass_on(ctx, news, rising)
        return view

    async def _asked(self, ctx: Context, view: TaskView, seq: int, rising: Rising) -> TaskView:
        """The task after it has asked, or was answered."""
        self._parts.desk.remember(view.user, seq)
        view = there(await self._parts.desk.view(view.user, view.id), view.id)
        if questions.is_approval(view.question):
            await ctx.session.report_progress(*rising.sign(questions.told(view)))
        return view

    async def _meant(self, principal: Principal, name: str) -> tuple[Host, str]:
        """The host and tool of a name."""
        found = await self._view.hosts(principal)
        if meant := names.named(name, found, choosing.get()):
            return next(host for host in found if host.id == meant[0]), meant[1]
        raise MCPError(INVALID_PARAMS, f"there is no tool {name[:200]!r}: see tools/list")


def _call(
    ctx: Context, who: Principal, host: Host, tool: str, given: dict[str, Any], asked: CallWishes
) -> _Call:
    """A call as its client and its host want it. Raises Rejected."""
    body: dict[str, Any] = {"type": MCP_CALL, "host": host.id}
    body |= {"input": {"tool": tool, "arguments": given}}
    body |= {} if asked.task is None else {"id": asked.task}
    body |= {} if asked.on_leave is None else {"on_leave": asked.on_leave}
    approve = choosing.get().asks(host, tool)
    body |= {"approve": True} if approve else {}
    on_leave = asked.on_leave or host.on_leave
    request = task_body(body)
    key = again.key_of(who, host, tool, given, asked.on_leave or "", approve=approve)
    return _Call(ctx, who, request, asked.patience_s, on_leave, key)


async def _pass_on(ctx: Context, news: News, rising: Rising) -> bool:
    """Tell the client what is new; whether there was progress."""
    reports = news.take()
    for one in reports:
        await ctx.session.report_progress(*rising.step(one))
    for message in news.take_said():
        await said.tell(ctx, message)
    return bool(reports)


def _stopping(task: str) -> MCPError:
    text = f"the gateway is stopping; task {task} goes on: ask for it with get_task"
    return MCPError(-32000, text, {"task": task})
