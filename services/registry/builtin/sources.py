"""The files of a folder as text: which there are, in what language and encoding.

What can't be read as text is told with its reason; one such file never ends the work on the others.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from charset_normalizer import from_bytes
from identify import identify

LONGEST_LINE = 20_000
"""Characters. A parser or a rule needs minutes for more, and nobody wrote it by hand."""
MINIFIED_LINE = 400
"""Characters of a line in the mean; programs that people write have about 30."""
_MINIFIED_BYTES = 2000
_SAMPLE = 256 * 1024
_ODD = 0.1
"""Of the bytes: with more that are no text in any way, a file is no text."""
_PART_UTF8 = 0.5
_CONTROL = bytes((*range(1, 7), *range(14, 27), *range(28, 32)))
"""Bytes that no text has: all below the space but bell, white space, backspace and escape."""

# What identify calls differently, or does not know by its name.
_NAMES = {"c++": "cpp", "c#": "csharp", "ts": "typescript", "makefile": "make"}
_SUFFIXES = {
    "mts": "typescript",
    "cts": "typescript",
    "jsonc": "json",
    "tsx": "tsx",
    "jsx": "jsx",
    "pyi": "python",
    "pyw": "python",
    "bzl": "python",
    "h": "c",
}
# Words of identify that say how a file is written, not in what.
_NO_LANGUAGE = frozenset("text binary header plain-text image audio video".split())
_BY_RANK = (
    "python jsx javascript tsx ts vue svelte html css scss less java kotlin scala groovy c++ c c#"
    " go rust ruby php swift shell sql dockerfile makefile json yaml toml markdown xml"
).split()
_CPP = re.compile(
    rb"^\s*(?:class\s+\w|namespace\s+[\w:]+\s*\{|template\s*<|using\s+\w|public:|private:|protected:)"
    rb"|\w::\w|\bconstexpr\b|\bnullptr\b",
    re.MULTILINE,
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(
    rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)"
    rb"|<\?xml[^>]*encoding=[\"']([-\w.]+)"
    rb"|<meta[^>]*charset=[\"']?([-\w.]+)"
    rb"|^@charset \"([-\w.]+)\"",
    re.MULTILINE,
)
_WESTERN = ["cp1252", "cp1250"]
_OTHERS = [
    "cp1251", "koi8_r", "cp1253", "cp1254", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr",
]  # fmt: skip
_RUN = re.compile(rb"[\x80-\xff]+")
_SINGLE = 2
"""Bytes. Latin letters beyond ASCII stand alone, those of other scripts make up whole words."""
_ASCII = bytes(range(128))
_FEW_BYTES = 32
"""With fewer bytes beyond ASCII nothing can be told from how often they come."""


class TooMany(Exception):
    """The folder holds more files than are looked at; the message says how many may be there."""


class SourceText(NamedTuple):
    """One file, as far as it could be read."""

    path: str
    """Relative to the folder, with `/`."""
    size: int
    """Bytes."""
    language: str | None
    """None: not known."""
    text: str | None
    """None: there is a problem."""
    encoding: str | None = None
    """As Python names it; `utf-8-sig` and `utf-16` had a byte order mark, which `text` has not."""
    replaced: int = 0
    """Places in `text` where bytes fit no character and U+FFFD stands."""
    problem: str | None = None
    """`too_big`, `binary`, `not_decodable` or `unreadable`."""
    detail: str = ""
    """The problem in words."""


def names_in(folder: Path, most: int) -> list[str]:
    """The regular files below a folder, sorted, no link followed. Raises TooMany."""
    found: list[str] = []
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            path = Path(root, name)
            if stat.S_ISREG(path.lstat().st_mode):
                found.append(path.relative_to(folder).as_posix())
        if len(found) > most:
            raise TooMany(f"there are more than {most:,} files: give a part of them")
    return sorted(found)


def read(folder: Path, name: str, most_bytes: int) -> SourceText:
    """Read one file. Never raises for what is wrong with the file: `problem` says it."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            size = _size(descriptor)
            head = file.read(min(_SAMPLE, most_bytes))
            known = language(name, head)
            if size > most_bytes:
                detail = f"{size:,} bytes; up to {most_bytes:,} are looked at"
                return SourceText(name, size, known, None, problem="too_big", detail=detail)
            data = head + file.read(most_bytes)
    except OSError as error:
        words = error.strerror or type(error).__name__
        return SourceText(name, 0, language(name, b""), None, problem="unreadable", detail=words)
    return decode(name, data, known)


