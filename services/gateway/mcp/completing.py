"""Completion of what prompts and templates of hosts want to know."""

from __future__ import annotations

from typing import Any

from mcp_types import (
    CompleteRequestParams,
    CompleteResult,
    Completion,
    PromptReference,
)

from services.gateway.mcp.context import Context
from services.gateway.mcp.prompts import HostPrompts
from services.gateway.mcp.reads import AgentReads, gives
from services.gateway.mcp.resources import HostResources


class HostCompletion:
    """See `AgentReads`."""

    def __init__(self, reads: AgentReads, prompts: HostPrompts, resources: HostResources) -> None:
        self._reads = reads
        self._prompts = prompts
        self._resources = resources

    async def complete(self, ctx: Context, params: CompleteRequestParams) -> CompleteResult:
        """`completion/complete`; of a host that completes nothing, an empty list."""
        ref = params.ref
        if isinstance(ref, PromptReference):
            host, own = await self._prompts.meant(ctx, ref.name)
            ref = ref.model_copy(update={"name": own})
        else:
            host, own = await self._resources.meant(ctx, ref.uri)
            ref = ref.model_copy(update={"uri": own})
        if not gives(host, "completions"):
            return CompleteResult(completion=Completion(values=[]))
        asked: dict[str, Any] = params.model_copy(update={"ref": ref, "meta": None}).model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        return await self._reads.ask(ctx, host, "completion/complete", asked, CompleteResult)
