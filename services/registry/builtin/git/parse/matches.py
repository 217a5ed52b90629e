"""`git grep -z -n --column REVISION`."""

from __future__ import annotations

import re
from typing import Any

from services.registry.builtin.git.parse.words import Decoder, shortened

LONGEST = 500
"""Characters of a line that is shown."""
_LINE = re.compile(
    rb"(?:--\n)?(?P<name>[^\0]+)\0(?P<number>\d+)\0(?:(?P<column>\d+)\0)?(?P<line>[^\n]*)\n"
)


def parse(out: bytes, prefix: bytes, text: Decoder, most: int) -> tuple[list[dict[str, Any]], bool]:
    """The matches, with the lines around each, and whether there are more than `most`.

    `prefix` stands before every name. Lines between two matches belong to the first.
    """
    found: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    last = b""
    for match in _LINE.finditer(out):
        name = match["name"].removeprefix(prefix)
        words, cut = shortened(text(match["line"]), LONGEST)
        line: dict[str, Any] = {"line": int(match["number"]), "text": words}
        if cut:
            line["text_truncated"] = True
        if name != last or match[0].startswith(b"--\n"):
            waiting = []
        if match["column"] is None:
            if (
                found
                and found[-1]["raw"] == name
                and not waiting
                and not match[0].startswith(b"--\n")
            ):
                found[-1].setdefault("after", []).append(line)
            else:
                waiting.append(line)
        elif len(found) == most:
            return _named(found, text), True
        else:
            hit = {"raw": name, **line, "column": int(match["column"])}
            found.append(hit | ({"before": waiting} if waiting else {}))
            waiting = []
        last = name
    return _named(found, text), False


def _named(found: list[dict[str, Any]], text: Decoder) -> list[dict[str, Any]]:
    return [{**text.name(hit.pop("raw")), **hit} for hit in found]
