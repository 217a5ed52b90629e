"""What an agent asks hosts that is no call: which of them it may ask, and what their errors mean.

None of it is a task: nothing is written down, and who has got no answer asks again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from mcp import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from pydantic import BaseModel, ValidationError

from contracts.errors import Reason, Rejected
from contracts.host import Host
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.context import Context, chosen, is_modern, principal
from services.gateway.mcp.denied import note
from services.gateway.mcp.listings import HostLists, ListKind
from services.gateway.mcp.selection import choosing
from services.gateway.mcp.views import AgentView
from services.gateway.peers.reads import HostReads, HostRefused
from services.gateway.people.trail import Trail
from services.gateway.rows import HostView

READ_S = 30.0
"""How long a host may take to answer."""
MISSING = -32002
"""Code of the older era for a resource that is not there; the newer one has INVALID_PARAMS."""
UNAVAILABLE = -32000

M = TypeVar("M", bound=BaseModel)
P = TypeVar("P")
R = TypeVar("R")
Handler = Callable[[Context, P], Awaitable[R]]


class ReadRow(NamedTuple):
    """One item of a list."""

    place: str
    """By which lists are sorted: its name or URI for agents."""
    item: Any


class AgentReads:
    """Hosts as agents may ask them. Raises MCPError, Rejected."""

    def __init__(self, view: AgentView, reads: HostReads, lists: HostLists) -> None:
        self._view = view
        self._reads = reads
        self._lists = lists

    async def hosts(self, ctx: Context, feature: str) -> Sequence[HostView]:
        """Those of the hosts that the request is about which have this, the operator's first."""
        return [host for host in await self._view.hosts(principal(ctx)) if gives(host, feature)]

    async def lists(
        self, ctx: Context, kind: ListKind, hosts: Sequence[HostView]
    ) -> list[tuple[HostView, list[Any]]]:
        """What these hosts list."""
        return await self._lists.of(hosts, principal(ctx).user, kind)

    async def ask(
        self, ctx: Context, host: HostView, method: str, params: dict[str, Any], model: type[M]
    ) -> M:
        """The host's answer."""
        try:
            found = await self._reads.ask(host, principal(ctx).user, method, params, READ_S)
        except HostRefused as refused:
            code = refused.code
            if method == "resources/read" and code == MISSING and is_modern(ctx):
                code = INVALID_PARAMS
            raise MCPError(code, refused.message, refused.data) from None
        try:
            return model.model_validate(found, by_name=False)
        except ValidationError as error:
            text = f"what host {host.id} has answered to {method} is not valid: {error}"
            raise MCPError(INTERNAL_ERROR, text[:2000]) from None


def gives(host: Host, feature: str) -> bool:
    """Whether agents may ask this host for what is no tool. Where they may call none of its tools,
    the operator has it work in task types alone."""
    return host.enabled and feature in host.features and host.callable_tools != ()


def served(trail: Trail, handler: Handler[P, R]) -> Handler[P, R]:
    """The same handler, about what the request's address is about, whose refusals are errors of the
    protocol and noted."""

    async def handled(ctx: Context, params: P) -> R:
        try:
            # A session of the older era has the context of its first request.
            choosing.set(chosen(ctx))
            return await handler(ctx, params)
        except Rejected as refusal:
            note(trail, ctx, refusal)
            away = refusal.reason in (Reason.UNAVAILABLE, Reason.INTERNAL)
            code = UNAVAILABLE if away else INVALID_PARAMS
            raise MCPError(code, refusal.message, {"reason": str(refusal.reason)}) from None

    return handled


def page(every: Iterable[ReadRow], cursor: str | None) -> tuple[list[Any], str | None]:
    """The items of a list that come next, and where to go on."""
    # There are clients that ask for the first page with an empty cursor.
    after = cursor or None
    left = sorted((one for one in every if after is None or one.place > after), key=_place)
    taken = mcp_tools.page(one.item for one in left)
    return taken, left[len(taken) - 1].place if len(taken) < len(left) else None


def _place(one: ReadRow) -> str:
    return one.place
