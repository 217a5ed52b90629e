"""How long clients may keep what they have listed: a user's own, and not for long.

Whoever listens is told of changes sooner.
"""

from __future__ import annotations

from typing import Final

from mcp.server.caching import CacheableMethod, CacheHint

LIST_MS = 5000
"""Lists change with hosts, profiles and rights."""
SELF_MS = 300_000
"""What the server says of itself changes with its release."""


def cacheable(ttl_ms: int = LIST_MS) -> CacheHint:
    """The lifetime of an answer that is for its user alone, as all are."""
    return CacheHint(ttl_ms, "private")


HINTS: Final[dict[CacheableMethod, CacheHint]] = {
    "tools/list": cacheable(),
    "prompts/list": cacheable(),
    "resources/list": cacheable(),
    "resources/templates/list": cacheable(),
    "server/discover": cacheable(SELF_MS),
}
"""By method. Of what a resource holds nothing is said: hosts change it when they like."""
