"""Real repositories for the tests, and the tools of git-mcp on them in this process."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent

from services.registry.builtin.git.changes import ChangeTools
from services.registry.builtin.git.contents import ContentTools
from services.registry.builtin.git.place import Folders
from services.registry.builtin.git.tools import Git

_FOUND = shutil.which("git")
assert _FOUND is not None
GIT = _FOUND
SECRET = "the secret of somebody else"
CALLS: list[tuple[str, dict[str, Any]]] = [
    *[(tool, {}) for tool in ("git_status", "git_log", "git_diff", "git_show", "git_branch")],
    *[("git_diff_unstaged", {}), ("git_diff_staged", {}), ("git_blame", {"path": "a"})],
    *[("git_grep", {"pattern": "e"}), ("git_diff", {"target": "HEAD~1..HEAD"})],
    *[("git_show", {"revision": "HEAD:a"}), ("git_show", {"revision": "v1"})],
]
WHO = {
    **{f"GIT_{who}_NAME": "Ann Lee" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ann@example.org" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_DATE": "2026-03-01T12:00:00+02:00" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "HOME": os.devnull,
    "LC_ALL": "C",
    "PATH": os.environ["PATH"],
}


class Repo:
    """A repository that a test fills as a person would."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self.git("init", "--quiet", "--initial-branch=main", "--template=", *options, str(path))

    def git(self, *arguments: str, stdin: bytes = b"", **more: str) -> str:
        self.path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [GIT, *arguments], cwd=self.path, env=WHO | more, input=stdin, capture_output=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("utf-8", "replace").strip()

    def write(self, name: str | bytes, content: str | bytes) -> None:
        path = self.path / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str = "One", **files: str | bytes) -> str:
        """Commit everything that is there, with these files; their names may have `_` for `.`."""
        for name, content in files.items():
            self.write(name.replace("_", "."), content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


class Tools:
    """What the server offers, with the answers' data; the last answer's text is in `text`."""

    def __init__(self, *roots: Path, closed: Sequence[Path] = ()) -> None:
        git = Git(GIT, Folders(tuple(roots), tuple(closed)))
        self._changes, self._contents = ChangeTools(git), ContentTools(git)
        self.text = ""

    async def __call__(self, tool: str, repo: Repo | Path | str, **arguments: Any) -> Any:
        owner = self._changes if hasattr(self._changes, tool) else self._contents
        path = repo.path if isinstance(repo, Repo) else repo
        answer = await getattr(owner, tool)(str(path), **arguments)
        assert isinstance(answer, CallToolResult)
        (content,) = answer.content
        assert isinstance(content, TextContent)
        self.text = content.text
        return answer.structured_content

    async def refused(self, tool: str, repo: Repo | Path | str, **arguments: Any) -> str:
        """The words with which the call is refused."""
        with pytest.raises(ToolError) as refusal:
            await self(tool, repo, **arguments)
        return str(refusal.value)


async def everything(tools: Tools, repo: Repo | Path, path: Path | None = None) -> list[Any]:
    """The answers of all calls, or the words they are refused with."""
    answers = []
    for tool, more in CALLS:
        try:
            answers.append(await tools(tool, path or repo, **more))
        except ToolError as refused:
            answers.append(str(refused))
        assert SECRET not in repr(answers[-1]) + tools.text
    return answers