def decode(name: str, data: bytes, known: str | None) -> SourceText:
    """A file's bytes as text, in the encoding that they say, have, or most likely have."""
    encoding = _marked(data) or _wide(data)
    if encoding is None and _is_binary(data):
        detail = "holds bytes that no text has"
        return SourceText(name, len(data), known, None, problem="binary", detail=detail)
    encoding = encoding or _plain(data)
    try:
        text = data.decode(encoding, "replace")
    except (LookupError, UnicodeError) as error:
        detail = f"can't be read as {encoding}: {error}"
        return SourceText(name, len(data), known, None, encoding, 0, "not_decodable", detail)
    replaced = text.count("\ufffd") - _honest(data, encoding)
    if replaced > _ODD * len(text):
        detail = f"{replaced:,} of {len(text):,} characters can't be read as {encoding}"
        return SourceText(name, len(data), known, None, encoding, replaced, "not_decodable", detail)
    return SourceText(name, len(data), known, text, encoding, max(0, replaced))


def unfit(source: SourceText) -> tuple[str, str] | None:
    """Why a text is of no use to a parser, with details: `minified`, `long_line`; None: it is."""
    text = source.text or ""
    lines = text.splitlines() or [""]
    longest = max(map(len, lines))
    if len(text) > _MINIFIED_BYTES and len(text) / len(lines) > MINIFIED_LINE:
        return "minified", f"{len(text) // len(lines):,} characters a line"
    if longest > LONGEST_LINE:
        return "long_line", f"a line of {longest:,} characters, more than {LONGEST_LINE:,}"
    return None


def language(path: str, head: bytes) -> str | None:
    """The language by a file's name, else by the program its first line names; None: not known."""
    name = path.rsplit("/", 1)[-1]
    suffix = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    if (known := _SUFFIXES.get(suffix)) is not None:
        return "cpp" if suffix == "h" and _CPP.search(head) else known
    tags = identify.tags_from_filename(name)
    if not tags - _NO_LANGUAGE:
        for program in identify.parse_shebang(io.BytesIO(head))[:1]:
            tags = identify.tags_from_interpreter(program)
    return _named(tags)


def _size(descriptor: int) -> int:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return found.st_size


def _named(tags: set[str]) -> str | None:
    tags = tags - _NO_LANGUAGE
    for tag in _BY_RANK:
        if tag in tags:
            return _NAMES.get(tag, tag)
    return min(tags, default=None)


def _marked(data: bytes) -> str | None:
    return next((encoding for bom, encoding in _BOMS if data.startswith(bom)), None)


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of what is mostly ASCII is zero."""
    sample = data[:_SAMPLE]
    if len(sample) < 4 or b"\0" not in sample:
        return None
    even, odd = sample[0::2], sample[1::2]
    for part, other, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if part.count(0) > 0.7 * len(part) and other.count(0) == 0:
            return encoding
    return None


def _is_binary(data: bytes) -> bool:
    sample = data[:_SAMPLE]
    control = len(sample) - len(sample.translate(None, _CONTROL))
    return b"\0" in data or control > _ODD * len(sample)


def _plain(data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return _declared(data) or _guessed(data)
    return "utf-8"


def _declared(data: bytes) -> str | None:
    found = _DECLARED.search(data[:1024])
    name = next((group for group in found.groups() if group), b"") if found else b""
    try:
        data.decode(name.decode("ascii"))
        return codecs.lookup(name.decode("ascii")).name
    except (LookupError, UnicodeError):
        return None


def _guessed(data: bytes) -> str:
    beyond = len(data.translate(None, _ASCII))
    wrong = data.decode("utf-8", "replace").count("\ufffd")
    if wrong < _PART_UTF8 * beyond:
        # Most of it is UTF-8: a few bytes are broken, or came from somewhere else.
        return "utf-8"
    if beyond < _FEW_BYTES:
        return _western(data)
    runs = len(_RUN.findall(data))
    likely = _WESTERN if beyond < _SINGLE * runs else _WESTERN + _OTHERS
    best = from_bytes(data[:_SAMPLE], cp_isolation=likely).best()
    return best.encoding if best is not None else _western(data)


def _western(data: bytes) -> str:
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _honest(data: bytes, encoding: str) -> int:
    """U+FFFD that the file itself holds."""
    if encoding in ("utf-8", "utf-8-sig"):
        return data.count(b"\xef\xbf\xbd")
    return 0
