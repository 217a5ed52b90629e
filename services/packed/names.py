"""Names of what a task brings along: relative, inside the workspace, and never a repository."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

MAX_NAME = 512
"""Characters of a file input's name, folders included."""
MAX_PART = 255
"""Bytes of one part of it."""
_GIT = re.compile(r"\.git|git~\d+")


class ForbiddenPath(Exception):
    """A path that leads out of what the task may touch."""


class BadFiles(Exception):
    """What the input brings along can't be put into the workspace; the message says why."""


def relative(name: str) -> PurePosixPath:
    """Check the name of a file input. Raises ForbiddenPath for one that leads elsewhere."""
    if len(name) > MAX_NAME:
        text = f"input.files: a name of {len(name)} characters; {MAX_NAME} are allowed"
        raise ForbiddenPath(text)
    path = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or leads_out(path):
        raise ForbiddenPath(
            f"input.files: {name!r} is not allowed: use a relative path without `..`"
        )
    if not path.parts:
        raise ForbiddenPath(f"input.files: {name!r} names no file")
    if in_repository(path):
        # A repository's own configuration names programs that git would run.
        raise ForbiddenPath(f"input.files: {name!r} is not allowed: nothing may be named .git")
    return path


def leads_out(path: PurePosixPath) -> bool:
    """Whether the path may name something outside the folder that it is meant for."""
    return path.is_absolute() or ".." in path.parts


def in_repository(path: PurePosixPath) -> bool:
    """Whether a part of the path is `.git`, or something that a file system takes for it."""
    return any(_is_git(part) for part in path.parts)


def writable(name: str) -> bool:
    """Whether a name can stand in an answer and on any file system."""
    if len(name) > MAX_NAME or "\\" in name or not name.isprintable():
        return False
    return all(len(part.encode()) <= MAX_PART for part in name.split("/"))


def _is_git(part: str) -> bool:
    """Whether some file system takes this name for `.git`: case, NTFS streams, invisible marks."""
    plain = unicodedata.normalize("NFKC", part)
    visible = "".join(mark for mark in plain if unicodedata.category(mark) != "Cf")
    return _GIT.fullmatch(visible.partition(":")[0].strip().rstrip(". ").casefold()) is not None
