"""What is written once stays written once: each of these stands in the files named here only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = "services/process/files.py"
ONCE = {
    r"\bprctl\b": {
        "services/process/child.py": "a child that ends with its parent",
        "services/registry/builtin/git/sandbox.py": "a server that shuts itself in",
    },
    r"\bflock\(": {
        FILES: "locks",
        "services/registry/builtin/pinned.py": "a script that imports nothing of ours",
        "services/cli/commands/download.py": "locks the very file that it goes on to write",
        "services/cli/signed_in.py": "waits for another command; the gateway's locks never wait",
    },
    r"\b0o600\b": {
        FILES: "private files",
        "services/executor/attempt/tree.py": "never follows a link, never opens what is there",
        "services/cli/signed_in.py": "the lock beside a private file",
    },
    r"\bos\.fsync\(": {
        FILES: "what is there is on disk",
        "services/cli/commands/download.py": "written in parts, for as long as it takes",
    },
    r"from mcp import .*\bClient\b": {
        "services/outside/mcp_session.py": "the owner of every client",
        "services/executor/hosts/tool_session.py": "only as a type",
        "services/executor/hosts/known_tools.py": "only as a type",
        "services/executor/hosts/changes.py": "only as a type",
        "services/executor/hosts/hearing.py": "only as a type",
    },
    r"SO_REUSEADDR": {
        FILES: "whether a port is free",
        "services/gateway/listener.py": "listens",
        "services/gateway/server.py": "listens",
    },
    r"\btenacity\b": {},
}


@pytest.mark.parametrize("pattern", ONCE)
def test_it_stands_where_it_belongs_and_nowhere_else(pattern: str) -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("contracts", "services")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(pattern, path.read_text())
    }
    assert found - ONCE[pattern].keys() == set()
