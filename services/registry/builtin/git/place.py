"""Where a repository really is: each of its parts, and that none lies outside the roots.

Looks at names and links only; what a repository's files say is read without following a link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from services.registry.builtin.git.asked import GitRefused

MOST_ALTERNATES = 20
MOST_NAMES = 500_000
_MOST_POINTER = 64 * 1024
_ROOTS = "the folders of METAMCP_REGISTRY_ROOTS"


class Folders(NamedTuple):
    """Folders that may be read, and folders in them that may not."""

    roots: tuple[Path, ...]
    closed: tuple[Path, ...] = ()

    def real(self) -> RealFolders:
        """The same, with every link followed."""
        return RealFolders(*(tuple(Path(os.path.realpath(one)) for one in part) for part in self))


class RealFolders(NamedTuple):
    """Folders without links."""

    roots: tuple[Path, ...]
    closed: tuple[Path, ...]

    def hold(self, real: Path) -> bool:
        """Whether the path, without links, may be read; a root inside a closed folder is open."""
        return any(
            real.is_relative_to(root)
            and not any(
                closed.is_relative_to(root) and real.is_relative_to(closed)
                for closed in self.closed
            )
            for root in self.roots
        )

    def closed_in(self, real: Path) -> list[str]:
        """Closed folders inside this one, relative to it."""
        inner = [closed for closed in self.closed if closed.is_relative_to(real)]
        return [str(one.relative_to(real)) for one in inner if not self.hold(one)]

    def resolve(self, path: Path, what: str) -> Path:
        """The path with every link followed. Raises GitRefused, also when there is nothing."""
        try:
            real = Path(os.path.realpath(path, strict=True))
        except (OSError, ValueError):
            raise GitRefused(f"{what} is missing, or can't be read") from None
        if not self.hold(real):
            raise GitRefused(f"{what} lies outside {_ROOTS}: nothing of it is read")
        return real


class Place(NamedTuple):
    """The parts of one repository, as real paths within the bounds."""

    git: Path
    """Of this working tree: HEAD and index."""
    common: Path
    """Of all working trees: refs, objects and configuration."""
    worktree: Path | None
    """None: `repo_path` names a bare repository, or the inside of a `.git`."""


def find(repo_path: str, bounds: RealFolders) -> Place:
    """The repository that this folder is in. Raises GitRefused."""
    if not bounds.roots:
        raise GitRefused("no folder may be read: name some in METAMCP_REGISTRY_ROOTS")
    if "\0" in repo_path or not os.path.isabs(repo_path):
        raise GitRefused("`repo_path` must be the absolute path of a folder")
    start = bounds.resolve(Path(repo_path), f"the folder {repo_path!r}")
    if not start.is_dir():
        raise GitRefused(f"{repo_path!r} is no folder")
    for folder in (start, *start.parents):
        if not bounds.hold(folder):
            break
        if os.path.lexists(folder / ".git"):
            return _placed(_git_dir(folder / ".git", bounds), folder, bounds)
        if _looks_like_one(folder):
            return _placed(folder, None, bounds)
    raise GitRefused(f"{repo_path!r} is no git repository, nor in one")


def _looks_like_one(folder: Path) -> bool:
    return (
        os.path.lexists(folder / "HEAD")
        and ((folder / "refs").is_dir() or os.path.lexists(folder / "commondir"))
        and ((folder / "objects").is_dir() or os.path.lexists(folder / "commondir"))
    )


def _git_dir(dot_git: Path, bounds: RealFolders) -> Path:
    """Where `.git` leads: a folder, a link to one, or a file that names one."""
    real = bounds.resolve(dot_git, f"what {str(dot_git)!r} links to")
    if real.is_dir():
        return real
    text = read(real, _MOST_POINTER)
    if text is None or not text.startswith(b"gitdir: "):
        raise GitRefused(f"{str(dot_git)!r} is neither a folder nor a file that names one")
    named = os.fsdecode(text.removeprefix(b"gitdir: ").rstrip(b"\r\n"))
    return bounds.resolve(dot_git.parent / named, f"the folder that {str(dot_git)!r} names")


def _placed(git: Path, worktree: Path | None, bounds: RealFolders) -> Place:
    common = git
    if (named := read(git / "commondir", _MOST_POINTER)) is not None:
        folder = git / os.fsdecode(named.rstrip(b"\r\n"))
        common = bounds.resolve(folder, "the repository that this working tree belongs to")
    if not os.path.lexists(git / "HEAD"):
        raise GitRefused(f"{str(git)!r} is no git repository: it has no HEAD")
    for part in ("objects", "refs"):
        if not bounds.resolve(common / part, f"the repository's {part}").is_dir():
            raise GitRefused(f"{str(common)!r} is no git repository: `{part}` is no folder")
    return Place(git, common, worktree)


def check(place: Place, bounds: RealFolders) -> None:
    """Whether all that git would open lies within the bounds. Raises GitRefused."""
    left = MOST_NAMES
    stores = _stores(place.common / "objects", bounds)
    tops = [place.common / "refs", place.common / "logs", place.git / "logs", *stores]
    for top in dict.fromkeys(tops):
        left = _check_links(top, bounds, left)
    names = ("packed-refs", "shallow", "info", "info/exclude", "info/attributes")
    for path in (*(place.common / name for name in names), place.git / "info" / "sparse-checkout"):
        if os.path.lexists(path):
            bounds.resolve(path, f"the repository's {path.name}")
    if place.worktree is not None and os.path.lexists(place.worktree / ".gitmodules"):
        bounds.resolve(place.worktree / ".gitmodules", "what .gitmodules links to")


def check_submodule(folder: Path, bounds: RealFolders) -> None:
    """Whether git may look which commit is checked out there. Raises GitRefused."""
    if not os.path.lexists(folder / ".git"):
        return
    real = bounds.resolve(folder, "a submodule's folder")
    inner = _placed(_git_dir(real / ".git", bounds), real, bounds)
    bounds.resolve(inner.git / "HEAD", "a submodule's HEAD")
    if os.path.lexists(inner.common / "packed-refs"):
        bounds.resolve(inner.common / "packed-refs", "a submodule's packed-refs")
    _check_links(inner.common / "refs", bounds, MOST_NAMES)


def _stores(objects: Path, bounds: RealFolders) -> list[Path]:
    """The folder of objects, and those it borrows from, and so on."""
    found: list[Path] = []
    waiting = [bounds.resolve(objects, "the repository's objects")]
    while waiting:
        folder = waiting.pop()
        if folder in found:
            continue
        found.append(folder)
        if len(found) > MOST_ALTERNATES:
            raise GitRefused(f"the repository borrows objects from over {MOST_ALTERNATES} others")
        for name in _alternates(folder):
            # git takes `..` away before it follows links.
            path = Path(os.path.normpath(folder / name))
            if os.path.lexists(path):
                waiting.append(bounds.resolve(path, "a repository that objects come from"))
    return found


def _alternates(objects: Path) -> Iterator[str]:
    if not os.path.lexists(objects / "info" / "alternates"):
        return
    text = read(objects / "info" / "alternates", _MOST_POINTER)
    if text is None or b"\0" in text:
        raise GitRefused("objects/info/alternates is no file that can be read")
    for line in text.split(b"\n"):
        if line.startswith(b'"'):
            raise GitRefused("objects/info/alternates has a quoted name, which is not known here")
        if line and not line.startswith(b"#"):
            yield os.fsdecode(line)


def _check_links(top: Path, bounds: RealFolders, left: int) -> int:
    """No link below leads out; `left`: how many names may be looked at."""
    if not os.path.lexists(top):
        return left
    waiting = [bounds.resolve(top, f"the repository's {top.name}")]
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            raise GitRefused(f"the repository can't be read: {error.strerror}") from None
        left -= len(entries)
        if left < 0:
            raise GitRefused(f"the repository has more than {MOST_NAMES} loose files: run `git gc`")
        for entry in entries:
            if entry.is_symlink():
                real = bounds.resolve(Path(entry.path), f"what {entry.name!r} links to")
                if real.is_dir():
                    raise GitRefused(f"the repository's folder {entry.name!r} is a link")
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
    return left


def read(path: Path, most: int) -> bytes | None:
    """A plain file's content, no link followed; None: it is none, is missing or too big."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        data = opened.read(most + 1)
    return data if len(data) <= most else None
