"""Members of a zip archive, through `zipfile`, which is kept from reading more than it may hold."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import IO, BinaryIO

from services.packed.apart import GoOn
from services.packed.compressed import CHUNK, Damaged
from services.packed.names import BadFiles
from services.packed.tar import Kind, Member

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
MOST_READ = 6 * 1024 * 1024
"""Bytes read at once: of the directory, which `zipfile` holds as a whole."""
_LOCAL_HEADER = 30
_ENCRYPTED, _UTF8 = 0x1, 0x800
_WRONG = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    # Of names, extra fields and places that make no sense.
    *(ValueError, ArithmeticError, LookupError),
    # Of what it can't do.
    RuntimeError,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def members(file: BinaryIO, go_on: GoOn) -> Iterator[Member]:
    """Yield the members in order; `go_on` is called now and then and may raise. Raises BadFiles."""
    with _told():
        opened = zipfile.ZipFile(_Bounded(file))
    with opened:
        _check_places(opened.infolist())
        for info in opened.infolist():
            yield _member(opened, info, go_on)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say in our words what is wrong with the archive. Raises Damaged."""
    try:
        yield
    except _WRONG as error:
        why = str(error) or "it is cut off"
        raise Damaged(f"input.archive is damaged: {why}") from error


def _member(opened: zipfile.ZipFile, info: zipfile.ZipInfo, go_on: GoOn) -> Member:
    name = _name(info)
    shown = repr(name if name is not None else info.orig_filename)
    return Member(name, _kind(info), info.file_size, _content(opened, info, shown, go_on), shown)


def _content(
    opened: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str, go_on: GoOn
) -> Iterator[bytes]:
    if info.flag_bits & _ENCRYPTED:
        raise BadFiles(f"input.archive: {shown} is encrypted; make the archive without a password")
    if info.compress_type not in _METHODS:
        method = info.compress_type
        text = f"input.archive: {shown} is compressed by method {method}; make it with deflate"
        raise BadFiles(text)
    size = 0
    with _told():
        file = opened.open(info)
    with file:
        while part := _read(file):
            go_on()
            size += len(part)
            yield part
    if size != info.file_size:
        raise Damaged(f"input.archive is damaged: {shown} has {size} bytes, not {info.file_size}")


def _read(file: IO[bytes]) -> bytes:
    with _told():
        return file.read(CHUNK)


def _check_places(infos: list[zipfile.ZipInfo]) -> None:
    """Refuse entries that share their bytes: so a small file can claim to hold any amount."""
    places = sorted((one.header_offset, one.compress_size, one.orig_filename) for one in infos)
    for (start, size, _), (following, _, name) in pairwise(places):
        if start + _LOCAL_HEADER + size > following:
            raise Damaged(f"input.archive is damaged: {name!r} lies inside of another entry")


def _name(info: zipfile.ZipInfo) -> str | None:
    """The name as it was meant: writers of UTF-8 forget to say so."""
    if info.flag_bits & _UTF8:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode()
    except ValueError:
        return info.orig_filename


def _kind(info: zipfile.ZipInfo) -> Kind:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if info.orig_filename.endswith("/") or stat.S_ISDIR(mode):
        return Kind.FOLDER
    # Most writers that are not of Unix leave the mode out.
    return Kind.FILE if stat.S_IFMT(mode) in (0, stat.S_IFREG) else Kind.OTHER


class _Bounded(io.RawIOBase):
    """A file that refuses to be read in too large a piece."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        rest = max(0, self._size - self._file.tell())
        wanted = rest if size < 0 else min(size, rest)
        if wanted > MOST_READ:
            raise BadFiles(f"input.archive: its directory has {wanted} bytes; {MOST_READ} may be")
        return self._file.read(wanted)
