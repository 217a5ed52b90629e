"""Runs the detectors of detect-secrets on files, one line of JSON each; no detector asks a network.

A detector is given a line only if one of its patterns is there: all lines would take hours.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from detect_secrets.core.plugins.util import (  # type: ignore[import-not-found,unused-ignore]
    get_mapping_from_secret_type_to_class,
)
from detect_secrets.filters import heuristic  # type: ignore[import-not-found,unused-ignore]

KEYWORD = "Secret Keyword"
_LONGEST_LINE = 5000
# Before the keyword detector with its many patterns: does the line name a secret and give a value?
_NAMED = re.compile(
    r"(?i)(?:api|auth|service|account|db|database|priv|private|client)_?key|pass(?:word|wd)?|pwd|secret"
    r"|contrase"
)


def scan(detectors: Iterable[Any], name: str) -> list[dict[str, Any]]:
    """Every secret that a detector sees in one file."""
    text = Path(name).read_text("utf-8")
    lines = text.split("\n")
    found: list[dict[str, Any]] = []
    for detector in detectors:
        for number in sorted(set(_lines(detector, text))):
            if len(line := lines[number]) <= _LONGEST_LINE:
                found += _seen(detector, name, line, number + 1)
    return found


def _seen(detector: Any, name: str, line: str, number: int) -> Iterator[dict[str, Any]]:
    for secret in detector.analyze_line(filename=name, line=line, line_number=number):
        value = secret.secret_value
        if not value or heuristic.is_sequential_string(value) or _templated(value):
            continue
        yield {
            "kind": secret.type,
            "line": number,
            "column": max(line.find(value), 0) + 1,
            "value": value,
            "text": line,
        }


def _templated(value: str) -> bool:
    return bool(
        heuristic.is_templated_secret(value) or heuristic.is_prefixed_with_dollar_sign(value)
    )


def _lines(detector: Any, text: str) -> Iterator[int]:
    """Numbers, from 0, of the lines where the detector may see something."""
    patterns = (_NAMED,) if detector.secret_type == KEYWORD else detector.denylist
    for pattern in patterns:
        at = number = 0
        for match in pattern.finditer(text):
            number += text.count("\n", at, match.start())
            at = match.start()
            # A pattern may begin with the white space of the line before.
            yield from range(number, number + match[0].count("\n") + 1)


def main() -> None:
    """Answer for each file as soon as it is done."""
    given = json.load(sys.stdin)
    kinds = get_mapping_from_secret_type_to_class()
    detectors = [kinds[kind]() for kind in given["kinds"]]
    for name in given["names"]:
        try:
            answer: dict[str, Any] = {"name": name, "found": scan(detectors, name)}
        except Exception as error:
            answer = {"name": name, "error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
