"""Collects bytes of unknown number: few stay in memory, many go to a file, too many are refused."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from contracts.facts import FailureKind
from services.executor.attempt.call import HostError, Spooled

IN_MEMORY = 1024 * 1024
"""Bytes of one answer that may be held in memory."""


class Sink:
    """Takes an answer's bytes in order; `close` it in every case."""

    def __init__(self, folder: Path, limit: int, in_memory: int = IN_MEMORY) -> None:
        """`limit`: bytes of the largest answer; the file is made in `folder` when it is needed."""
        self._folder = folder
        self._limit = limit
        self._in_memory = in_memory
        self._data = bytearray()
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add bytes. Raises HostError(TOO_LARGE)."""
        self.size += len(data)
        if self.size > self._limit:
            message = f"the answer has more than the host's limit of {self._limit} bytes"
            raise HostError(FailureKind.TOO_LARGE, message, called=True)
        if self._file is None and self.size > self._in_memory:
            self._spill()
        if self._file is None:
            self._data += data
        else:
            self._file.write(data)

    def finish(self) -> bytes | Spooled:
        """Return what was written; a file belongs to the caller from now on."""
        if self._file is None or self._path is None:
            return bytes(self._data)
        self._file.close()
        path, self._path = self._path, None
        return Spooled(path, self.size)

    def close(self) -> None:
        """Let go of everything that `finish` has not handed over."""
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    def _spill(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(prefix="answer-", suffix=".json", dir=self._folder)
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._file.write(self._data)
        self._data.clear()
