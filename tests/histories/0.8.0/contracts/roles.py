"""Who takes part: the five services, and which facts each of them may append."""

from __future__ import annotations

from collections.abc import Mapping

WRITES: Mapping[str, tuple[str, ...]] = {
    "router": (
        *("task.routed.*.*.*", "task.asked.*.*.*"),
        *("job.failed.*.*.*", "job.done.*.*.end", "log.router.*"),
    ),
    "registry": ("mcp.registered.*.*.*", "mcp.removed.*.*.*", "mcp.health.*.*.*"),
    "executor": (
        *("job.signed.*.*.*", "job.failed.*.*.*", "job.done.*.*.end"),
        *("task.asked.*.*.*", "log.key.*"),
    ),
    "results": ("result.stored.*.*", "result.deleted.*.*", "log.sealed.*"),
    "gateway": (
        *("task.created.*.*", "task.cancelled.*.*", "task.answered.*.*.*"),
        *("task.tagged.*.*.*", "mcp.preferred.*.*.*.*"),
        *("operation.started.*.*.*", "operation.stepped.*.*.*", "operation.stopped.*.*"),
    ),
}
"""The five services, and the facts each may append."""
SERVICES: tuple[str, ...] = tuple(WRITES)
EARLIER: tuple[str, ...] = (
    *("mcp.registered.*.*", "mcp.removed.*.*", "mcp.health.*.*"),
    "mcp.preferred.*.*.*",
)
"""Where releases before 0.4 wrote about hosts, whose ids had no owner: read, and never written."""
