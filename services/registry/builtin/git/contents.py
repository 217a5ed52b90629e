"""The tools about what is in commits: one of them, a file's lines, branches, a search."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mcp_types import CallToolResult
from pydantic import Field

from services.registry.builtin.git import asked, diffs
from services.registry.builtin.git.asked import GitRefused
from services.registry.builtin.git.diffs import Shape
from services.registry.builtin.git.parse import (
    annotate,
    history,
    matches,
    patches,
    references,
    trees,
)
from services.registry.builtin.git.parse.words import Decoder, whole_lines
from services.registry.builtin.git.repository import Repository
from services.registry.builtin.git.tools import (
    CUT,
    Context,
    Git,
    HowMuch,
    Paths,
    RepoPath,
    Revision,
    answered,
)

MOST_LINES = 2000
"""Lines that one call of blame answers with."""
MOST_MATCHES = 1000
MOST_BRANCHES = 1000
_BINARY = 8000
"""How much of a file git looks at to tell whether it is text."""
_TYPES = {
    "local": ("refs/heads/",),
    "remote": ("refs/remotes/",),
    "all": ("refs/heads/", "refs/remotes/"),
}

Found = dict[str, Any]


class ContentTools:
    """Everything here reads commits only, never the working tree."""

    def __init__(self, git: Git) -> None:
        self._git = git

    async def git_show(
        self,
        repo_path: RepoPath,
        revision: Annotated[
            str, Field(description="A commit, tag or branch, or a file of one: `REVISION:path`.")
        ] = "HEAD",
        context_lines: Context = 3,
        paths: Paths = None,
        detail: HowMuch = "patch",
    ) -> CallToolResult:
        """Show one commit and what it changed, a tag, or a file or folder as it was then.

        A merge is compared with its first parent.
        """
        async with self._git.opened(repo_path) as one:
            name, inside = asked.place_in(revision)
            if inside is not None:
                return await _file(one, await one.commit(name), inside)
            shape = Shape(detail, context_lines, asked.paths(paths))
            id_ = await one.object(name)
            found: Found = {"kind": "commit"}
            kind = (await one.read("cat-file", "-t", id_)).decode().strip()
            if kind == "tag":
                raw = await one.read("cat-file", "tag", id_)
                found = {"kind": "tag", "tag": history.tag(raw, one.text)}
                kind = found["tag"]["type"]
            if kind in ("tree", "blob"):
                raise GitRefused(f"{name!r} is a {kind}: ask for `REVISION:path`")
            return await _commit(one, await one.commit(id_), found, shape)

    async def git_blame(
        self,
        repo_path: RepoPath,
        path: Annotated[str, Field(description="The file, relative to the top.")],
        revision: Revision = "HEAD",
        first_line: Annotated[int, Field(ge=1, le=10_000_000)] = 1,
        last_line: Annotated[int | None, Field(ge=1, le=10_000_000)] = None,
    ) -> CallToolResult:
        """Tell for every line of a file which commit wrote it; `next` is the line to go on with."""
        async with self._git.opened(repo_path) as one:
            name, id_ = asked.path(path), await one.commit(revision)
            if last_line is not None and last_line < first_line:
                raise GitRefused("`last_line` comes before `first_line`")
            lines = await _lines(one, id_, name)
            if lines and first_line > lines:
                raise GitRefused(f"{name!r} has {lines} lines at {revision!r}")
            last = min(lines, last_line or lines, first_line + MOST_LINES - 1)
            out = b""
            if lines:
                out = await one.read(
                    *("blame", "--porcelain", "--encoding=UTF-8", f"-L{first_line},{last}"),
                    *(id_, "--", name),
                )
            found = annotate.parse(whole_lines(out), one.text, MOST_LINES)
            wanted = min(lines, last_line or lines)
            shown = found["runs"][-1]["last_line"] if found["runs"] else last
            more = shown + 1 if shown < wanted else None
            head = {"path": name, "revision": id_, "lines_in_file": lines, "next": more}
            text = f"{name}: {len(found['runs'])} runs of lines, {len(found['commits'])} commits"
            return answered(one, {**head, **found}, text, [])

    async def git_branch(
        self,
        repo_path: RepoPath,
        branch_type: Literal["local", "remote", "all"] = "local",
        contains: Annotated[str | None, Field(description="Only with this commit in it.")] = None,
        merged: Annotated[str | None, Field(description="Only merged into this one.")] = None,
        not_merged: Annotated[str | None, Field(description="Only not merged into it.")] = None,
        max_count: Annotated[int, Field(ge=1, le=MOST_BRANCHES)] = MOST_BRANCHES,
    ) -> CallToolResult:
        """List branches: their commits, the current one, and how far each is from its upstream."""
        async with self._git.opened(repo_path) as one:
            options = [f"--format={references.FORMAT}", f"--count={max_count + 1}"]
            given = {"contains": contains, "merged": merged, "no-merged": not_merged}
            for option, revision in given.items():
                if revision is not None:
                    options.append(f"--{option}={await one.commit(revision)}")
            out = await one.read("for-each-ref", *options, *_TYPES[branch_type])
            branches = references.parse(out, one.text)
            one.truncated = one.truncated or len(branches) > max_count
            del branches[max_count:]
            marks = ("* " if branch["current"] else "  " for branch in branches)
            text = "\n".join(
                f"{mark}{branch['name']} {branch['commit'][:12]}"
                for mark, branch in zip(marks, branches, strict=True)
            )
            hint = "Ask with `contains`, `merged` or `not_merged`."
            return answered(one, {"branches": branches}, text or "no branches", [], hint)

    async def git_grep(
        self,
        repo_path: RepoPath,
        pattern: Annotated[str, Field(description="What a line has in it.")],
        regex: Annotated[
            bool, Field(description="It is an extended regular expression (POSIX).")
        ] = False,
        revision: Revision = "HEAD",
        paths: Paths = None,
        ignore_case: bool = False,
        context_lines: Annotated[int, Field(ge=0, le=20)] = 0,
        max_count: Annotated[int, Field(ge=1, le=MOST_MATCHES)] = 200,
    ) -> CallToolResult:
        """Search the text files of a commit for lines; what is not committed is not searched."""
        async with self._git.opened(repo_path) as one:
            wanted, names = asked.pattern(pattern), asked.paths(paths)
            id_ = await one.commit(revision)
            for name in names:
                await _entry(one, id_, name)
            options = ["-E" if regex else "-F", *(["-i"] if ignore_case else [])]
            # Several threads would hold all that they find in a file until its end.
            done = await one.ran(
                *("grep", "-z", "-n", "--column", "-I", "--full-name", "--no-color"),
                *("--no-textconv", "--threads=1", f"--context={context_lines}", *options),
                *("-e", wanted, id_, "--", *names),
            )
            if done.code not in (0, 1) or (done.code == 1 and done.said):
                raise GitRefused(f"git could not search for that: {done.said[:300]}")
            found, more = matches.parse(done.out, f"{id_}:".encode(), one.text, max_count)
            one.truncated = done.cut or more
            files = len({hit["path"] for hit in found})
            lines = [f"{hit['path']}:{hit['line']}: {hit['text']}" for hit in found]
            text = "\n".join([f"{len(found)} matches in {files} files", *lines])
            structured = {"revision": id_, "matches": found, "files": files}
            return answered(one, structured, text, [], "Name `paths`, or search for more.")


async def _commit(one: Repository, id_: str, found: Found, shape: Shape) -> CallToolResult:
    out = await one.read(
        *("log", "-z", "--max-count=1", f"--format={history.FORMAT}", "--encoding=UTF-8"),
        *("--decorate=full", "--no-notes", "--no-show-signature", "--no-patch", "--no-color"),
        *("--end-of-options", id_, "--"),
    )
    if not (commits := history.parse(out, one.text)):
        raise GitRefused("the commit's message is too big to be shown")
    commit = commits[0]
    parents, notes = commit["parents"], []
    if not parents and one.shallow():
        notes.append("The clone is shallow: the commit before this one is not here.")
    if len(parents) > 1:
        notes.append("A merge: compared with its first parent.")
    old = parents[0] if parents else await one.empty_tree()
    found |= {"commit": commit, "compared_with": parents[0] if parents else None}
    found |= await diffs.diff(one, shape, old, id_)
    text = [history.line(commit), *([commit["body"]] if commit["body"] else [])]
    if "tag" in found:
        text = [f"tag {found['tag']['name']}: {found['tag']['message']}", *text]
    text += [patches.summary(found["files"]), *(file.get("patch", "") for file in found["files"])]
    return answered(one, found, "\n".join(text), notes, CUT)


async def _entry(one: Repository, id_: str, path: str) -> Found:
    """What the commit has at this path. Raises GitRefused."""
    if not path:
        return {"path": "", "kind": "folder", "id": await one.object(id_, "tree")}
    out = await one.read("ls-tree", "-z", "-l", "--full-tree", id_, "--", path)
    for entry in trees.parse(out, Decoder()):
        if entry["path"] == path:
            return entry
    raise GitRefused(f"there is no {path!r} in commit {id_[:12]}: paths are relative to the top")


async def _file(one: Repository, id_: str, path: str) -> CallToolResult:
    """A file or folder as a commit has it."""
    entry = await _entry(one, id_, path)
    found: Found = {"revision": id_, **entry}
    match entry["kind"]:
        case "folder":
            out = await one.read("ls-tree", "-z", "-l", entry["id"])
            found["entries"] = trees.parse(out, one.text)
            text = "\n".join(f"{each['kind']} {each['path']}" for each in found["entries"])
        case "submodule":
            text = f"{path}: a submodule at commit {entry['id']}"
        case _:
            out = await one.read("cat-file", "blob", entry["id"])
            found["binary"] = b"\0" in out[:_BINARY]
            text = f"{path}: {entry['size']} bytes that are no text"
            if found["binary"]:
                one.truncated = False
            else:
                cut = one.truncated and b"\n" in out
                found["text"] = text = one.text(whole_lines(out) if cut else out)
    return answered(one, found, text, [], "The data has the beginning of the file.")


async def _lines(one: Repository, id_: str, path: str) -> int:
    """How many lines a text file has. Raises GitRefused."""
    entry = await _entry(one, id_, path)
    if entry["kind"] != "file":
        raise GitRefused(f"{path!r} is a {entry['kind']}, no file with lines")
    done = await one.ran("cat-file", "blob", entry["id"])
    if done.cut:
        raise GitRefused(f"{path!r} has {entry['size']} bytes: that is too big for this")
    if b"\0" in done.out[:_BINARY]:
        raise GitRefused(f"{path!r} is no text")
    return done.out.count(b"\n") + (not done.out.endswith(b"\n") and bool(done.out))
