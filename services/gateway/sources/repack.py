"""From GitHub's archive of a commit to the archive that a folder makes: the same rules and limits,
and the same bytes for the same commit and paths. Runs in a thread; nothing is unpacked to a name.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import IO, BinaryIO, NamedTuple, cast

from contracts.errors import Reason, Rejected
from services.packed import tar
from services.packed.apart import GoOn
from services.packed.compressed import Damaged, Expanded
from services.packed.names import BadFiles, in_repository, leads_out, writable
from services.packed.tar import Kind, Member
from services.packed.wanted import (
    HEAD,
    INSTALLED,
    MOST_BYTES,
    MOST_NAME,
    goes_along,
    is_binary,
    is_name,
)
from services.packed.writer import Archive

MOST_EXPANDED = 2 * 1024 * 1024 * 1024
"""Bytes that may come out of GitHub's archive, with all that is left out."""
MOST_MEMBERS = 200_000
"""Files and folders in it."""
SMALLER = "name a folder of it (`paths`)"


class ArchiveLimits(NamedTuple):
    """What one task may bring along."""

    files: int
    total: int
    """Bytes of them all."""
    packed: int
    """Bytes of the archive that is made."""


class Repacked(NamedTuple):
    """What the archive has."""

    files: int
    size: int
    """Bytes of them."""
    left_out: dict[str, int]


class _Kept(NamedTuple):
    name: str
    start: int
    size: int


def repack(
    source: BinaryIO,
    target: IO[bytes],
    paths: Sequence[str],
    limits: ArchiveLimits,
    go_on: GoOn,
) -> Repacked:
    """Read the one and write the other. Raises Rejected, OSError."""
    with tempfile.TemporaryFile(prefix="metamcp-") as spool:
        one = _Repack(cast(IO[bytes], spool), paths, limits)
        try:
            for number, member in enumerate(
                tar.members(Expanded(source, MOST_EXPANDED, go_on)), start=1
            ):
                go_on()
                if number > MOST_MEMBERS:
                    text = f"the repository has more than {MOST_MEMBERS:,} files and folders"
                    raise Rejected(Reason.TOO_LARGE, text)
                one.take(member)
        except Damaged as error:
            raise Rejected(Reason.UNAVAILABLE, f"GitHub's archive is damaged: {error}") from None
        except BadFiles:
            text = f"the repository has more than {MOST_EXPANDED:,} bytes unpacked"
            raise Rejected(Reason.TOO_LARGE, text) from None
        one.check()
        with Archive(target) as archive:
            for kept in sorted(one.kept):
                go_on()
                spool.seek(kept.start)
                archive.add(kept.name, spool.read(kept.size))
                _check_packed(archive, limits)
        _check_packed(archive, limits)
    return Repacked(len(one.kept), one.size, dict(sorted(one.left_out.items())))


def _check_packed(archive: Archive, limits: ArchiveLimits) -> None:
    if archive.size > limits.packed:
        text = f"the files have more than {limits.packed:,} bytes packed: {SMALLER}"
        raise Rejected(Reason.TOO_LARGE, text)


class _Repack:
    def __init__(self, spool: IO[bytes], paths: Sequence[str], limits: ArchiveLimits) -> None:
        self.kept: list[_Kept] = []
        self.size = 0
        self.left_out: Counter[str] = Counter()
        self._spool = spool
        self._limits = limits
        self._unseen = set(paths)
        self._paths = tuple(paths)

    def take(self, member: Member) -> None:
        """Keep a member's content, or count why not. Raises Rejected."""
        if member.name is None:
            self.left_out["unusable names"] += 1
            return
        # All lies in one folder, which is named after the commit.
        name = member.name.partition("/")[2].rstrip("/")
        path = self._path_of(name) if name else None
        if path is None:
            return
        self._unseen.discard(path)
        if member.kind is Kind.FOLDER:
            return
        if (why := _why_not(member, name, path)) is not None:
            self.left_out[why] += 1
            return
        data = b"".join(member.content)
        if name != path and is_binary(data[:HEAD]):
            self.left_out["binary"] += 1
            return
        self._keep(name, data)

    def check(self) -> None:
        """Refuse paths that there are none of, and an archive of nothing. Raises Rejected."""
        if self._unseen:
            named = ", ".join(repr(one[:80]) for one in sorted(self._unseen)[:3])
            raise Rejected(Reason.NOT_FOUND, f"the commit has no path {named}")
        if not self.kept:
            left = ", ".join(f"{n} {why}" for why, n in sorted(self.left_out.items()))
            text = f"nothing of it can go along{f'; left out: {left}' if left else ''}"
            raise Rejected(Reason.BAD_REQUEST, text)

    def _keep(self, name: str, data: bytes) -> None:
        self.kept.append(_Kept(name, self.size, len(data)))
        self.size += len(data)
        if len(self.kept) > self._limits.files:
            text = f"more than {self._limits.files:,} files with one task (max_files): {SMALLER}"
            raise Rejected(Reason.TOO_LARGE, text)
        if self.size > self._limits.total:
            most = f"{self._limits.total:,} bytes with one task (max_files_bytes)"
            raise Rejected(Reason.TOO_LARGE, f"more than {most}: {SMALLER}")
        self._spool.write(data)

    def _path_of(self, name: str) -> str | None:
        """The path that it was asked for by, the longest of them; empty: the whole repository."""
        if not self._paths:
            return ""
        found = [one for one in self._paths if name == one or name.startswith(f"{one}/")]
        # Each of them has been seen, also where one lies in the other.
        self._unseen.difference_update(found)
        return max(found, key=len, default=None)


def _why_not(member: Member, name: str, path: str) -> str | None:
    """Why a file is left out; None: it isn't. What was named itself is taken whatever it is."""
    if member.kind is Kind.LINK:
        return "links"
    if member.kind is not Kind.FILE:
        return "no files"
    pure = PurePosixPath(name)
    if leads_out(pure) or in_repository(pure) or not (is_name(name) and writable(name)):
        return "unusable names"
    if len(name) > MOST_NAME:
        return "unusable names"
    if member.size > MOST_BYTES:
        return "too big"
    if name == path:
        return None
    *folders, file = name[len(path) :].strip("/").split("/")
    if any(one in INSTALLED for one in folders):
        return "installed"
    hidden = any(one.startswith(".") and not goes_along(one, True) for one in folders)
    if hidden or (file.startswith(".") and not goes_along(file, False)):
        return "hidden"
    return None
