"""Archives built by hand, byte by byte where no writer would make such a one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping

FILES = {"repo-main/a.py": b"print(1)\n", "repo-main/deep/er/b.txt": "ä\n".encode(), "top": b""}
COMPRESSED = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def tar(files: Mapping[str, bytes] = FILES, format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of plain files, as Python writes it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def member(
    name: bytes, type_: bytes = b"0", content: bytes = b"", *, size: int | None = None
) -> bytes:
    """One member of a tar, its header as wrong as it is asked for."""
    header = bytearray(512)
    header[: len(name[:100])] = name[:100]
    header[100:108] = b"0000644\0"
    header[124:136] = b"%011o\0" % (len(content) if size is None else size)
    header[136:148] = b"00000000000\0"
    header[156:157] = type_
    header[157:163] = b"target"
    header[257:265] = b"ustar\00000"
    return summed(header) + padded(content)


def sized(field: bytes) -> bytes:
    """A member whose size is given by these bytes."""
    header = bytearray(member(b"x"))
    header[124:136] = field
    return summed(header)


def summed(header: bytearray) -> bytes:
    """The header with the right sum in it."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def padded(content: bytes) -> bytes:
    """Content filled up to whole blocks."""
    return content + bytes(-len(content) % 512)


def pax(records: Mapping[str, str | bytes], type_: bytes = b"x") -> bytes:
    """A pax header of these records."""
    data = b""
    for key, value in records.items():
        raw = value.encode() if isinstance(value, str) else value
        body = b" " + key.encode() + b"=" + raw + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        data += str(length).encode() + body
    return member(b"pax", type_, data)


def ended(*members: bytes) -> bytes:
    """A whole tar of these members."""
    return b"".join(members) + bytes(1024)


def zip(
    files: Mapping[str, bytes] | Iterable[tuple[zipfile.ZipInfo | str, bytes]] = FILES,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A zip, as Python writes it."""
    made = io.BytesIO()
    pairs = files.items() if isinstance(files, Mapping) else files
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return made.getvalue()


def zip_link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    """A symbolic link, as Info-ZIP stores it."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info, target.encode()


def overlapping(entries: int, size: int) -> bytes:
    """A zip whose entries all lie in one place: `size` zeros each, stored once."""
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = raw.compress(bytes(size)) + raw.flush()
    sizes = (zlib.crc32(bytes(size)), len(data), size)
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0x21, *sizes, 1, 0) + b"0"
    entry = struct.pack(
        *("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0x21, *sizes), *(1, 0, 0, 0, 0, 0, 0)
    )
    directory = (entry + b"0") * entries
    count = min(entries, 0xFFFF)
    places = len(directory), len(local) + len(data)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, *places, 0)
    return local + data + directory + end


def zeros(mebibytes: int) -> bytes:
    """A gzipped tar whose one file is so many MiB of zeros."""
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", compresslevel=9) as file:
        file.write(member(b"zeros", size=mebibytes * 2**20))
        for _ in range(mebibytes):
            file.write(bytes(2**20))
        file.write(bytes(1024))
    return made.getvalue()
