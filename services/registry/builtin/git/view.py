"""A git folder of our own for one call, through which git sees a repository.

Its configuration is written here and nothing else is read for one: so a repository can name no
program, no other place and no server. What git needs besides is copied, or linked to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from services.registry.builtin.git import place as places
from services.registry.builtin.git.asked import GitRefused
from services.registry.builtin.git.place import Place

MOST_CONFIG = 4 * 1024 * 1024
MOST_INDEX = 512 * 1024 * 1024
_SPECIAL = re.compile(rb"[\\*?\[\]! #]")
_MOST_HEAD = 64 * 1024
_HEADS = ("HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD")
_UNDER_WAY = {
    "merge": "MERGE_HEAD",
    "rebase": "rebase-merge",
    "rebase or am": "rebase-apply",
    "cherry-pick": "CHERRY_PICK_HEAD",
    "revert": "REVERT_HEAD",
    "bisect": "BISECT_LOG",
}


def configuration(place: Place) -> bytes:
    """The text of the repository's own configuration. Raises GitRefused."""
    return _configuration(place.common / "config")


def worktree_configuration(place: Place) -> bytes:
    """The text of the configuration that is for this working tree only."""
    return _configuration(place.git / "config.worktree")


def _configuration(path: Path) -> bytes:
    if not os.path.lexists(path):
        return b""
    if (text := places.read(path, MOST_CONFIG)) is None:
        raise GitRefused(
            f"the repository's {path.name} is no file of at most {MOST_CONFIG >> 20} MiB"
        )
    return text


def build(own: Path, place: Place, config: bytes, closed: Sequence[str]) -> dict[str, str]:
    """Fill the folder; return what git's environment needs. Raises GitRefused and OSError.

    `closed`: folders of the working tree that are not looked into.
    """
    git = own / "git"
    (git / "info").mkdir(parents=True)
    (git / "config").write_bytes(config)
    for name in _HEADS:
        if (text := _head(place.git / name)) is not None:
            (git / name).write_bytes(text)
    if not (git / "HEAD").exists():
        raise GitRefused("the repository's HEAD can't be read")
    for name in ("refs", "packed-refs", "shallow", "info/attributes"):
        _link(git / name, place.common / name)
    ignored = places.read(place.common / "info" / "exclude", MOST_CONFIG) or b""
    lines = [b"", *(b"/" + _SPECIAL.sub(rb"\\\g<0>", os.fsencode(name)) for name in closed), b""]
    (git / "info" / "exclude").write_bytes(ignored + b"\n".join(lines))
    _link(git / "info" / "sparse-checkout", place.git / "info" / "sparse-checkout")
    (git / "logs").mkdir()
    _link(git / "logs" / "HEAD", place.git / "logs" / "HEAD")
    _link(git / "logs" / "refs", place.common / "logs" / "refs")
    return {
        "GIT_DIR": str(git),
        "GIT_OBJECT_DIRECTORY": os.path.realpath(place.common / "objects"),
        "GIT_INDEX_FILE": str(git / "index"),
    }


def add_index(own: Path, place: Place) -> None:
    """Give the call a copy of the index: git may refresh it. Raises GitRefused and OSError."""
    git = own / "git"
    for shared in place.git.glob("sharedindex.*"):
        _copy(shared, git / shared.name)
    _copy(place.git / "index", git / "index")


def under_way(place: Place) -> list[str]:
    """What was begun in this working tree and is not done: a merge, say."""
    return [what for what, name in _UNDER_WAY.items() if os.path.lexists(place.git / name)]


def _head(path: Path) -> bytes | None:
    if path.is_symlink():
        # How git wrote a symbolic ref in its first years.
        target = os.readlink(path)
        return b"ref: " + os.fsencode(target) + b"\n" if target.startswith("refs/") else None
    return places.read(path, _MOST_HEAD)


def _link(link: Path, target: Path) -> None:
    if os.path.lexists(target):
        link.symlink_to(os.path.realpath(target))


def _copy(path: Path, copy: Path) -> None:
    if not os.path.lexists(path):
        return
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise GitRefused(f"the repository's {path.name} can't be read: {error.strerror}") from None
    with open(source, "rb") as file, copy.open("wb") as made:
        state = os.fstat(source)
        if state.st_size > MOST_INDEX:
            raise GitRefused(f"the repository's {path.name} has over {MOST_INDEX >> 20} MiB")
        left = MOST_INDEX
        while left > 0 and (part := file.read(min(left, 1 << 20))):
            made.write(part)
            left -= len(part)
    # git compares this time with the files' own: what it has not to read again, it does not.
    os.utime(copy, ns=(state.st_atime_ns, state.st_mtime_ns))
