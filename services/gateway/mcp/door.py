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
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    EmptyResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from contracts import wire
from contracts.errors import Reason, Rejected
from contracts.result import Inline
from contracts.status import TaskView
from contracts.task import MCP_CALL, serves
from services.gateway import domain
from services.gateway import projection as tables
from services.gateway.access.identity import Principal
from services.gateway.domain import TaskBody
from services.gateway.errors import AWAY
from services.gateway.http.parts import Parts, submitted
from services.gateway.mcp import tasks
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.tasks import TaskParams
from services.gateway.rows import HostView
from services.gateway.stream import frames
from services.gateway.stream.feed import Subscription, Waiter
from services.log.port import LogUnavailable
from services.process import telemetry, tracing
from services.process.ids import new_id
from services.store.blobs import StoreError

PATH = "/mcp"
TASK_KEY = "io.metamcp/task"
"""In a call's `_meta`: the caller's own task id. The same call again is the same task."""
MOST_WAIT_S = 60.0
INLINE_BYTES = 1024 * 1024 - 4096
"""Results up to this size stand in the answer itself; bigger ones are a link.

The SDK's client takes 1 MiB of one event, and what is around the result needs some of it.
"""
IDLE_S = 600.0
MOST_SESSIONS = 2000
INSTRUCTIONS = (
    "Runs work on the best of many MCP servers and Spaces. Tools named HOST__TOOL call one host's"
    " tool; submit_task lets the orchestrator choose the host for a task type (see list_hosts)."
    " Everything is a durable task: it goes on when you are cut off, and get_task finds it again."
)

log = telemetry.get_logger()
_progress = msgspec.json.Decoder(wire.ProgressFrame)

Context = ServerRequestContext[Any, Any]


