"""Prompts of hosts, under names made as those of tools are."""

from __future__ import annotations

from typing import Any

import msgspec
from mcp import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
)

from contracts.host import Tool
from services.gateway.mcp import names
from services.gateway.mcp.context import Context, chosen
from services.gateway.mcp.listings import PROMPTS
from services.gateway.mcp.reads import AgentReads, ReadRow, page
from services.gateway.mcp.selection import ToolChoice
from services.gateway.rows import HostView


class HostPrompts:
    """See `AgentReads`."""

    def __init__(self, reads: AgentReads) -> None:
        self._reads = reads

    async def listed(
        self, ctx: Context, params: PaginatedRequestParams | None
    ) -> ListPromptsResult:
        """`prompts/list`."""
        hosts = await self._reads.hosts(ctx, "prompts")
        found = await self._reads.lists(ctx, PROMPTS, hosts)
        known = {(host.id, one.name): one for host, prompts in found for one in prompts}
        every = names.offered(_named(found), _alone(ctx))
        rows = (
            ReadRow(name, known[host.id, prompt.name].model_copy(update={"name": name}))
            for name, (host, prompt) in every.items()
        )
        prompts, cursor = page(rows, params.cursor if params else None)
        return ListPromptsResult(prompts=prompts, next_cursor=cursor)

    async def get(self, ctx: Context, params: GetPromptRequestParams) -> GetPromptResult:
        """`prompts/get`."""
        host, name = await self.meant(ctx, params.name)
        asked: dict[str, Any] = {"name": name}
        if params.arguments is not None:
            asked["arguments"] = params.arguments
        return await self._reads.ask(ctx, host, "prompts/get", asked, GetPromptResult)

    async def meant(self, ctx: Context, name: str) -> tuple[HostView, str]:
        """The host of a prompt, and what it is called there. Raises MCPError."""
        choice = _alone(ctx)
        every = await self._reads.hosts(ctx, "prompts")
        hosts = [one for one in every if choice.single or names.may_be_of(name, one.id)]
        found = await self._reads.lists(ctx, PROMPTS, hosts)
        if (known := names.named(name, _named(found), choice)) is not None:
            return next(host for host in hosts if host.id == known[0]), known[1]
        # It may be there all the same: the host says so itself.
        for host in hosts:
            if name.startswith(begin := names.full(host.id, "")) and name != begin:
                return host, name.removeprefix(begin)
        if choice.single and hosts:
            return hosts[0], name
        raise MCPError(INVALID_PARAMS, f"there is no prompt {name[:200]!r}: see prompts/list")


def _alone(ctx: Context) -> ToolChoice:
    """What is chosen, but for what is about tools alone."""
    return ToolChoice(hosts=chosen(ctx).hosts)


def _named(found: list[tuple[HostView, list[Any]]]) -> list[HostView]:
    """The hosts as if their prompts were their tools, which are named by the same rules."""
    return [
        msgspec.structs.replace(host, tools=tuple(Tool(one.name) for one in prompts))
        for host, prompts in found
    ]
