"""What a token lets its bearer do: scopes. What somebody may do at all, their roles say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contracts.errors import Reason, Rejected

TASKS_READ = "tasks:read"
TASKS_WRITE = "tasks:write"
RESULTS_READ = "results:read"
HOSTS_READ = "hosts:read"
HOSTS_WRITE = "hosts:write"
MCP_CALL = "mcp:call"
ADMIN = "admin"
SCOPES: Mapping[str, str] = {
    TASKS_READ: "see tasks, their steps and why they went where they went",
    TASKS_WRITE: "submit and cancel tasks, and upload what they need",
    RESULTS_READ: "read results and what they point to",
    HOSTS_READ: "see hosts, their tools and their health",
    HOSTS_WRITE: "change hosts of one's own, say which are preferred, and use linked accounts",
    MCP_CALL: "use the MCP door: list tools and call them",
    ADMIN: "what the person's roles allow besides: users, tokens, hosts of all, audits",
}
"""Every scope, and what it lets do, in the words of the consent page."""
EVERY: frozenset[str] = frozenset(SCOPES)


def check_scopes(names: Iterable[str]) -> frozenset[str]:
    """Return the names as a set. Raises Rejected(BAD_REQUEST) for one that is no scope."""
    found = frozenset(names)
    if unknown := sorted(found - EVERY):
        text = f"{unknown[0][:64]!r} is no scope: there are {', '.join(SCOPES)}"
        raise Rejected(Reason.BAD_REQUEST, text)
    return found
