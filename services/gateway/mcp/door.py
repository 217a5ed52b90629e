"""`/mcp`: the orchestrator as one MCP server. Every call is a durable task underneath.

The official SDK speaks both protocol eras here; who is asking is the bearer of each request.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp_types import (
    CallToolRequestParams,
    ListToolsResult,
    PaginatedRequestParams,
    SetLevelRequestParams,
)

from contracts.budget import BudgetOf
from contracts.errors import Rejected
from services.gateway import domain
from services.gateway.access.identity import Principal
from services.gateway.errors import AWAY, STATUS
from services.gateway.http.parts import Parts
from services.gateway.mcp import alive, lifetimes, names, said, search_tools, tasks
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.address import asked_by_address
from services.gateway.mcp.answering import Questions
from services.gateway.mcp.calls import Answer, HostCalls
from services.gateway.mcp.catalogue import Catalogue
from services.gateway.mcp.context import (
    CHOSEN,
    GONE,
    Context,
    asker,
    chosen,
    principal,
)
from services.gateway.mcp.denied import note, noting
from services.gateway.mcp.handles import TaskHandles
from services.gateway.mcp.leaving import Leaving
from services.gateway.mcp.limited import LIMITED, limited
from services.gateway.mcp.listens import TaskListens
from services.gateway.mcp.opened import Opened
from services.gateway.mcp.own import OwnTools
from services.gateway.mcp.own_list import OWN
from services.gateway.mcp.read_methods import ReadMethods
from services.gateway.mcp.sealed import RequestStates
from services.gateway.mcp.searching import SearchTools
from services.gateway.mcp.selection import choosing
from services.gateway.mcp.sessions import (
    IDLE_S,
    DoorServer,
    DoorSessions,
    SharedListens,
    addressed,
    asking,
)
from services.gateway.mcp.tasks import TaskParams
from services.gateway.mcp.views import AgentView
from services.gateway.refusals import Refusal, fail
from services.keys.vault import KeyFile
from services.log.port import LogUnavailable
from services.process import telemetry
from services.process.version import NAME, TITLE, version
from services.store.blobs import StoreError

PATH = "/mcp"
MOST_SESSIONS = 2000
MOST_UNTOLD = 8
"""Changes of the list that a stream may leave unread before it is ended."""
INSTRUCTIONS = (
    "Runs work on the best of many MCP servers and Spaces. Tools named HOST__TOOL call one host's"
    " tool; submit_task lets the orchestrator choose the host for a task type (see list_hosts)."
    " Everything is a durable task: it goes on when you are cut off, and get_task finds it again."
    " A call that takes long is answered by its task: ask get_task for the outcome. What a task"
    " asks is its `question`: answer_task answers it."
)

log = telemetry.get_logger()


class McpDoor:
    """The MCP server. `run` for as long as the gateway listens; then call it with connections."""

    def __init__(
        self,
        parts: Parts,
        budget_of: BudgetOf,
        holds: Callable[[Principal], bool],
        key: KeyFile,
    ) -> None:
        """`holds`: whether what a principal has shown is still good; `key`: seals what clients
        carry."""
        self._parts = parts
        self.catalogue = Catalogue(parts.log.now)
        view = AgentView(parts, self.catalogue)
        self._leaving = Leaving(parts.desk)
        self._own = OwnTools(view, self._leaving)
        questions = Questions(parts, RequestStates(key))
        self._calls = HostCalls(view, self._leaving, questions)
        self._search = SearchTools(view, self._calls)
        self._reads = ReadMethods(view)
        parts.profiles.on_change.append(self.catalogue.choose_anew)
        handles = TaskHandles(view, self._calls, questions)
        self._listens = SharedListens(
            self._reads.listening,
            TaskListens(parts, handles.detailed),
            max_subscriptions=MOST_SESSIONS,
            max_buffered_events=MOST_UNTOLD,
        )
        server = self._server(handles)
        self._manager = DoorSessions(
            server,
            self.catalogue,
            budget_of,
            self._reads.listening,
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

    def _server(self, handles: TaskHandles) -> DoorServer:
        """The SDK's server, with all that we answer."""
        server = DoorServer(
            NAME,
            version=version(),
            title=TITLE,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,  # type: ignore[arg-type]  # a handle is a dict
            on_subscriptions_listen=self._listens,
            **self._reads.handlers,
            get_tool_input_schema=self._in_headers,
            cache_hints=lifetimes.HINTS,
        )
        server.add_request_handler("logging/setLevel", SetLevelRequestParams, said.set_level)
        server.extensions[tasks.TASKS] = {}
        for name, method in handles.methods.items():
            server.add_request_handler(name, TaskParams, noting(self._parts.trail, method))
        return server

    async def run(self) -> None:
        """Serve until cancelled. Tasks that were called for go on after that."""
        try:
            async with self._manager.run():
                self.ready.set()
                await asyncio.Event().wait()
        finally:
            self._leaving.close()
            self._search.close()

    def close(self) -> None:
        """From now on a cut connection is our own doing and cancels nothing."""
        self._leaving.close()
        self.catalogue.close()
        self._reads.close()
        self._listens.close()

    def on_reads_changed(self, payload: bytes) -> None:
        """Take a message on `reads.changed.*.*`."""
        self._reads.followers.heard(payload)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request whose principal is known. Raises OverBudget."""
        who: Principal = scope["state"]["principal"]
        asking.set(who)
        try:
            await self._choose(who, scope)
        except Rejected as error:
            refusal = Refusal(STATUS[error.reason], error.reason, error.message)
            await fail(scope, send, refusal)
            return
        # By this the SDK knows whose a session is; it answers 404 to everybody else.
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=who.user, scopes=[]))
        # Events are not kept, and who asks for those after one would get no answer at all.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"last-event-id"]
        if (refusal := scope["state"].get(LIMITED)) is not None:
            most = self._parts.settings.max_body
            if (receive := await limited(refusal, scope, receive, send, most)) is None:
                return

        async def heard() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                scope["state"][GONE] = True
            return message

        await self._opened.serve(who, scope, heard, send)

    def revoke(self, tokens: frozenset[str]) -> None:
        """End every stream and session that was opened with one of these tokens."""
        self._opened.revoke(tokens)

    async def _choose(self, who: Principal, scope: Any) -> None:
        """Find out what the address is about. Raises Rejected."""
        asked = asked_by_address(scope["path"], scope["query_string"])
        profiles = self._parts.profiles
        now = functools.partial(profiles.selection, who.user, asked)
        try:
            now()
        except Rejected:
            # Another gateway may have heard of it a moment ago; over a limit nobody has it asked.
            if LIMITED not in scope["state"]:
                with contextlib.suppress(StoreError):
                    await profiles.refresh()
        choosing.set(now())
        addressed.set(now)
        scope["state"][CHOSEN] = now

    async def _list_tools(
        self, ctx: Context, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        await self.catalogue.known()
        who = asker(principal(ctx))
        self._manager.listed(ctx, who)
        choice = chosen(ctx)
        if choice.tools == "search":
            return ListToolsResult(tools=[*OWN, *search_tools.TOOLS])
        every = names.listed(choice, self.catalogue.of(who), self.catalogue.is_listed)
        # There are clients that ask for the first page with an empty one.
        after = (params.cursor if params else None) or None
        left = [name for name in sorted(every) if after is None or name > after]
        tools = mcp_tools.page(names.row(name, *every[name], choice) for name in left)
        return ListToolsResult(
            tools=tools if after is not None else [*OWN, *tools],
            next_cursor=tools[-1].name if len(left) > len(tools) else None,
        )

    def _in_headers(self, name: str) -> dict[str, Any] | None:
        return self.catalogue.in_headers(asker(asking.get()), name, choosing.get())

    async def _call_tool(self, ctx: Context, params: CallToolRequestParams) -> Answer:
        given = dict(params.arguments or {})
        try:
            choice = chosen(ctx)
            # A session of the older era has the context of its first request.
            choosing.set(choice)
            if handler := self._own.handlers.get(params.name):
                if not given.get("wait_s"):
                    return await handler(principal(ctx), given)
                async with alive.waiting(ctx):
                    return await handler(principal(ctx), given)
            if choice.tools == "search" and (found := self._search.handlers.get(params.name)):
                return await found(ctx, given)
            return await self._calls.call(ctx, params.name, given)
        except Rejected as refusal:
            note(self._parts.trail, ctx, refusal)
            return mcp_tools.failed(domain.shortened(refusal.message))
        except (LogUnavailable, StoreError):
            return mcp_tools.failed(f"{AWAY}: try again")
