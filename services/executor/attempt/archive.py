"""Archives that a task brings along, unpacked into its workspace.

What leads out of it fails the task. What is no plain file is left out, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from services.executor.attempt import zip
from services.executor.attempt.tree import Tree
from services.packed import tar
from services.packed.apart import GoOn, apart
from services.packed.compressed import BZIP2, GZIP, XZ, Expanded
from services.packed.names import (
    MAX_NAME,
    BadFiles,
    ForbiddenPath,
    in_repository,
    leads_out,
    writable,
)
from services.packed.tar import Kind, Member

OF = "input.archive"
MOST_MEMBERS = 100_000
"""Entries of an archive, with folders and all that is left out."""
ASIDE_BYTES = 64 * 1024 * 1024
"""What may come out of a tar beside the files: as much again for what is left out, and headers."""
_FORMS = "send a tar (plain, gz, bz2 or xz) or a zip"
_OTHERS = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}


class LeftOut(StrEnum):
    """Why a member does not come into the workspace."""

    GIT = "below .git"
    LINK = "links"
    OTHER = "devices, pipes or sparse files"
    NAME = "with names that can't be used (no UTF-8, too long, backslashes, control characters)"


class Unpacked(NamedTuple):
    """What came out of an archive."""

    files: int
    size: int
    """Bytes of them."""
    left_out: Counter[LeftOut]

    def remark(self) -> str:
        """Say it to people."""
        text = f"{OF}: {self.files} files, {self.size} bytes unpacked"
        out = [f"{self.left_out[why]} {why.value}" for why in LeftOut if self.left_out[why]]
        return f"{text}; left out: {', '.join(out)}" if out else text


async def unpack(path: Path, tree: Tree) -> Unpacked:
    """Unpack a file in a thread. Raises BadFiles, ForbiddenPath with the member's name."""
    return await apart(lambda go_on: _unpack(path, tree, go_on))


def _unpack(path: Path, tree: Tree, go_on: GoOn) -> Unpacked:
    before, out = (tree.files, tree.size), Counter[LeftOut]()
    with path.open("rb") as file:
        for number, member in enumerate(_members(file, tree, go_on), start=1):
            go_on()
            if number > MOST_MEMBERS:
                raise BadFiles(f"{OF} has more than {MOST_MEMBERS} members")
            if (why := _why_not(member)) is not None:
                out[why] += 1
            else:
                _write(member, tree)
    found = Unpacked(tree.files - before[0], tree.size - before[1], out)
    if not found.files:
        raise BadFiles(f"{found.remark()}. Nothing is left to work on")
    return found


def _members(file: BinaryIO, tree: Tree, go_on: GoOn) -> Iterator[Member]:
    head = file.read(tar.BLOCK)
    file.seek(0)
    if head.startswith(zip.MAGICS):
        return zip.members(file, go_on)
    if head.startswith((GZIP, BZIP2, XZ)) or tar.is_tar(head):
        most = 2 * tree.limits.total + ASIDE_BYTES
        return tar.members(Expanded(file, most, go_on))
    other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "")
    raise BadFiles(f"{OF} is {other or 'no archive, or one of an unknown kind'}: {_FORMS}")


def _why_not(member: Member) -> LeftOut | None:
    """Why the member is left out; None: it is not. Raises ForbiddenPath."""
    if member.name is None:
        return LeftOut.NAME
    path = PurePosixPath(member.name)
    if leads_out(path):
        raise ForbiddenPath(f"{OF}: {member.shown} is not allowed: it leads out of the workspace")
    if len(member.name) > MAX_NAME:
        return LeftOut.NAME
    if in_repository(path):
        return LeftOut.GIT
    if member.kind is Kind.LINK:
        return LeftOut.LINK
    if member.kind is Kind.OTHER:
        return LeftOut.OTHER
    return None if writable(member.name) else LeftOut.NAME


def _write(member: Member, tree: Tree) -> None:
    assert member.name is not None
    path = PurePosixPath(member.name)
    if member.kind is Kind.FOLDER:
        tree.folder(path, OF)
        return
    if not path.parts:
        raise BadFiles(f"{OF}: {member.shown} names no file")
    tree.take(member.size, f"{OF}: {member.shown}")
    with tree.create(path, OF) as file:
        for part in member.content:
            file.write(part)
