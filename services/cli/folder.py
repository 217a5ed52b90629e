"""Which files of a folder go with a task: text that is the user's own, and what is left out why.

No link is followed, nothing is run, and what an ignore file names stays at home.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from services.cli.common import CliError, Exit
from services.cli.ignored import IgnoreRules, is_ignored, rules
from services.packed.wanted import (
    HEAD,
    INSTALLED,
    MOST_BYTES,
    MOST_NAME,
    goes_along,
    is_binary,
    is_name,
)

MOST_SEEN = 200_000
"""Files and folders that are looked at."""
IGNORE_FILES = (".metamcpignore", ".gitignore")
_REPOSITORIES = frozenset((".git", ".hg", ".svn", ".bzr", ".jj"))
_MARKS = ("pyvenv.cfg", "CACHEDIR.TAG", "conda-meta")
"""What a folder of packages or a cache says it is by."""
_IGNORE_BYTES = 1024 * 1024
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalFile(NamedTuple):
    """One file that goes along."""

    name: str
    """As the task sees it: relative, with slashes."""
    path: Path
    size: int
    data: bytes | None = None
    """Its bytes, of what can be read once only."""


class Walked(NamedTuple):
    """What a folder has."""

    files: tuple[LocalFile, ...]
    """By name."""
    left_out: Mapping[str, int]
    """Why, and how many; a folder that is left out counts once."""


class Unreadable(Exception):
    """The file can't be read, or is none any more."""


def read(entry: LocalFile, most: int) -> bytes:
    """All bytes of a file. Raises Unreadable, also for one with more than `most`."""
    if entry.data is not None:
        return entry.data
    try:
        with os.fdopen(os.open(entry.path, _OPEN), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("it is no file")
            data = file.read(most + 1)
    except OSError as error:
        raise Unreadable(error.strerror or "it can't be read") from None
    if len(data) > most:
        raise Unreadable(f"it has more than {most} bytes by now")
    return data


def walk(folder: Path, *, hidden: bool = False) -> Walked:
    """All files that go along. `hidden`: also the hidden ones. Raises CliError."""
    one = _Walk(folder, hidden=hidden)
    files = tuple(sorted(one.files(), key=lambda entry: entry.name))
    return Walked(files, dict(sorted(one.left_out.items())))


class _Walk:
    def __init__(self, folder: Path, *, hidden: bool) -> None:
        self._folder = folder
        self._hidden = hidden
        self._above, self._prefix = above(folder)
        self._seen = 0
        self.left_out: Counter[str] = Counter()

    def files(self) -> Iterator[LocalFile]:
        """Every file, folder by folder."""
        waiting: list[tuple[str, tuple[tuple[IgnoreRules, ...], ...]]] = [("", self._above)]
        while waiting:
            base, levels = waiting.pop()
            try:
                with os.scandir(self._folder / base) as listed:
                    entries = sorted(listed, key=lambda one: one.name)
            except OSError as error:
                if not base:
                    text = f"{self._folder} can't be read: {error.strerror}."
                    raise CliError(Exit.USAGE, text) from None
                self.left_out["unreadable"] += 1
                continue
            self._count(len(entries))
            names = {one.name for one in entries}
            if base and not names.isdisjoint(_MARKS):
                self.left_out["installed"] += 1
                continue
            levels = self._with(levels, base, names)
            for one in entries:
                name = f"{base}{one.name}"
                if (why := self._unwanted(one, name, levels)) is not None:
                    if why:
                        self.left_out[why] += 1
                elif one.is_dir(follow_symlinks=False):
                    waiting.append((f"{name}/", levels))
                elif (file := self._file(one, name)) is not None:
                    yield file

    def _count(self, more: int) -> None:
        self._seen += more
        if self._seen > MOST_SEEN:
            raise CliError(
                Exit.USAGE,
                f"{self._folder} has more than {MOST_SEEN:,} files and folders.",
                "Name a smaller folder, or leave folders out with a .metamcpignore.",
            )

    def _with(
        self, levels: tuple[tuple[IgnoreRules, ...], ...], base: str, names: set[str]
    ) -> tuple[tuple[IgnoreRules, ...], ...]:
        """The levels with what this folder's own ignore files say."""
        if names.isdisjoint(IGNORE_FILES):
            return levels
        folder = self._folder / base
        own = [_rules(f"{self._prefix}{base}", folder / file) for file in IGNORE_FILES]
        found = [(*level, one) if one else level for level, one in zip(levels, own, strict=False)]
        return (*found, *levels[len(found) :])

    def _unwanted(
        self, one: os.DirEntry[str], name: str, levels: tuple[tuple[IgnoreRules, ...], ...]
    ) -> str | None:
        """Why it is left out; empty: not worth a word; None: it isn't."""
        if one.name in _REPOSITORIES or (one.name in IGNORE_FILES and not self._hidden):
            return ""
        if one.is_symlink():
            return "links"
        folder = one.is_dir(follow_symlinks=False)
        if folder and one.name in INSTALLED:
            return "installed"
        if one.name.startswith(".") and not self._hidden and not goes_along(one.name, folder):
            return "hidden"
        if is_ignored(f"{self._prefix}{name}", levels, folder=folder):
            return "ignored"
        return None if len(name) <= MOST_NAME and is_name(name) else "unusable names"

    def _file(self, one: os.DirEntry[str], name: str) -> LocalFile | None:
        """The file, unless it is left out."""
        try:
            found = one.stat(follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                why = "no files"
            elif found.st_size > MOST_BYTES:
                why = "too big"
            elif _is_binary(self._folder / name):
                why = "binary"
            else:
                return LocalFile(name, self._folder / name, found.st_size)
        except OSError:
            why = "unreadable"
        self.left_out[why] += 1
        return None


def above(folder: Path) -> tuple[tuple[tuple[IgnoreRules, ...], ...], str]:
    """What the repository around a folder says, the strongest level first, and its name in there.

    Without a repository: nothing, and an empty name.
    """
    here = folder.resolve()
    top = next((one for one in (here, *here.parents) if os.path.lexists(one / ".git")), None)
    if top is None:
        return ((), (), ()), ""
    parts = here.relative_to(top).parts
    bases = ["".join(f"{part}/" for part in parts[:count]) for count in range(len(parts))]
    levels = tuple(_found([(base, top / base / file) for base in bases]) for file in IGNORE_FILES)
    exclude = _found([("", _exclude_of(top / ".git"))])
    return (*levels, exclude), "".join(f"{part}/" for part in parts)


def _found(places: Sequence[tuple[str, Path]]) -> tuple[IgnoreRules, ...]:
    return tuple(one for base, path in places if (one := _rules(base, path)) is not None)


def _exclude_of(git: Path) -> Path:
    """Where the repository keeps its own list; of a worktree that is the main one's."""
    try:
        if git.is_file():
            named = git.read_text(errors="replace")[:4096].removeprefix("gitdir:").strip()
            git = git.parent / named
        common = (git / "commondir").read_text(errors="replace")[:4096].strip()
        return git / common / "info" / "exclude"
    except (OSError, ValueError):
        return git / "info" / "exclude"


def _rules(base: str, path: Path) -> IgnoreRules | None:
    try:
        data = read(LocalFile("", path, 0), _IGNORE_BYTES)
    except Unreadable:
        return None
    return rules(base, data.decode("utf-8", "surrogateescape"))


def _is_binary(path: Path) -> bool:
    """Bytes that no text has; UTF-16 has them too, and says so first. Raises OSError."""
    with os.fdopen(os.open(path, _OPEN), "rb", buffering=0) as file:
        return is_binary(file.read(HEAD) or b"")
