"""Bytes of a repository as text: what is no UTF-8 becomes U+FFFD, and is counted."""

from __future__ import annotations

import base64
import re
from typing import Any

_LONE = re.compile("[\udc80-\udcff]")


class Decoder:
    """Decodes what one answer holds; `replaced` counts the bytes that were lost on the way."""

    def __init__(self) -> None:
        self.replaced = 0

    def __call__(self, data: bytes) -> str:
        """Never fails."""
        try:
            return data.decode()
        except UnicodeDecodeError:
            text, count = _LONE.subn("\ufffd", data.decode("utf-8", "surrogateescape"))
            self.replaced += count
            return text

    def name(self, data: bytes, key: str = "path") -> dict[str, Any]:
        """A file's name; one that is no UTF-8 also as it is, in base64."""
        before = self.replaced
        named: dict[str, Any] = {key: self(data)}
        if self.replaced > before:
            named[f"{key}_base64"] = base64.b64encode(data).decode()
        return named


def whole_lines(data: bytes) -> bytes:
    """What was cut somewhere, cut at the end of its last whole line."""
    return data[: data.rfind(b"\n") + 1]


def shortened(text: str, most: int) -> tuple[str, bool]:
    """At most so many characters, and whether that cut something off."""
    return text[:most], len(text) > most
