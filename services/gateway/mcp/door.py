"""`/mcp`: the orchestrator as one MCP server. Every call is a durable task underneath.

The official SDK speaks both protocol eras here; who is asking is the bearer of each request.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from mcp import MCPError
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.subscriptions import ListenHandler
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    EmptyResult,
    ListToolsResult,
    PaginatedRequestParams,
)

from contracts import scopes, wire
from contracts.budget import BudgetOf
from contracts.errors import Reason, Rejected
from contracts.result import Inline
from contracts.rpc_error import MISSING_CAPABILITY
from contracts.status import TaskView
from contracts.task import MCP_CALL, serves
from services.gateway import domain
from services.gateway.access.identity import Principal
from services.gateway.domain import TaskBody
from services.gateway.errors import AWAY
from services.gateway.http.parts import Parts, submitted
from services.gateway.mcp import tasks
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.catalogue import Catalogue
from services.gateway.mcp.context import (
    Context,
    asker,
    base,
    check_names_task,
    declares_tasks,
    principal,
)
from services.gateway.mcp.denied import note, noting
from services.gateway.mcp.limited import LIMITED, limited
from services.gateway.mcp.news import News
from services.gateway.mcp.opened import Opened
from services.gateway.mcp.seen import as_seen, check_seen, there
from services.gateway.mcp.sessions import IDLE_S, DoorServer, DoorSessions, ListBus, asking
from services.gateway.mcp.tasks import TaskParams
from services.gateway.rows import HostView
from services.gateway.stream.feed import Subscription, Waiter
from services.log.port import LogUnavailable
from services.process import telemetry, tracing
from services.process.ids import new_id
from services.process.version import NAME, TITLE, version
from services.store.blobs import StoreError

PATH = "/mcp"
TASK_KEY = "io.metamcp/task"
"""In a call's `_meta`: the caller's own task id. The same call again is the same task."""
MOST_WAIT_S = 60.0
INLINE_BYTES = 1024 * 1024 - 4096
"""Results up to this size stand in the answer itself; bigger ones are a link.

