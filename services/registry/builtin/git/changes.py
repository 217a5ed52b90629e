"""The tools about what changed: status, log and differences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult
from pydantic import Field

from services.registry.builtin.git import asked, diffs, view
from services.registry.builtin.git.asked import GitRefused
from services.registry.builtin.git.diffs import Shape
from services.registry.builtin.git.parse import history, states
from services.registry.builtin.git.repository import Repository
from services.registry.builtin.git.tools import (
    UNTOUCHED,
    Context,
    Git,
    HowMuch,
    Paths,
    RepoPath,
    Revision,
    answered,
    differing,
    notes_of,
    said,
)

MOST_COMMITS = 1000
MOST_ENTRIES = 10_000
NO_COMMITS = "There are no commits yet."


class ChangeTools:
    """Status, log, diffs and single commits."""

    def __init__(self, git: Git) -> None:
        self._git = git

    async def git_status(
        self,
        repo_path: RepoPath,
        untracked: Literal["normal", "all", "no"] = "normal",
        ignored: bool = False,
    ) -> CallToolResult:
        """Show the branch, its distance from its upstream, and what is changed, staged or new."""
        async with self._git.opened(repo_path, "files") as one:
            notes = notes_of(one)
            submodules = await diffs.submodules_to_ignore(one, await one.head())
            options = [f"--untracked-files={untracked}", f"--ignore-submodules={submodules}"]
            options += ["--ignored"] if ignored else []
            out = await one.read(
                *("status", "--porcelain=v2", "--branch", "-z", "--find-renames"), *options
            )
            status = states.parse(out, one.text, MOST_ENTRIES)
            if submodules == "all":
                notes.append(diffs.SUBMODULES_LEFT_OUT)
            status["under_way"] = view.under_way(one.place)
            status["clean"] = not status["entries"]
            text = "\n".join([states.summary(status), *states.lines(status)])
            return answered(one, status, text, notes)

    async def git_log(
        self,
        repo_path: RepoPath,
        max_count: Annotated[int, Field(ge=1, le=MOST_COMMITS)] = 10,
        skip: Annotated[int, Field(ge=0, le=100_000_000)] = 0,
        start: Annotated[str | None, Field(description="Not older, e.g. `2 weeks ago`.")] = None,
        end: Annotated[str | None, Field(description="Not newer, e.g. `2026-01-31`.")] = None,
        revision: Revision = "HEAD",
        paths: Paths = None,
        author: Annotated[str | None, Field(description="Part of a name or address.")] = None,
        message: Annotated[str | None, Field(description="Part of the message.")] = None,
        first_parent: bool = False,
    ) -> CallToolResult:
        """List commits, the latest first; `next` has what to ask for to get those that follow.

        `revision` may be `A..B`: what B has and A has not.
        """
        async with self._git.opened(repo_path) as one:
            options = _filters(start, end, author, message)
            options += ["--first-parent"] if first_parent else []
            names = asked.paths(paths)
            try:
                tips = await _tips(one, revision)
            except GitRefused:
                if revision != "HEAD" or await one.head() is not None:
                    raise
                nothing: dict[str, Any] = {"commits": [], "tip": None, "next": None}
                return answered(one, nothing, "no commits", [NO_COMMITS])
            out = await one.read(
                *("log", "-z", f"--format={history.FORMAT}", "--encoding=UTF-8", "--no-color"),
                *("--decorate=full", "--no-notes", "--no-show-signature", "--no-patch"),
                *(f"--max-count={max_count + 1}", f"--skip={skip}", *options),
                *("--end-of-options", *tips, "--", *names),
            )
            notes = [UNTOUCHED] if names and not out else []
            return _logged(one, out, tips, max_count, skip, notes)

    async def git_diff(
        self,
        repo_path: RepoPath,
        target: Annotated[str, Field(description="A revision, `A..B` or `A...B`.")] = "HEAD",
        staged: Annotated[bool, Field(description="Compare what is staged.")] = False,
        context_lines: Context = 3,
        paths: Paths = None,
        detail: HowMuch = "patch",
    ) -> CallToolResult:
        """Compare the working tree (or what is staged) with a revision, or two revisions.

        `A...B`: what changed on B since it left A.
        """
        with said():
            wanted = asked.target(target)
            shape = Shape(detail, context_lines, asked.paths(paths))
        if wanted.new is None:
            return await self._uncommitted(repo_path, wanted.old, shape, staged=staged)
        if staged:
            raise ToolError("`staged` compares with one revision: leave it out for a range")
        async with self._git.opened(repo_path) as one:
            ids = [await one.commit(wanted.old), await one.commit(wanted.new)]
            sides = ["...".join(ids)] if wanted.merge_base else ids
            found = await diffs.diff(one, shape, *sides)
            return differing(one, shape, {"old": ids[0], "new": ids[1], **found}, [])

    async def git_diff_unstaged(
        self,
        repo_path: RepoPath,
        context_lines: Context = 3,
        paths: Paths = None,
        detail: HowMuch = "patch",
    ) -> CallToolResult:
        """Compare the working tree with what is staged; files in conflict with what is ours."""
        async with self._git.opened(repo_path, "files") as one:
            shape = Shape(detail, context_lines, asked.paths(paths))
            notes = notes_of(one)
            submodules = await diffs.submodules_to_ignore(one, None)
            if submodules == "all":
                notes.append(diffs.SUBMODULES_LEFT_OUT)
            found = await diffs.diff(one, shape, "--ours", submodules=submodules)
            return differing(one, shape, {"old": "index", "new": "working tree", **found}, notes)

    async def git_diff_staged(
        self,
        repo_path: RepoPath,
        context_lines: Context = 3,
        paths: Paths = None,
        detail: HowMuch = "patch",
    ) -> CallToolResult:
        """Compare what is staged with the latest commit."""
        with said():
            shape = Shape(detail, context_lines, asked.paths(paths))
        return await self._uncommitted(repo_path, "HEAD", shape, staged=True)

    async def _uncommitted(
        self, repo_path: str, revision: str, shape: Shape, *, staged: bool
    ) -> CallToolResult:
        async with self._git.opened(repo_path, "index" if staged else "files") as one:
            notes = [] if staged else notes_of(one)
            if revision == "HEAD" and await one.head() is None:
                notes.append(f"{NO_COMMITS} Compared with nothing.")
                old = await one.empty_tree()
            else:
                old = await one.commit(revision)
            submodules = "dirty" if staged else await diffs.submodules_to_ignore(one, old)
            if submodules == "all":
                notes.append(diffs.SUBMODULES_LEFT_OUT)
            sides = ["--cached", old] if staged else [old]
            found = await diffs.diff(one, shape, *sides, submodules=submodules)
            what = "index" if staged else "working tree"
            return differing(one, shape, {"old": old, "new": what, **found}, notes)


async def _tips(one: Repository, revision: str) -> list[str]:
    """The ids that a log begins with; `^` is before those whose history is left out."""
    wanted = asked.target(revision)
    old = await one.commit(wanted.old)
    if wanted.new is None:
        return [old]
    if wanted.merge_base:
        raise GitRefused("a log takes `A..B`, not `A...B`")
    return [await one.commit(wanted.new), f"^{old}"]


def _filters(
    start: str | None, end: str | None, author: str | None, message: str | None
) -> list[str]:
    now = datetime.now(UTC)
    options = ["--fixed-strings", "--regexp-ignore-case"]
    if start is not None:
        options.append(f"--since={asked.moment(start, now, end=False)}")
    if end is not None:
        options.append(f"--until={asked.moment(end, now, end=True)}")
    if author is not None:
        options.append(f"--author={asked.words(author, 'author')}")
    if message is not None:
        options.append(f"--grep={asked.words(message, 'message')}")
    return options


def _logged(
    one: Repository, out: bytes, tips: list[str], max_count: int, skip: int, notes: list[str]
) -> CallToolResult:
    commits = history.parse(out, one.text)
    shown = commits[:max_count]
    structured: dict[str, Any] = {"commits": shown, "tip": tips[0], "next": None}
    if len(commits) > max_count or one.truncated:
        revision = f"{tips[1][1:]}..{tips[0]}" if len(tips) > 1 else tips[0]
        structured["next"] = {"revision": revision, "skip": skip + len(shown)}
    if one.shallow():
        notes.append("The clone is shallow: older history is not here.")
    return answered(one, structured, "\n".join(map(history.line, shown)) or "no commits", notes)