class McpDoor:
    """The MCP server. `run` for as long as the gateway listens; then call it with connections."""

    def __init__(self, parts: Parts, version: str) -> None:
        self._parts = parts
        self._closing = False
        self._cancelling: set[asyncio.Task[None]] = set()
        server: Server[Any] = Server(
            "metamcp-orchestrator",
            version=version,
            title="MetaMCP Orchestrator",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,  # type: ignore[arg-type]  # a handle is a dict
            get_tool_input_schema=lambda name: None,
        )
        server.extensions[tasks.TASKS] = {}
        server.add_request_handler("tasks/get", TaskParams, self._get_task)
        server.add_request_handler("tasks/cancel", TaskParams, self._cancel_task)
        server.add_request_handler("tasks/update", TaskParams, self._update_task)
        self._manager = StreamableHTTPSessionManager(
            server,
            session_idle_timeout=IDLE_S,
            max_sessions=MOST_SESSIONS,
            max_request_body_size=parts.settings.max_body,
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

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request whose principal is known."""
        user = scope["state"]["principal"].user
        # By this the SDK knows whose a session is; it answers 404 to everybody else.
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=user, scopes=[]))
        # Events are not kept, and who asks for those after one would get no answer at all.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"last-event-id"]
        await self._manager.handle_request(scope, receive, send)

    async def _list_tools(
        self, ctx: Context, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        every = mcp_tools.offered(await self._hosts(_principal(ctx)))
        names = sorted(every)
        after = params.cursor if params else None
        left = [name for name in names if after is None or name > after]
        tools = mcp_tools.page(mcp_tools.listed(name, *every[name]) for name in left)
        return ListToolsResult(
            tools=tools if after is not None else [*mcp_tools.OWN, *tools],
            next_cursor=tools[-1].name if len(left) > len(tools) else None,
        )

    async def _call_tool(
        self, ctx: Context, params: CallToolRequestParams
    ) -> CallToolResult | dict[str, Any]:
        principal = _principal(ctx)
        given = dict(params.arguments or {})
        own: dict[str, Callable[[Principal, dict[str, Any]], Awaitable[CallToolResult]]] = {
            "submit_task": self._submit,
            "get_task": self._get,
            "cancel_task": self._cancel,
            "list_hosts": self._list_hosts,
        }
        try:
            if handler := own.get(params.name):
                return await handler(principal, given)
            host, tool = await self._meant(principal, params.name)
            return await self._call_host(ctx, principal, host, tool, given)
        except Rejected as refusal:
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
            sent = await self._parts.desk.submit(user, request, "mcp", tracing.current())
            view = await self._parts.desk.first_view(sent)
            if _declares_tasks(ctx):
                return tasks.handle(view, time.time())
            try:
                view = await self._until_over(ctx, view, waiter, news)
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
    def _following(self, user: str, task: str) -> Iterator[tuple[Waiter, _News]]:
        """Hear of a task's end and of its progress."""
        feed = self._parts.feed
        waiter, news = feed.wait_for_end(user, task), _News()
        following = Subscription(news, wire.Subscribe(0, "mcp", "task", task), user)
        feed.want_progress(following, 1)
        try:
            yield waiter, news
        finally:
            feed.want_progress(following, -1)
            feed.forget(waiter)

    async def _until_over(
        self, ctx: Context, view: TaskView, waiter: Waiter, news: _News
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
                view = await self._view(view.user, view.id)
        return view

    async def _answer(self, ctx: Context, view: TaskView) -> CallToolResult:
        result, url = view.result, f"{_base(ctx)}/api/tasks/{view.id}/result"
        if result is None:
            return mcp_tools.answer(view, b"null", url)
        if isinstance(result, Inline):
            return mcp_tools.answer(view, bytes(result.value), url)
        if result.size > INLINE_BYTES or not result.uri.startswith("nats://"):
            return mcp_tools.answer(view, None, url)
        data = b"".join([part async for part in self._parts.desk.download(result)])
        return mcp_tools.answer(view, data, url)

    async def _submit(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        wait_s = _seconds(given.pop("wait_s", 0))
        _, view = await submitted(self._parts, principal.user, _task(given), "mcp", wait_s)
        return mcp_tools.said(view)

    async def _get(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        wait_s = _seconds(given.get("wait_s", 0))
        return await self._shown(principal.user, str(given.get("task", "")), wait_s)

    async def _cancel(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        task = str(given.get("task", ""))
        await self._parts.desk.cancel(principal.user, task, tracing.current())
        return await self._shown(principal.user, task, 0)

    async def _list_hosts(self, principal: Principal, given: dict[str, Any]) -> CallToolResult:
        wanted = given.get("task_type")
        if not isinstance(wanted, str | None):
            raise Rejected(Reason.BAD_REQUEST, "task_type: expected a text")
        found = await self._hosts(principal)
        serving = [host for host in found if wanted is None or serves(host, wanted)]
        return mcp_tools.said([mcp_tools.host_summary(host) for host in serving])

    async def _get_task(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        view = await self._view(_principal(ctx).user, params.task_id)
        if not view.over:
            return tasks.detailed(view, None, time.time())
        result = await self._answer(ctx, view)
        return tasks.detailed(
            view, result.model_dump(by_alias=True, mode="json", exclude_none=True), time.time()
        )

    async def _cancel_task(self, ctx: Context, params: TaskParams) -> EmptyResult:
        user = _principal(ctx).user
        if not (await self._view(user, params.task_id)).over:
            await self._parts.desk.cancel(user, params.task_id, tracing.current())
        return EmptyResult()

    async def _update_task(self, ctx: Context, params: TaskParams) -> EmptyResult:
        # No task of ours asks for anything, so no answer can be meant for one.
        await self._view(_principal(ctx).user, params.task_id)
        return EmptyResult()

    async def _meant(self, principal: Principal, name: str) -> tuple[str, str]:
        """The host and tool of a name; hosts that are down or need a moment count too."""
        found = {host.id: host for host in await self._hosts(principal)}
        for host, tool in mcp_tools.split(name):
            if host in found and any(known.name == tool for known in found[host].tools):
                return host, tool
        raise MCPError(INVALID_PARAMS, f"there is no tool {name[:200]!r}: see tools/list")

    async def _hosts(self, principal: Principal) -> list[HostView]:
        # An agent works for its user, also for one who may see more.
        return await tables.list_hosts(self._parts.projection, principal.user, every=False)

    async def _view(self, user: str, task: str) -> TaskView:
        view = await self._parts.desk.view(user, task)
        if view is None:
            raise MCPError(INVALID_PARAMS, f"there is no task {task[:80]!r}")
        return view

    async def _shown(self, user: str, task: str, wait_s: float) -> CallToolResult:
        waiter = self._parts.feed.wait_for_end(user, task)
        try:
            view = await self._view(user, task)
            if not view.over and wait_s:
                await asyncio.wait((waiter.future,), timeout=wait_s)
                view = await self._view(user, task)
        finally:
            self._parts.feed.forget(waiter)
        return mcp_tools.said(view)

    def _cancel_soon(self, user: str, task: str) -> None:
        cancelling = asyncio.create_task(self._give_up(user, task))
        self._cancelling.add(cancelling)
        cancelling.add_done_callback(self._cancelling.discard)

    async def _give_up(self, user: str, task: str) -> None:
        try:
            await self._parts.desk.cancel(user, task)
        except (Rejected, LogUnavailable) as error:
            log.info("mcp_call_not_cancelled", task=task, error=str(error))


class _News:
    """Takes the latest progress of a task, as a reader of the feed."""

    def __init__(self) -> None:
        self.some = asyncio.Event()
        self._latest: wire.ProgressFrame | None = None

    def offer(self, frame: bytes) -> None:
        """Facts are not asked for."""

    def offer_if_idle(self, frame: bytes) -> None:
        """Keep the newest; what was not passed on yet is out of date."""
        self._latest = _progress.decode(frames.payload(frame))
        self.some.set()

    def take(self) -> list[wire.ProgressFrame]:
        """What has not been passed on yet."""
        latest, self._latest = self._latest, None
        self.some.clear()
        return [latest] if latest else []


def _principal(ctx: Context) -> Principal:
    assert ctx.request is not None
    found: Principal = ctx.request.scope["state"]["principal"]
    return found


def _base(ctx: Context) -> str:
    assert ctx.request is not None
    return str(ctx.request.base_url).rstrip("/")


def _declares_tasks(ctx: Context) -> bool:
    # Handles are of 2026-07-28. Some clients declare the extension in older sessions as well.
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    capabilities = ctx.session.client_capabilities
    return tasks.TASKS in ((capabilities and capabilities.extensions) or {})


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
