"""The folder of one attempt: file inputs are put there, and path arguments may point there.

Made only when something needs it, always removed; nothing in it or asked of it may leave its roots.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import shutil
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, Protocol

import msgspec

from contracts.result import Pointer
from contracts.subjects import BLOBS_BUCKET

_GIT = re.compile(r"\.git|git~\d+")


class ForbiddenPath(Exception):
    """A path that leads out of what the task may touch."""


class BadFiles(Exception):
    """The input's `files` can't be put into the workspace; the message says why."""


class BlobReader(Protocol):
    """The part of the object store that reads."""

    def get(self, what: Pointer | str) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob, verified."""


class WorkspaceLimits(NamedTuple):
    """What one task may bring along."""

    files: int
    total: int
    """Bytes of all files."""


class Bounds(NamedTuple):
    """Where path arguments may lead."""

    workspace: Workspace
    roots: Sequence[Path] = ()
    own: bool = True
    """May they name the workspace itself?"""
    private: Path | None = None
    """The orchestrator's data folder: closed also where a root contains it."""


class Workspace:
    """One attempt's folder; `path` is known at once, the folder comes with `ensure`."""

    def __init__(self, parent: Path, user: str, task: str, attempt: int) -> None:
        self._parent = parent
        # Task ids are unique per user only; tokens hold no dots, so this name is unique.
        self._name = f"{user}.{task}.{attempt}"
        self.made = False
        """The folder is there."""

    @property
    def path(self) -> Path:
        """Where the folder is, or would be."""
        return self._parent / self._name

    def ensure(self) -> str:
        """Make the folder if it isn't there, and return its path."""
        if not self.made:
            self.path.mkdir(parents=True, mode=0o700)
            self.made = True
        return str(self.path)

    async def fill(
        self, user: str, files: Any, blobs: BlobReader | None, limits: WorkspaceLimits
    ) -> None:
        """Write the input's files. Raises ForbiddenPath, BadFiles, and what reading a blob does."""
        if not isinstance(files, Mapping) or not files:
            return
        if len(files) > limits.files:
            raise BadFiles(f"input.files has {len(files)} entries; at most {limits.files} may come")
        self.ensure()
        left = limits.total
        for name, entry in files.items():
            path = self.path / relative(name)
            pointer = _pointer(name, entry, user)
            if pointer is None:
                left -= await asyncio.to_thread(_write, path, _content(name, entry), left)
            elif blobs is None:
                raise BadFiles(f"input.files: {name}: there is no object store here")
            else:
                left -= await _copy(path, pointer, blobs, left)

    async def remove(self) -> None:
        """Delete the folder and all in it."""
        if self.made:
            self.made = False
            await asyncio.to_thread(shutil.rmtree, self.path, ignore_errors=True)


MAX_NAME = 512
"""Characters of a file input's name, folders included."""


def relative(name: str) -> PurePosixPath:
    """Check the name of a file input. Raises ForbiddenPath for one that leads elsewhere."""
    if len(name) > MAX_NAME:
        text = f"input.files: a name of {len(name)} characters; {MAX_NAME} are allowed"
        raise ForbiddenPath(text)
    path = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or path.is_absolute() or ".." in path.parts:
        raise ForbiddenPath(
            f"input.files: {name!r} is not allowed: use a relative path without `..`"
        )
    if not path.parts:
        raise ForbiddenPath(f"input.files: {name!r} names no file")
    if any(_is_git(part) for part in path.parts):
        # A repository's own configuration names programs that git would run.
        raise ForbiddenPath(f"input.files: {name!r} is not allowed: nothing may be named .git")
    return path


def _is_git(part: str) -> bool:
    """Whether some file system takes this name for `.git`: case, NTFS streams, invisible marks."""
    plain = unicodedata.normalize("NFKC", part)
    visible = "".join(mark for mark in plain if unicodedata.category(mark) != "Cf")
    return _GIT.fullmatch(visible.partition(":")[0].strip().rstrip(". ").casefold()) is not None


