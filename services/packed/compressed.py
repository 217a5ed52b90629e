"""The bytes of an archive as they come out of its compression: in small parts, counted, bounded.

No part is held that nobody asked for, so that a file which grows without end costs no memory.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from services.packed.apart import GoOn
from services.packed.names import BadFiles

CHUNK = 64 * 1024
MOST_STREAMS = 100_000
"""Compressed streams that may stand one after another in a file."""
XZ_MEMORY = 128 * 1024 * 1024
"""Bytes that xz may take for its dictionary; `xz -9` takes half of it."""
GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"


class Damaged(BadFiles):
    """The archive is not what it should be, or not whole."""


class Decompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool:
        """Its stream has ended."""

    @property
    def needs_input(self) -> bool:
        """It gives nothing more without more input."""

    @property
    def unused_data(self) -> bytes:
        """What stood behind the end of the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Take input and give at most so many bytes."""


class _Gzip:
    """zlib's decompressor in the same form."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        given = self._zlib.unconsumed_tail + data
        found = self._zlib.decompress(given, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(found) < max_length
        return found


_KINDS: dict[bytes, Callable[[], Decompressor]] = {
    GZIP: _Gzip,
    BZIP2: bz2.BZ2Decompressor,
    XZ: lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY),
}


class Expanded:
    """A file that is read once, from its beginning, through whatever it is compressed with."""

    def __init__(self, file: BinaryIO, most: int, go_on: GoOn) -> None:
        """`most`: bytes that may come out of it; `go_on` is called now and then and may raise."""
        self._parts = _parts(file, go_on)
        self._buffer = b""
        self._left = most
        self._most = most

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes; they are held, so ask for few. Raises BadFiles."""
        return b"".join(self.parts(size))

    def skip(self, size: int) -> None:
        """Pass over so many bytes. Raises BadFiles."""
        for _ in self.parts(size):
            pass

    def parts(self, size: int) -> Iterator[bytes]:
        """Yield exactly so many bytes. Raises BadFiles."""
        while size:
            if not self._buffer:
                self._buffer = self._next()
            part, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(part)
            yield part

    def _next(self) -> bytes:
        try:
            part = next(self._parts, b"")
        except (zlib.error, lzma.LZMAError, OSError) as error:
            raise Damaged(f"input.archive is damaged: {error}") from error
        if not part:
            raise Damaged("input.archive is cut off: it ends before its end mark")
        if len(part) > self._left:
            raise BadFiles(
                f"input.archive is too big: more than {self._most} bytes come out of it,"
                " with all that would be left out"
            )
        self._left -= len(part)
        return part


def _parts(file: BinaryIO, go_on: GoOn) -> Iterator[bytes]:
    head = file.read(len(XZ))
    magic = next((known for known in _KINDS if head.startswith(known)), b"")
    if magic:
        yield from _decompressed(file, head, magic, go_on)
        return
    while head:
        go_on()
        yield head
        head = file.read(CHUNK)


def _decompressed(file: BinaryIO, data: bytes, magic: bytes, go_on: GoOn) -> Iterator[bytes]:
    """Yield what is in one stream after another; what stands behind them is nobody's business."""
    for _ in range(MOST_STREAMS):
        stream = _KINDS[magic]()
        while not stream.eof:
            go_on()
            if stream.needs_input and not data:
                data = file.read(CHUNK)
                if not data:
                    return
            found = stream.decompress(data, CHUNK)
            data = b""
            if found:
                yield found
        data = stream.unused_data
        while len(data) < len(magic) and (more := file.read(CHUNK)):
            data += more
        if not data.startswith(magic):
            return
