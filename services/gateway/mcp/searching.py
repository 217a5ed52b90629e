"""What the tools do that find, describe and call others: see `search_tools`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import mcp_types
from mcp import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult

from contracts.errors import Reason, Rejected
from contracts.host import Tool
from services.gateway.mcp import names
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.calls import Answer, HostCalls
from services.gateway.mcp.context import Context, asker, principal
from services.gateway.mcp.index import ToolIndex
from services.gateway.mcp.selection import choosing
from services.gateway.mcp.views import AgentView
from services.gateway.rows import HostView

MOST_FOUND = 20
"""Tools of one answer."""
USUALLY_FOUND = 5
LONGEST_QUERY = 1_000
"""Characters of a question."""
LONGEST_SAID = 300
"""Characters of a tool's description in a list of what was found."""

SearchHandler = Callable[[Context, dict[str, Any]], Awaitable[Answer]]


class SearchTools:
    """Their handlers, by name. They raise Rejected, MCPError and what a call raises."""

    def __init__(self, view: AgentView, calls: HostCalls) -> None:
        self._catalogue = view.catalogue
        self._calls = calls
        self._index = ToolIndex()
        self.handlers: Mapping[str, SearchHandler] = {
            "find_tools": self._find,
            "describe_tool": self._describe,
            "call_tool": self._call,
        }

    def close(self) -> None:
        """Find nothing any more."""
        self._index.close()

    async def _find(self, ctx: Context, given: dict[str, Any]) -> CallToolResult:
        query = _text(given, "query", LONGEST_QUERY)
        limit = given.get("limit", USUALLY_FOUND)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_FOUND:
            raise Rejected(Reason.BAD_REQUEST, f"limit: expected 1 to {MOST_FOUND}")
        every = await self._every(ctx)
        by = {(host.id, tool.name): name for name, (host, tool) in every.items()}
        found = await self._index.find(query, by.keys(), self._catalogue.every(), limit)
        return mcp_tools.said([_summary(by[one], *every[by[one]]) for one in found])

    async def _describe(self, ctx: Context, given: dict[str, Any]) -> CallToolResult:
        name = _text(given, "name", LONGEST_QUERY)
        every = await self._every(ctx)
        if name not in every:
            raise MCPError(INVALID_PARAMS, f"there is no tool {name[:200]!r}: see find_tools")
        row: mcp_types.Tool = names.row(name, *every[name], choosing.get())
        return mcp_tools.said(row.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def _call(self, ctx: Context, given: dict[str, Any]) -> Answer:
        name, arguments = _text(given, "name", LONGEST_QUERY), given.get("arguments")
        if not isinstance(arguments, dict | None):
            raise Rejected(Reason.BAD_REQUEST, "arguments: expected an object")
        return await self._calls.call(ctx, name, arguments or {})

    async def _every(self, ctx: Context) -> dict[str, tuple[HostView, Tool]]:
        """All tools that can be found, by name."""
        await self._catalogue.known()
        found = self._catalogue.of(asker(principal(ctx)))
        return names.listed(choosing.get(), found, self._catalogue.is_listed)


def _summary(name: str, host: HostView, tool: Tool) -> dict[str, Any]:
    change = choosing.get().change(host.id, tool.name)
    said = (change and change.description) or tool.description
    short = said if len(said) <= LONGEST_SAID else f"{said[:LONGEST_SAID]}…"
    title = {"title": tool.title} if tool.title else {}
    return {"name": name, **title, "description": short, "host": host.name}


def _text(given: dict[str, Any], name: str, longest: int) -> str:
    found = given.get(name)
    if not isinstance(found, str) or not found.strip() or len(found) > longest:
        raise Rejected(Reason.BAD_REQUEST, f"{name}: expected a text of 1 to {longest} characters")
    return found