The SDK's client takes 1 MiB of one event, and what is around the result needs some of it.
"""
MOST_SESSIONS = 2000
MOST_UNTOLD = 8
"""Changes of the list that a stream may leave unread before it is ended."""
INSTRUCTIONS = (
    "Runs work on the best of many MCP servers and Spaces. Tools named HOST__TOOL call one host's"
    " tool; submit_task lets the orchestrator choose the host for a task type (see list_hosts)."
    " Everything is a durable task: it goes on when you are cut off, and get_task finds it again."
)

log = telemetry.get_logger()


class McpDoor:
    """The MCP server. `run` for as long as the gateway listens; then call it with connections."""

    def __init__(
        self,
        parts: Parts,
        budget_of: BudgetOf,
        holds: Callable[[Principal], bool],
    ) -> None:
        """`holds`: whether what a principal has shown is still good."""
        self._parts = parts
        self._closing = False
        self._cancelling: set[asyncio.Task[None]] = set()
        self.catalogue = Catalogue()
        self._listens = ListenHandler(
            ListBus(self.catalogue),
            max_subscriptions=MOST_SESSIONS,
            max_buffered_events=MOST_UNTOLD,
        )
        server = DoorServer(
            NAME,
            version=version(),
            title=TITLE,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,  # type: ignore[arg-type]  # a handle is a dict
            on_subscriptions_listen=self._listens,
            get_tool_input_schema=self._in_headers,
        )
        server.extensions[tasks.TASKS] = {}
        add, trail = server.add_request_handler, parts.trail
        add("tasks/get", TaskParams, noting(trail, self._get_task))
        add("tasks/cancel", TaskParams, noting(trail, self._cancel_task))
        add("tasks/update", TaskParams, noting(trail, self._update_task))
        self._manager = DoorSessions(
            server,
            self.catalogue,
            budget_of,
            session_idle_timeout=IDLE_S,
            max_sessions=MOST_SESSIONS,
            max_request_body_size=parts.settings.max_body,
        )
        self._opened = Opened(
            self._manager.handle_request,
            holds,
            lambda: self._manager._server_instances,
        )
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled. Tasks that were called for go on after that."""
        try:
            async with self._manager.run():
                self.ready.set()
                await asyncio.Event().wait()
        finally:
            self._closing = True

    def close(self) -> None:
        """From now on a cut connection is our own doing and cancels nothing."""
        self._closing = True
        self.catalogue.close()
        self._listens.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request whose principal is known. Raises OverBudget."""
        who: Principal = scope["state"]["principal"]
        asking.set(who)
        # By this the SDK knows whose a session is; it answers 404 to everybody else.
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=who.user, scopes=[]))
        # Events are not kept, and who asks for those after one would get no answer at all.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"last-event-id"]
        if (refusal := scope["state"].get(LIMITED)) is not None:
            most = self._parts.settings.max_body
            if (receive := await limited(refusal, scope, receive, send, most)) is None:
                return
        await self._opened.serve(who, scope, receive, send)

    def revoke(self, tokens: frozenset[str]) -> None:
        """End every stream and session that was opened with one of these tokens."""
        self._opened.revoke(tokens)

    async def _list_tools(
        self, ctx: Context, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        await self.catalogue.ready.wait()
        who = asker(principal(ctx))
        self._manager.listed(ctx, who)
        every = mcp_tools.offered(self.catalogue.of(who, listed=True))
        names = sorted(every)
        # There are clients that ask for the first page with an empty one.
        after = (params.cursor if params else None) or None
        left = [name for name in names if after is None or name > after]
        tools = mcp_tools.page(mcp_tools.listed(name, *every[name]) for name in left)
        return ListToolsResult(
            tools=tools if after is not None else [*mcp_tools.OWN, *tools],
            next_cursor=tools[-1].name if len(left) > len(tools) else None,
        )

    def _in_headers(self, name: str) -> dict[str, Any] | None:
        return self.catalogue.in_headers(asker(asking.get()), name)

    async def _call_tool(
        self, ctx: Context, params: CallToolRequestParams
    ) -> CallToolResult | dict[str, Any]:
        who = principal(ctx)
        given = dict(params.arguments or {})
        own: dict[str, Callable[[Principal, dict[str, Any]], Awaitable[CallToolResult]]] = {
            "submit_task": self._submit,
            "get_task": self._get,
            "cancel_task": self._cancel,
            "list_hosts": self._list_hosts,
        }
        try:
            if handler := own.get(params.name):
                return await handler(who, given)
            host, tool = await self._meant(who, params.name)
            return await self._call_host(ctx, who, host, tool, given)
        except Rejected as refusal:
            note(self._parts.trail, ctx, refusal)
            return mcp_tools.failed(domain.shortened(refusal.message))
        except (LogUnavailable, StoreError):
            return mcp_tools.failed(f"{AWAY}: try again")

    async def _call_host(
        self, ctx: Context, principal: Principal, host: str, tool: str, given: dict[str, Any]
    ) -> CallToolResult | dict[str, Any]:
        named = (ctx.meta or {}).get(TASK_KEY)
        task = named if isinstance(named, str) else new_id()
        call = {"tool": tool, "arguments": given}
        request = _task({"id": task, "type": MCP_CALL, "host": host, "input": call})
        user = principal.user
        with self._following(user, task) as (waiter, news):
            sent = await self._parts.desk.submit(principal, request, "mcp", tracing.current())
            view = await self._parts.desk.first_view(sent)
            check_seen(principal, view, scopes.RESULTS_READ)
            if declares_tasks(ctx):
                return tasks.handle(view, time.time())
            try:
                view = await self._until_over(ctx, view, waiter, news)
                if (error := tasks.of_host(view)) and error.code == MISSING_CAPABILITY:
                    # By the protocol the client may come again with what is missing.
                    raise MCPError(*error)
                return await self._answer(ctx, view)
            except asyncio.CancelledError:
                # By the protocol a call is cancelled so; a task that the caller named is durable.
                if not self._closing and not isinstance(named, str):
                    self._cancel_soon(user, task)
                raise
            except (LogUnavailable, StoreError):
                # To call again would be to do it again.
                return mcp_tools.failed(f"{AWAY}: ask get_task for task {task}, which goes on")

    @contextlib.contextmanager
    def _following(self, user: str, task: str) -> Iterator[tuple[Waiter, News]]:
        """Hear of a task's end and of its progress."""
        feed = self._parts.feed
        waiter, news = feed.wait_for_end(user, task), News()
        following = Subscription(news, wire.Subscribe(0, "mcp", "task", task), user)
        feed.want_progress(following, 1)
        try:
            yield waiter, news
        finally:
            feed.want_progress(following, -1)
            feed.forget(waiter)

    async def _until_over(
        self, ctx: Context, view: TaskView, waiter: Waiter, news: News
    ) -> TaskView:
        """Pass progress on until the task is over. Raises MCPError when the gateway stops first."""
        while not view.over:
            if waiter.future.done() and not waiter.future.result():
                raise _stopping(view.id)
            waiting = asyncio.ensure_future(news.some.wait())
            try:
                await asyncio.wait((waiter.future, waiting), return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
            for progress in news.take():
                await ctx.session.report_progress(
                    progress.progress, progress.total, progress.message or None
                )
            if waiter.future.done() and waiter.future.result():
                view = there(await self._parts.desk.view(view.user, view.id), view.id)
        return view

    async def _answer(self, ctx: Context, view: TaskView) -> CallToolResult:
        result, url = view.result, f"{base(ctx)}/api/tasks/{view.id}/result"
        if result is None:
            return mcp_tools.answer(view, b"null", url)
        if isinstance(result, Inline):
            return mcp_tools.answer(view, bytes(result.value), url)
        if result.size > INLINE_BYTES or not result.uri.startswith("nats://"):
            promised = mcp_tools.promises(view, await self._hosts(principal(ctx)))
            return mcp_tools.answer(view, None, url, promised=promised)
        data = b"".join([part async for part in self._parts.desk.download(result)])
        return mcp_tools.answer(view, data, url)

    async def _submit(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        wait_s = _seconds(given.pop("wait_s", 0))
        _, view = await submitted(self._parts, principal, _task(given), "mcp", wait_s)
        return mcp_tools.said(as_seen(principal, view))

    async def _get(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        wait_s = _seconds(given.get("wait_s", 0))
        return await self._shown(principal, str(given.get("task", "")), wait_s)

    async def _cancel(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        task = str(given.get("task", ""))
        view = await self._parts.desk.view(principal.user, task)
        check_seen(principal, view, scopes.TASKS_WRITE)
        await self._parts.desk.cancel(principal.user, task, tracing.current())
        if view and not principal.asked(view.asked_by) and not principal.may(scopes.TASKS_READ):
            return mcp_tools.said({"id": task, "cancel_requested": True})
        return await self._shown(principal, task, 0)

    async def _list_hosts(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        wanted = given.get("task_type")
        if not isinstance(wanted, str | None):
            raise Rejected(Reason.BAD_REQUEST, "task_type: expected a text")
        found = await self._hosts(principal)
        serving = [host for host in found if wanted is None or serves(host, wanted)]
        return mcp_tools.said([mcp_tools.host_summary(host) for host in serving])

    async def _get_task(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        check_names_task(ctx, params.task_id)
        who = principal(ctx)
        view = await self._view(who, params.task_id)
        if not view.over:
            return tasks.detailed(await self._parts.waits.seen(view), None, time.time())
        check_seen(who, view, scopes.RESULTS_READ)
        result = await self._answer(ctx, view)
        return tasks.detailed(
            view, result.model_dump(by_alias=True, mode="json", exclude_none=True), time.time()
        )

    async def _cancel_task(self, ctx: Context, params: TaskParams) -> EmptyResult:
        check_names_task(ctx, params.task_id)
        who = principal(ctx)
        if not (await self._view(who, params.task_id, scopes.TASKS_WRITE)).over:
            await self._parts.desk.cancel(who.user, params.task_id, tracing.current())
        return EmptyResult()

    async def _update_task(self, ctx: Context, params: TaskParams) -> EmptyResult:
        check_names_task(ctx, params.task_id)
        # No task of ours asks for anything, so no answer can be meant for one.
        await self._view(principal(ctx), params.task_id)
        return EmptyResult()

    async def _meant(self, principal: Principal, name: str) -> tuple[str, str]:
        """The host and tool of a name."""
        if meant := mcp_tools.named(name, await self._hosts(principal)):
            return meant
        raise MCPError(INVALID_PARAMS, f"there is no tool {name[:200]!r}: see tools/list")

    async def _hosts(self, principal: Principal) -> list[HostView]:
        await self.catalogue.ready.wait()
        # An agent works for its user, also for one who may see more.
        return self.catalogue.of(asker(principal))

    async def _view(self, who: Principal, task: str, scope: str = scopes.TASKS_READ) -> TaskView:
        view = await self._parts.desk.view(who.user, task)
        check_seen(who, view, scope)
        return there(view, task)

    async def _shown(self, who: Principal, task: str, wait_s: float) -> CallToolResult:
        waiter = self._parts.feed.wait_for_end(who.user, task)
        try:
            view = await self._view(who, task)
            if not view.over and wait_s:
                await asyncio.wait((waiter.future,), timeout=wait_s)
                view = await self._view(who, task)
        finally:
            self._parts.feed.forget(waiter)
        return mcp_tools.said(as_seen(who, await self._parts.waits.seen(view)))

    def _cancel_soon(self, user: str, task: str) -> None:
        cancelling = asyncio.create_task(self._give_up(user, task))
        self._cancelling.add(cancelling)
        cancelling.add_done_callback(self._cancelling.discard)

    async def _give_up(self, user: str, task: str) -> None:
        try:
            await self._parts.desk.cancel(user, task)
        except (Rejected, LogUnavailable) as error:
            log.info("mcp_call_not_cancelled", task=task, error=str(error))


def _task(given: dict[str, Any]) -> TaskBody:
    """A task from a call's arguments. Raises Rejected."""
    try:
        body = msgspec.json.encode(given)
    except UnicodeEncodeError as error:
        raise Rejected(Reason.BAD_REQUEST, f"not a task: {error}") from None
    return domain.parse_task(body)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MCPError(INVALID_PARAMS, "wait_s: expected a number of seconds")
    return float(max(0.0, min(value, MOST_WAIT_S)))


def _stopping(task: str) -> MCPError:
    text = f"the gateway is stopping; task {task} goes on: ask for it with get_task"
    return MCPError(-32000, text, {"task": task})
