"""The MCP server of the built-in host git-mcp: reads the repositories of some folders.

Needs a git program and nothing else. Whatever a repository says, git is told by us what to do.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mcp.server.mcpserver import MCPServer

from services.registry.builtin.git import sandbox
from services.registry.builtin.git.changes import ChangeTools
from services.registry.builtin.git.contents import ContentTools
from services.registry.builtin.git.place import Folders
from services.registry.builtin.git.tools import Git
from services.registry.builtin.serving import READ_ONLY, scratch

MOST_MEMORY = 1 << 30
ABSENT = "git"
"""Stands for a git that is not there: each call says that it can't be started."""


def server(git: Git) -> MCPServer:
    """The MCP server that offers the tools."""
    made = MCPServer("git", version="1.0.0", log_level="WARNING")
    changes, contents = ChangeTools(git), ContentTools(git)
    for tool in (
        *(git.check, changes.git_status, changes.git_log, changes.git_diff),
        *(changes.git_diff_unstaged, changes.git_diff_staged),
        *(contents.git_show, contents.git_blame, contents.git_branch, contents.git_grep),
    ):
        made.add_tool(tool, annotations=READ_ONLY)
    return made


def bound_memory() -> None:
    """For this process and each git; files that are only mapped do not count."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = MOST_MEMORY if hard == resource.RLIM_INFINITY else min(hard, MOST_MEMORY)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def main(argv: Sequence[str]) -> None:
    """Shut this process in as far as the machine can, then serve on stdin and stdout."""
    parser = argparse.ArgumentParser(prog="git.server", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder for temporary files")
    parser.add_argument("--roots", type=Path, nargs="*", default=[], help="what may be read")
    parser.add_argument("--closed", type=Path, nargs="*", default=[], help="but nothing in these")
    options = parser.parse_args(argv)
    bounds = Folders(tuple(options.roots), tuple(options.closed))
    home = options.home.absolute()
    bound_memory()
    scratch(home)
    program = shutil.which("git")
    sandboxed = program is not None and sandbox.enter(program, bounds.roots, home)
    server(Git(program or ABSENT, bounds, sandboxed=sandboxed)).run("stdio")


if __name__ == "__main__":
    main(sys.argv[1:])
