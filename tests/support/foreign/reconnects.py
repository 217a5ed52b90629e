"""Which clients go on after the gateway has lost their session: what docs/mcp.md may say of it.

`tests/acceptance/test_foreign_restart.py` tries each of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Reconnect(NamedTuple):
    """A client, how it is started, and what becomes of its calls after a restart of the gateway."""

    pins: str
    """Its environment of Python; `node`: of npm, empty: that of the tests."""
    arguments: tuple[str, ...]
    """Of the agent, before URL and token."""
    first: bool = True
    """Its first call works; else an agent sees an error once."""


RECONNECTS = {
    "Python SDK 1": Reconnect("mcp-1.txt", ("mcp-1",)),
    "Python SDK 2, older era": Reconnect("", ("legacy",)),
    "Python SDK 2": Reconnect("", ("auto",)),
    "FastMCP": Reconnect("fastmcp.txt", ("fastmcp",)),
    "TypeScript SDK 1": Reconnect("node", ("1", "")),
    "TypeScript SDK 2, older era": Reconnect("node", ("2", "legacy")),
    "TypeScript SDK 2": Reconnect("node", ("2", "auto")),
    "mcp-remote": Reconnect("node", ("bridge",)),
}
"""The Inspector's command line has a session of its own for every command."""
