"""Many files as one tar.gz: the same files give the same bytes, whenever and wherever they lie."""

from __future__ import annotations

import gzip
import io
import tarfile
from types import TracebackType
from typing import IO

LEVEL = 1
"""Of compression: what is saved by more costs longer than sending it."""
MEDIA_TYPE = "application/gzip"


class Archive:
    """Writes files, one after the other, into a stream. Use as a context manager; add by name."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.size = 0
        """Bytes written so far."""
        self._stream: IO[bytes] | None = stream
        # Neither the name nor the time of the archive stands in it.
        self._gzip = gzip.GzipFile(
            filename="", mode="wb", compresslevel=LEVEL, fileobj=_Into(self), mtime=0
        )
        self._tar = tarfile.TarFile(fileobj=self._gzip, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, data: bytes) -> None:
        """Add one file. Raises OSError when there is no room."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(data), 0o644, 0
        self._tar.addfile(info, io.BytesIO(data))

    def take(self, data: bytes) -> int:
        """Write bytes of the archive itself."""
        if self._stream is not None:
            self._stream.write(data)
            self.size += len(data)
        return len(data)

    def __enter__(self) -> Archive:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the end, if all went well; else nothing more."""
        if error is not None:
            self._stream = None
        try:
            self._tar.close()
            self._gzip.close()
        finally:
            self._stream = None


class _Into(io.RawIOBase):
    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self._archive.take(bytes(data))  # type: ignore[call-overload]
