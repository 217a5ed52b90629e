"""A file named by a caller: in the folder and nowhere else, with no link on the way."""

from __future__ import annotations

from pathlib import Path, PurePosixPath


class Outside(Exception):
    """The name leads somewhere else, or to nothing that can be read; the message says it."""


def name_in(folder: Path, path: str) -> str:
    """The file's name as a list of the folder has it. Raises Outside."""
    name = PurePosixPath(path)
    if "\0" in path or name.is_absolute() or ".." in name.parts or not name.parts:
        raise Outside(f"`path` is {path[:200]!r}: give a file's name in the folder, without `..`")
    try:
        _check(folder, name)
    except OSError:
        raise Outside(f"there is no file {path[:200]}") from None
    return name.as_posix()


def _check(folder: Path, name: PurePosixPath) -> None:
    place = folder
    for part in name.parts:
        place = place / part
        if place.is_symlink():
            raise Outside(f"{str(name)[:200]} is reached by a link, and links are not followed")
    if not place.is_file():
        raise Outside(f"there is no file {str(name)[:200]}")
