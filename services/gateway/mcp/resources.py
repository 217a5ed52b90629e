"""Resources of hosts, under URIs that name the host; of one host alone under its own."""

from __future__ import annotations

from typing import Any

from mcp import MCPError
from mcp_types import (
    INVALID_PARAMS,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
)

from services.gateway.mcp import uris
from services.gateway.mcp.context import Context, chosen, is_modern
from services.gateway.mcp.listings import RESOURCES, TEMPLATES, ListKind
from services.gateway.mcp.reads import MISSING, AgentReads, ReadRow, page
from services.gateway.rows import HostView

FEATURE = "resources"


class HostResources:
    """See `AgentReads`."""

    def __init__(self, reads: AgentReads) -> None:
        self._reads = reads

    async def listed(
        self, ctx: Context, params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """`resources/list`."""
        found, cursor = await self._page(ctx, params, RESOURCES, "uri")
        return ListResourcesResult(resources=found, next_cursor=cursor)

    async def templates(
        self, ctx: Context, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """`resources/templates/list`."""
        found, cursor = await self._page(ctx, params, TEMPLATES, "uri_template")
        return ListResourceTemplatesResult(resource_templates=found, next_cursor=cursor)

    async def read(self, ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        """`resources/read`."""
        host, uri = await self.meant(ctx, params.uri)
        asked = {"uri": uri}
        found = await self._reads.ask(ctx, host, "resources/read", asked, ReadResourceResult)
        if params.uri == uri:
            return found
        contents = [
            one.model_copy(update={"uri": uris.ours(host.id, one.uri)}) for one in found.contents
        ]
        return found.model_copy(update={"contents": contents})

    async def meant(self, ctx: Context, uri: str) -> tuple[HostView, str]:
        """The host of a resource, and its URI there. Raises MCPError."""
        hosts = await self._reads.hosts(ctx, FEATURE)
        if (named := uris.undone(uri)) is not None:
            for host in hosts:
                if host.id == named[0]:
                    return host, named[1]
        elif chosen(ctx).single and hosts:
            return hosts[0], uri
        code = INVALID_PARAMS if is_modern(ctx) else MISSING
        text = f"there is no resource {uri[:500]!r}: see resources/list"
        if named is None:
            text += f". What host NAME has at this URI is {uris.ours('NAME', 'URI')} here"
        raise MCPError(code, text, {"uri": uri[:2000]})

    async def _page(
        self, ctx: Context, params: PaginatedRequestParams | None, kind: ListKind, field: str
    ) -> tuple[list[Any], str | None]:
        hosts = await self._reads.hosts(ctx, FEATURE)
        single = chosen(ctx).single
        every: dict[str, ReadRow] = {}
        for host, items in await self._reads.lists(ctx, kind, hosts):
            for item in items:
                own = getattr(item, field)
                uri = own if single else uris.ours(host.id, own)
                every.setdefault(uri, ReadRow(uri, item.model_copy(update={field: uri})))
        return page(every.values(), params.cursor if params else None)
