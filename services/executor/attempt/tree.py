"""Files that a task brings along, written below one folder; what may come is counted here alone.

Nothing that is there is ever opened: each file and folder is made anew, and never a link.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from services.packed.names import BadFiles


class WorkspaceLimits(NamedTuple):
    """What one task may bring along."""

    files: int
    """Files, and as many folders."""
    total: int
    """Bytes of all files."""


class Tree:
    """What is written below one folder, which is there."""

    def __init__(self, top: Path, limits: WorkspaceLimits) -> None:
        self._top = top
        self._limits = limits
        self._folders: set[PurePosixPath] = {PurePosixPath()}
        self.files = 0
        self.size = 0
        """Bytes that are written or have been announced."""

    @property
    def limits(self) -> WorkspaceLimits:
        """What may come in all."""
        return self._limits

    def take(self, size: int, of: str) -> None:
        """Count bytes that come. Raises BadFiles if there is no room for them."""
        left = self._limits.total - self.size
        if size > left:
            raise BadFiles(
                f"{of} is too big: {size} bytes more, and room for {left} of {self._limits.total}"
            )
        self.size += size

    def create(self, path: PurePosixPath, of: str) -> BinaryIO:
        """Make a file and its folders; `of` names its origin. Raises BadFiles."""
        if self.files >= self._limits.files:
            raise BadFiles(f"{of} has more than {self._limits.files} files")
        self.files += 1
        try:
            self._folder(path.parent, of)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            return os.fdopen(os.open(self._top / path, flags, 0o600), "wb")
        except (FileExistsError, NotADirectoryError) as error:
            raise BadFiles(f"{of}: {path} is there twice, or is also a folder") from error
        except OSError as error:
            raise BadFiles(f"{of}: {path} can't be written: {error.strerror}") from error

    def folder(self, path: PurePosixPath, of: str) -> None:
        """Make a folder and those above it, where they are not there. Raises BadFiles."""
        try:
            self._folder(path, of)
        except OSError as error:
            raise BadFiles(f"{of}: the folder {path} can't be made: {error.strerror}") from error

    def _folder(self, path: PurePosixPath, of: str) -> None:
        missing = []
        while path not in self._folders:
            missing.append(path)
            path = path.parent
        if len(self._folders) + len(missing) > self._limits.files + 1:
            raise BadFiles(f"{of} has more than {self._limits.files} folders")
        for folder in reversed(missing):
            (self._top / folder).mkdir(mode=0o700)
            self._folders.add(folder)
