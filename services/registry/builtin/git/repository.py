"""One call's repository: found, checked, and asked through git. Nothing outlives the call."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, NamedTuple

from services.registry.builtin import serving
from services.registry.builtin.git import asked, config, place, view
from services.registry.builtin.git.asked import GitRefused
from services.registry.builtin.git.child import MOST_OUTPUT, GitRun, Records, run
from services.registry.builtin.git.parse.words import Decoder
from services.registry.builtin.git.place import Folders, Place, RealFolders

Reach = Literal["commits", "index", "files"]
CALL_S = 60.0
"""The longest call."""
OLDEST = (2, 32)
"""Earlier ones follow links that stand for files with rules."""
_VERSION = re.compile(r"git version ((\d+)\.(\d+)\S*)")
_NOT_FOUND, _FATAL = 1, 128
"""How git ends, quiet or not, when there is no such revision."""
_UNBORN = "the repository has no commits yet"


class Grounds(NamedTuple):
    """What a call knows of its repository before git opens it."""

    place: Place
    settings: config.RepositorySettings
    bounds: RealFolders


class Repository:
    """Made by `opened`; each method that runs git raises GitRefused when git fails."""

    def __init__(self, program: str, known: Grounds, own: Path, more: dict[str, str]) -> None:
        self.place, self.settings, self.bounds = known
        self.text = Decoder()
        self.truncated = False
        self._program = program
        self._own = self._cwd = own
        self._more = more

    def enter(self, top: Path) -> None:
        """Let git see the working tree; else it sees none, as in a bare repository."""
        self._cwd = top
        self._more = self._more | {"GIT_WORK_TREE": str(top)}

    async def ran(
        self, *arguments: str, most: int = MOST_OUTPUT, sift: Records | None = None
    ) -> GitRun:
        """Run git, however it ends."""
        return await run(
            self._program, arguments, cwd=self._cwd, more=self._more, most=most, sift=sift
        )

    async def read(self, *arguments: str, most: int = MOST_OUTPUT) -> bytes:
        """What git prints; `truncated` tells when that was more than may be kept."""
        done = await self.ran(*arguments, most=most)
        if done.code != 0:
            raise GitRefused(self._failure(done))
        self.truncated = self.truncated or done.cut
        return done.out

    async def head(self) -> str | None:
        """The commit that HEAD stands for; None: there is none yet."""
        done = await self.ran("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if done.code not in (0, _NOT_FOUND):
            raise GitRefused(self._failure(done))
        return done.out.decode().strip() or None

    async def commit(self, revision: str) -> str:
        """The id of the commit that is named. Raises GitRefused."""
        return await self.object(revision, "commit")

    async def object(self, revision: str, kind: str = "object") -> str:
        """The id of what is named, if it is there and of that kind. Raises GitRefused."""
        name = f"{asked.revision(revision)}^{{{kind}}}"
        done = await self.ran("rev-parse", "--verify", "--end-of-options", name)
        if done.code == 0:
            return done.out.decode().strip()
        if done.code != _FATAL:
            raise GitRefused(self._failure(done))
        if revision in ("HEAD", "@") and await self.head() is None:
            raise GitRefused(_UNBORN)
        if "is ambiguous" in done.said:
            raise GitRefused(f"{revision!r} is the beginning of several ids: give more of it")
        raise GitRefused(f"there is no {kind} {revision!r} in the repository{self._missing()}")

    async def empty_tree(self) -> str:
        """The id of a tree without files, which git knows without having it."""
        done = await run(
            self._program,
            ("hash-object", "-t", "tree", "--stdin"),
            cwd=self._own,
            more=self._more,
        )
        return done.out.decode().strip()

    def work_tree(self) -> Path:
        """Raises GitRefused for a repository that has none."""
        if self.place.worktree is None:
            raise GitRefused(
                "this is a bare repository, or the inside of one: it has no working tree and no"
                " index. Compare two commits instead: `A..B`."
            )
        return self.place.worktree

    def shallow(self) -> bool:
        """Whether history was cut off when this was cloned."""
        return (self.place.common / "shallow").exists()

    def _missing(self) -> str:
        if self.settings.partial:
            return "; it is a partial clone, and nothing is fetched for a call"
        return "; it is a shallow clone without its older history" if self.shallow() else ""

    def _failure(self, done: GitRun) -> str:
        said = " ".join(done.said.replace(str(self._own), "").split())[:500]
        if done.code < 0:
            said = f"it was ended by signal {-done.code}"
        return f"git could not do it: {said or f'it ended with {done.code}'}{self._missing()}"


@contextlib.asynccontextmanager
async def opened(
    program: str, repo_path: str, bounds: Folders, reach: Reach = "commits"
) -> AsyncIterator[Repository]:
    """The repository at this path for one call, which sees no more of it than it says.

    `index`: what is staged, too; `files`: and the working tree.

    Raises GitRefused.
    """
    try:
        async with asyncio.timeout(CALL_S):
            with serving.folder() as own:
                yield await _opened(program, repo_path, bounds, own, reach)
    except TimeoutError:
        raise GitRefused(f"it took longer than {CALL_S:g} s: ask for less") from None
    except OSError as error:
        what = "git can't be started" if error.filename == program else "it can't be read"
        raise GitRefused(f"{what}: {error.strerror or error}") from None


async def _opened(
    program: str, repo_path: str, bounds: Folders, own: Path, reach: Reach
) -> Repository:
    real = await asyncio.to_thread(bounds.real)
    found = await asyncio.to_thread(place.find, repo_path, real)
    await asyncio.to_thread(place.check, found, real)
    entries = await _entries(program, own, view.configuration(found))
    settings = config.settings(entries)
    if settings.own_worktree_config:
        entries += await _entries(program, own, view.worktree_configuration(found))
        settings = config.settings(entries)
    _check_worktree(found, settings, real)
    text = config.written(settings, bare=reach != "files")
    closed = real.closed_in(found.worktree) if found.worktree else []
    more = await asyncio.to_thread(view.build, own, found, text, closed)
    repository = Repository(program, Grounds(found, settings, real), own, more)
    if reach != "commits":
        top = repository.work_tree()
        await asyncio.to_thread(view.add_index, own, found)
        if reach == "files":
            repository.enter(top)
    return repository


def _check_worktree(found: Place, settings: config.RepositorySettings, bounds: RealFolders) -> None:
    """A repository may say that its files are elsewhere: that is believed of no stranger."""
    if found.worktree is None or settings.worktree is None:
        return
    named = bounds.resolve(found.git / settings.worktree, "the folder that core.worktree names")
    if named != found.worktree:
        raise GitRefused("core.worktree names another folder than that of `.git`: ask for that one")


async def _entries(program: str, own: Path, text: bytes) -> list[tuple[str, str]]:
    if not text.strip():
        return []
    arguments = ("config", "--file", "-", "--no-includes", "--list", "-z")
    done = await run(
        program, arguments, cwd=own, more={"GIT_CEILING_DIRECTORIES": str(own.parent)}, stdin=text
    )
    if done.code != 0 or done.cut:
        raise GitRefused(f"the repository's configuration can't be read: {done.said[:200]}")
    return config.parse(done.out)


async def version(program: str) -> str:
    """The version of git, which has to be one that is safe here. Raises GitRefused."""
    try:
        with serving.folder() as own:
            done = await run(program, ["--version"], cwd=own, more={})
    except OSError as error:
        raise GitRefused(f"git can't be started: {error.strerror}") from None
    match = _VERSION.match(done.out.decode("utf-8", "replace"))
    if match is None:
        raise GitRefused(f"git does not say its version: {done.said[:200]}")
    if (int(match[2]), int(match[3])) < OLDEST:
        raise GitRefused(f"this is git {match[1]}: {OLDEST[0]}.{OLDEST[1]} or newer is needed")
    return match[1]
