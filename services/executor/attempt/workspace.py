"""The folder of one attempt: file inputs are put there, and path arguments may point there.

Made only when something needs it, always removed; nothing in it or asked of it may leave its roots.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import msgspec

from contracts.result import Pointer
from contracts.subjects import BLOBS_BUCKET
from services.executor.attempt.archive import ASIDE_BYTES, OF, Unpacked, unpack
from services.executor.attempt.tree import Tree, WorkspaceLimits
from services.packed.apart import GoOn, apart
from services.packed.names import BadFiles, ForbiddenPath, relative
from services.process.files import private


class BlobReader(Protocol):
    """The part of the object store that reads."""

    def get(self, what: Pointer | str) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob, verified."""


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
        self._name = _apart_in_case(f"{user}.{task}.{attempt}")
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
        self,
        user: str,
        files: Any,
        blobs: BlobReader | None,
        limits: WorkspaceLimits,
        archive: Any = None,
    ) -> Unpacked | None:
        """Unpack the input's archive and write its files; say what came out of the archive.

        Raises ForbiddenPath, BadFiles, and what reading a blob does.
        """
        packed = is_archive(archive)
        named = files if isinstance(files, Mapping) else {}
        if not named and not packed:
            return None
        if len(named) > limits.files:
            raise BadFiles(f"input.files has {len(named)} entries; at most {limits.files} may come")
        self.ensure()
        tree = Tree(self.path, limits)
        found = await self._unpack(user, archive, blobs, tree) if packed else None
        inline = {}
        for name, entry in named.items():
            if (pointer := _pointer(f"input.files: {name}", entry, user)) is None:
                inline[name] = entry
                continue
            path = relative(name)
            tree.take(pointer.size, f"input.files: {name}")
            with await asyncio.to_thread(tree.create, path, "input.files") as file:
                await _copy(f"input.files: {name}", file, pointer, blobs)
        if inline:
            await apart(lambda go_on: _write(inline, tree, go_on))
        return found

    async def _unpack(
        self, user: str, archive: Any, blobs: BlobReader | None, tree: Tree
    ) -> Unpacked:
        """Fetch the archive into a file beside the workspace, which is removed, and unpack it."""
        path = self.path.with_name(f"{self._name}.archive")
        try:
            with _new(path) as file:
                if (pointer := _pointer(OF, archive, user)) is None:
                    await asyncio.to_thread(lambda: file.write(_content(OF, archive)))
                else:
                    _check_size(pointer, tree.limits)
                    await _copy(OF, file, pointer, blobs)
            return await unpack(path, tree)
        finally:
            path.unlink(missing_ok=True)

    async def remove(self) -> None:
        """Delete the folder and all in it."""
        if self.made:
            self.made = False
            await asyncio.to_thread(shutil.rmtree, self.path, ignore_errors=True)


def _apart_in_case(name: str) -> str:
    """Another name for each also where a file system takes `A` and `a` for one letter."""
    low = name.lower()
    return name if name == low else f"{low}.{hashlib.sha256(name.encode()).hexdigest()[:32]}"


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
    # Not which folders those are: how the operator's disk is laid out is nobody's business.
    own = "the task's workspace and " if bounds.own else ""
    raise ForbiddenPath(f"argument {name}: {text!r} is outside {own}the allowed folders")


def _opens(root: Path, real: str, private: Path | None) -> bool:
    """Whether the root holds this path, and not merely because it holds the data folder."""
    top = os.path.realpath(root)
    if not _within(top, real):
        return False
    closed = os.path.realpath(private) if private is not None else None
    return closed is None or not (_within(top, closed) and _within(closed, real))


def _within(folder: str, real: str) -> bool:
    return os.path.commonpath((folder, real)) == folder


def is_archive(entry: Any) -> bool:
    """Whether `input.archive` is for the workspace; else it is the task's own business."""
    return isinstance(entry, Mapping) and ("pointer" in entry or "base64" in entry)


def _pointer(of: str, entry: Any, user: str) -> Pointer | None:
    if not isinstance(entry, Mapping) or "pointer" not in entry:
        return None
    try:
        pointer = msgspec.convert(entry["pointer"], Pointer)
    except msgspec.ValidationError as error:
        raise BadFiles(f"{of}: {error}") from error
    own(pointer, user)
    return pointer


def own(pointer: Pointer, user: str) -> None:
    """Check that a pointer names a blob of this user. Raises ForbiddenPath."""
    if pointer.uri != f"nats://{BLOBS_BUCKET}/{user}/{pointer.sha256}":
        raise ForbiddenPath(f"{pointer.uri!r} is no blob of user {user}")


def _content(of: str, entry: Any) -> bytes:
    try:
        if isinstance(entry, str):
            return entry.encode()
        if isinstance(entry, Mapping) and isinstance(entry.get("base64"), str):
            return base64.b64decode(entry["base64"], validate=True)
    except ValueError as error:
        raise BadFiles(f"{of}: {error}") from error
    raise BadFiles(f'{of}: give the text, {{"base64": …}} or {{"pointer": …}}')


def _write(files: Mapping[str, Any], tree: Tree, go_on: GoOn) -> None:
    for name, entry in files.items():
        go_on()
        path, content = relative(name), _content(f"input.files: {name}", entry)
        tree.take(len(content), f"input.files: {name}")
        with tree.create(path, "input.files") as file:
            file.write(content)


async def _copy(of: str, file: BinaryIO, pointer: Pointer, blobs: BlobReader | None) -> None:
    if blobs is None:
        raise BadFiles(f"{of}: there is no object store here")
    left = pointer.size
    async for part in blobs.get(pointer):
        left -= len(part)
        if left < 0:
            raise BadFiles(f"{of} is too big: its pointer says {pointer.size} bytes")
        file.write(part)


def _new(path: Path) -> BinaryIO:
    return open(path, "xb", opener=private)


def _check_size(pointer: Pointer, limits: WorkspaceLimits) -> None:
    """Refuse an archive that can't hold anything that fits, before it is read."""
    most = limits.total + ASIDE_BYTES
    if pointer.size > most:
        raise BadFiles(f"{OF} is too big: {pointer.size} bytes; at most {most} may come")


def sweep(parent: Path) -> int:
    """Remove what attempts of an earlier run left behind; returns how many."""
    leftovers = list(parent.iterdir()) if parent.is_dir() else []
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return len(leftovers)
