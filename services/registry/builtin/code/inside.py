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
    place = folder
    for part in name.parts:
        place = place / part
        if place.is_symlink():
            raise Outside(f"{path[:200]} is reached by a link, and links are not followed")
    try:
        known = place.is_file()
    except OSError:
        known = False
    if not known:
        raise Outside(f"there is no file {path[:200]}")
    return name.as_posix()
