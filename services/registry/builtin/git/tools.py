"""What the tools have in common: how they open a repository, and how they answer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult
from pydantic import Field

from services.registry.builtin.git import repository
from services.registry.builtin.git.asked import GitRefused
from services.registry.builtin.git.diffs import Detail, Shape
from services.registry.builtin.git.parse import patches
from services.registry.builtin.git.place import Folders
from services.registry.builtin.git.repository import Reach, Repository
from services.registry.builtin.serving import answer

CUT = "Name `paths`, or ask for less `detail`."
UNTOUCHED = "Nothing touches these paths. They are relative to the top, and stand for themselves."
MOST_TEXT = 32 * 1024
"""Characters of the text for people; the data has all of it."""

RepoPath = Annotated[str, Field(description="Absolute path of the repository, or a folder in it.")]
Paths = Annotated[
    list[str] | None, Field(description="Only these files and folders, relative to the top.")
]
Context = Annotated[int, Field(ge=0, le=1000, description="Unchanged lines around each change.")]
HowMuch = Annotated[Detail, Field(description="The patch, counts of lines, or only the names.")]
Revision = Annotated[str, Field(description="A commit, branch or tag.")]


@contextlib.contextmanager
def said() -> Iterator[None]:
    """What is refused becomes the tool's error, with its words."""
    try:
        yield
    except GitRefused as refused:
        raise ToolError(str(refused)) from None


class Git:
    """git for the repositories of some folders; every call opens its own one anew."""

    def __init__(self, program: str, bounds: Folders, *, sandboxed: bool = False) -> None:
        """`program`: full path of git; `sandboxed`: as `sandbox.enter` said."""
        self.program = program
        self.bounds = bounds
        self._sandboxed = sandboxed

    @contextlib.asynccontextmanager
    async def opened(self, repo_path: str, reach: Reach = "commits") -> AsyncIterator[Repository]:
        """One call's repository, of which it sees so much."""
        with said():
            async with repository.opened(self.program, repo_path, self.bounds, reach) as one:
                yield one

    async def check(self) -> CallToolResult:
        """Tell which git there is, that it runs, and whether it does so in a sandbox."""
        with said():
            version = await repository.version(self.program)
        found = {"git": version, "folders": len(self.bounds.roots), "sandbox": self._sandboxed}
        return answer(found, f"git {version}")


def notes_of(one: Repository) -> list[str]:
    """What one has to know to read an answer about files."""
    if not one.settings.filters:
        return []
    names = ", ".join(one.settings.filters)[:200]
    return [
        f"The repository names programs that change files ({names}): they are not run, so files"
        " they are for can look changed."
    ]


def answered(
    one: Repository, structured: dict[str, Any], text: str, notes: list[str], hint: str = ""
) -> CallToolResult:
    """The answer, with what was lost on the way; `hint`: what to do when it was cut."""
    where = one.text(os.fsencode(one.place.worktree or one.place.git))
    structured = {"repository": where, **structured}
    structured["truncated"] = one.truncated
    if one.truncated:
        notes = [*notes, f"The answer was cut. {hint}".strip()]
    if one.text.replaced:
        structured["replaced"] = one.text.replaced
        notes = [*notes, f"{one.text.replaced} bytes are no UTF-8: each became U+FFFD."]
    if notes:
        structured["notes"] = notes
    if len(text) > MOST_TEXT:
        text = text[:MOST_TEXT] + "\n… the rest is in the data only"
    return answer(structured, "\n".join([text, *notes]))


def differing(
    one: Repository, shape: Shape, found: dict[str, Any], notes: list[str]
) -> CallToolResult:
    """The answer about a difference, with the patch as the text."""
    files = found["files"]
    if shape.paths and not files:
        notes = [*notes, UNTOUCHED]
    parts = [file["patch"] for file in files if file.get("patch")]
    text = "".join([patches.summary(files), *("\n" * bool(parts)), *parts])
    return answered(one, found, text, notes, CUT)