def confine(arguments: dict[str, Any], names: Sequence[str], bounds: Bounds) -> dict[str, Any]:
    """Return the arguments with each declared path made absolute, symbolic links resolved.

    A relative path means the workspace. A name may lead into objects and lists (`files.path`).
    Raises ForbiddenPath for a path out of bounds.
    """
    for name in names:
        arguments = _confined(arguments, name.split("."), name, bounds)
    return arguments


def _confined(value: Any, keys: Sequence[str], name: str, bounds: Bounds) -> Any:
    if isinstance(value, list):
        return [_confined(item, keys, name, bounds) for item in value]
    if not keys:
        return _inside(value, name, bounds) if isinstance(value, str) else value
    if isinstance(value, dict) and keys[0] in value:
        return value | {keys[0]: _confined(value[keys[0]], keys[1:], name, bounds)}
    return value


def _inside(text: str, name: str, bounds: Bounds) -> str:
    if "\0" in text:
        raise ForbiddenPath(f"argument {name}: a path holds no NUL character")
    home = os.path.realpath(bounds.workspace.path)
    real = os.path.realpath(os.path.join(home, text))
    if _within(home, real):
        if bounds.own:
            bounds.workspace.ensure()
            return real
    elif any(_opens(root, real, bounds.private) for root in bounds.roots):
        return real
    allowed = ", ".join(str(root) for root in bounds.roots) or "none"
    own = "the task's workspace and " if bounds.own else ""
    raise ForbiddenPath(
        f"argument {name}: {text!r} is outside {own}the allowed folders ({allowed})"
    )


def _opens(root: Path, real: str, private: Path | None) -> bool:
    """Whether the root holds this path, and not merely because it holds the data folder."""
    top = os.path.realpath(root)
    if not _within(top, real):
        return False
    closed = os.path.realpath(private) if private is not None else None
    return closed is None or not (_within(top, closed) and _within(closed, real))


def _within(folder: str, real: str) -> bool:
    return os.path.commonpath((folder, real)) == folder


def _pointer(name: str, entry: Any, user: str) -> Pointer | None:
    if not isinstance(entry, Mapping) or "pointer" not in entry:
        return None
    try:
        pointer = msgspec.convert(entry["pointer"], Pointer)
    except msgspec.ValidationError as error:
        raise BadFiles(f"input.files: {name}: {error}") from error
    own(pointer, user)
    return pointer


def own(pointer: Pointer, user: str) -> None:
    """Check that a pointer names a blob of this user. Raises ForbiddenPath."""
    if pointer.uri != f"nats://{BLOBS_BUCKET}/{user}/{pointer.sha256}":
        raise ForbiddenPath(f"{pointer.uri!r} is no blob of user {user}")


def _content(name: str, entry: Any) -> bytes:
    try:
        if isinstance(entry, str):
            return entry.encode()
        if isinstance(entry, Mapping) and isinstance(entry.get("base64"), str):
            return base64.b64decode(entry["base64"], validate=True)
    except ValueError as error:
        raise BadFiles(f"input.files: {name}: {error}") from error
    raise BadFiles(f'input.files: {name}: give the text, {{"base64": …}} or {{"pointer": …}}')


def _write(path: Path, content: bytes, left: int) -> int:
    _room(len(content), left)
    with _create(path) as file:
        file.write(content)
    return len(content)


async def _copy(path: Path, pointer: Pointer, blobs: BlobReader, left: int) -> int:
    _room(pointer.size, left)
    size = 0
    file = await asyncio.to_thread(_create, path)
    with contextlib.closing(file):
        async for part in blobs.get(pointer):
            size += len(part)
            _room(size, left)
            file.write(part)
    return size


def _room(size: int, left: int) -> None:
    if size > left:
        raise BadFiles(f"input.files is too big: {size} bytes more, and room for {left}")


def _create(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.fdopen(os.open(path, flags, 0o600), "wb")
    except (FileExistsError, NotADirectoryError) as error:
        raise BadFiles(f"input.files: {path.name} is there twice, or is also a folder") from error
    except OSError as error:
        raise BadFiles(f"input.files: {path.name} can't be written: {error.strerror}") from error


def sweep(parent: Path) -> int:
    """Remove what attempts of an earlier run left behind; returns how many."""
    leftovers = list(parent.iterdir()) if parent.is_dir() else []
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)
