"""Members of a tar archive, read strictly and once from front to back: ustar, GNU and pax.

Not by `tarfile`: that reads headers of any length into memory, and takes damage for the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from services.packed.compressed import Damaged, Expanded

BLOCK = 512
MOST_EXTENDED = 64 * 1024
"""Bytes of what stands before a member and describes it: long names, pax records."""
_ZEROS = bytes(BLOCK)
_OCTAL = b"01234567"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL, _PAX_SUN = b"L", b"K", b"x", b"g", b"X"
_FILES = (b"0", b"\0", b"7")
_LINKS = (b"1", b"2")
_DEVICES = (b"3", b"4", b"6")
_FOLDER, _SPARSE = b"5", b"S"


class Kind(StrEnum):
    """What a member of an archive is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"
    """A device, a pipe, a sparse file or what nobody knows."""


class Member(NamedTuple):
    """One entry of an archive."""

    name: str | None
    """None: it is not UTF-8."""
    kind: Kind
    size: int
    """Bytes of its content, as it says itself."""
    content: Iterator[bytes]
    """To be read before the next member is asked for, or not at all."""
    shown: str
    """Its name for people."""


class _Next(NamedTuple):
    """What was said of the next member ahead of it."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False


def is_tar(head: bytes) -> bool:
    """Whether a file that begins so is a tar archive, as far as one can see."""
    return len(head) >= BLOCK and (head[:BLOCK] == _ZEROS or _checked(head[:BLOCK]))


def members(source: Expanded) -> Iterator[Member]:
    """Yield the members in order. Raises Damaged, and what reading the source does."""
    ahead = _Next()
    while (header := source.read(BLOCK)) != _ZEROS:
        if not _checked(header):
            raise Damaged("input.archive is damaged, or what is compressed in it is no tar archive")
        type_, size = header[156:157], _number(header[124:136])
        if type_ in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL, _PAX_SUN):
            ahead = _extended(ahead, type_, _described(source, size))
            continue
        yield from _member(source, header, ahead)
        ahead = _Next()


def _member(source: Expanded, header: bytes, ahead: _Next) -> Iterator[Member]:
    type_ = header[156:157]
    raw = ahead.name if ahead.name is not None else _name(header)
    size = ahead.size if ahead.size is not None else _number(header[124:136])
    kind = _kind(type_, raw)
    if type_ == _SPARSE:
        _pass_sparse_map(source, header)
    elif kind is Kind.FOLDER or type_ in _LINKS or type_ in _DEVICES:
        # Whatever they say of their size, nothing follows.
        size = 0
    if ahead.sparse and kind is Kind.FILE:
        kind = Kind.OTHER
    content = _Content(source, size)
    yield Member(_decoded(raw), kind, size, content, repr(raw.decode("utf-8", "replace")))
    content.close()


class _Content:
    """The bytes of one member; what nobody has read is passed over."""

    def __init__(self, source: Expanded, size: int) -> None:
        self._source = source
        self._left = size
        self._padding = -size % BLOCK

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        part = next(self._source.parts(self._left))
        self._left -= len(part)
        return part

    def close(self) -> None:
        self._source.skip(self._left + self._padding)
        self._left = self._padding = 0


def _kind(type_: bytes, name: bytes) -> Kind:
    if type_ in _FILES:
        return Kind.FOLDER if name.endswith(b"/") else Kind.FILE
    if type_ == _FOLDER:
        return Kind.FOLDER
    return Kind.LINK if type_ in _LINKS else Kind.OTHER


def _described(source: Expanded, size: int) -> bytes:
    if size > MOST_EXTENDED:
        text = f"input.archive: a member is described by {size} bytes; {MOST_EXTENDED} may be"
        raise Damaged(text)
    data = source.read(size)
    source.skip(-size % BLOCK)
    return data


def _extended(ahead: _Next, type_: bytes, data: bytes) -> _Next:
    if type_ == _LONG_NAME:
        return ahead._replace(name=data.partition(b"\0")[0])
    if type_ == _LONG_LINK:
        return ahead
    records = dict(_records(data))
    if type_ == _PAX_ALL:
        if records.keys() & {b"path", b"size"}:
            raise Damaged("input.archive gives all its members the same name or size")
        return ahead
    if (name := records.get(b"path")) is not None:
        ahead = ahead._replace(name=name)
    if (size := records.get(b"size")) is not None:
        if not size.isdigit() or len(size) > 18:
            raise Damaged(f"input.archive is damaged: {size[:40]!r} is no size")
        ahead = ahead._replace(size=int(size))
    return ahead._replace(sparse=any(key.startswith(b"GNU.sparse.") for key in records))


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of a pax header: `<length> <key>=<value>\\n`, the length of all of it."""
    while data:
        digits, _, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 9 else 0
        record = data[:length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not length or len(record) < length or not record.endswith(b"\n") or not equals:
            raise Damaged("input.archive is damaged: a pax header is not as it should be")
        yield key, value
        data = data[length:]


def _pass_sparse_map(source: Expanded, header: bytes) -> None:
    more = header[482]
    while more:
        more = source.read(BLOCK)[504]


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and prefix:
        return prefix + b"/" + name
    return name


def _number(field: bytes) -> int:
    """A number of a header: octal digits, or from 8 GiB on the bytes of one."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if digits.strip(_OCTAL):
        raise Damaged(f"input.archive is damaged: {field!r} is no number")
    return int(digits, 8) if digits else 0


def _checked(header: bytes) -> bool:
    """Whether the header's sum is right; old writers took its bytes for signed ones."""
    field = header[148:156].strip(b" \0")
    if not field or field.strip(_OCTAL):
        return False
    rest = header[:148] + header[156:]
    said, unsigned = int(field, 8), sum(rest) + 8 * 32
    return said == unsigned or said == unsigned - 256 * sum(byte > 127 for byte in rest)


def _decoded(name: bytes) -> str | None:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None
