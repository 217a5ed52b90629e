"""What an API answers, in the form of results: small answers in memory, big ones in a file.

A big one is read and written in parts: base64 and escapes would multiply it in memory.
"""

from __future__ import annotations

import base64
import codecs
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from contracts.nesting import too_deep
from services.executor.attempt.call import Answer, Spooled
from services.executor.hosts.bulk import check_text
from services.outside import site

_CHUNK = 3 * 64 * 1024
"""A multiple of three: the parts of base64 fit together."""
_TEXTS = frozenset(
    "application/xml application/javascript application/x-ndjson application/yaml"
    " application/x-yaml application/x-www-form-urlencoded".split()
)


def small(data: bytes, media: str) -> Answer:
    """The answer of a body that is held in memory."""
    if not data:
        return Answer([])
    if site.is_json(media) and not too_deep(data):
        try:
            value = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        else:
            text = [{"type": "text", "text": data.decode("utf-8", "replace")}]
            return Answer(text, value if isinstance(value, dict) else {"result": value})
    if _is_text(media) or site.is_json(media):
        return Answer([{"type": "text", "text": data.decode("utf-8", "replace")}])
    encoded = base64.b64encode(data).decode()
    kind = media.partition("/")[0]
    if kind in ("image", "audio"):
        return Answer([{"type": kind, "data": encoded, "mimeType": media}])
    return Answer([_resource(media, encoded)])


def big(body: Spooled, media: str, folder: Path) -> tuple[Answer, Spooled | None]:
    """The same of one in a file, which goes; the answer is in another, in the form of results."""
    try:
        with body.path.open("rb") as file:
            # Not closed by hand: raw parts are views into it.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        spooled = _written(_parts(data, media), folder)
    finally:
        body.remove()
    return Answer([], spooled=spooled), spooled


def _is_text(media: str) -> bool:
    return not media or media.startswith("text/") or media in _TEXTS or "+xml" in media


def _resource(media: str, encoded: str) -> dict[str, Any]:
    mime = media or "application/octet-stream"
    return {
        "type": "resource",
        "resource": {"uri": "openapi:answer", "mimeType": mime, "blob": encoded},
    }


def _parts(data: mmap.mmap, media: str) -> Iterator[bytes]:
    if site.is_json(media) and _sound(data):
        is_object = data[:_CHUNK].lstrip(b" \t\r\n").startswith(b"{")
        yield b'{"content":[],"structured":' + (b"" if is_object else b'{"result":')
        yield from _chunks(data)
        yield (b"" if is_object else b"}") + b',"is_error":false}'
        return
    text = site.is_json(media) or _is_text(media)
    kind = media.partition("/")[0]
    item: Any = _resource(media, "~")
    if text:
        item = {"type": "text", "text": "~"}
    elif kind in ("image", "audio"):
        item = {"type": kind, "data": "~", "mimeType": media}
    before, after = msgspec.json.encode(item).rsplit(b'"~"', 1)
    yield b'{"content":[' + before + b'"'
    if text:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for part in _chunks(data):
            yield msgspec.json.encode(decoder.decode(part))[1:-1]
        yield msgspec.json.encode(decoder.decode(b"", final=True))[1:-1]
    else:
        yield from map(base64.b64encode, _chunks(data))
    yield b'"' + after + b'],"structured":null,"is_error":false}'


def _sound(data: mmap.mmap) -> bool:
    """Whether it is JSON: its values are skipped, not built."""
    try:
        check_text(data)
        msgspec.json.decode(data, type=msgspec.Raw)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return False
    return True


def _chunks(data: mmap.mmap) -> Iterator[bytes]:
    for start in range(0, len(data), _CHUNK):
        yield data[start : start + _CHUNK]


def _written(parts: Iterator[bytes], folder: Path) -> Spooled:
    descriptor, name = tempfile.mkstemp(prefix="result-", suffix=".json", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)
            return Spooled(path, file.tell())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
