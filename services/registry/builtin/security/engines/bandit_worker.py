"""Runs bandit on files, one line of JSON each; run by the environment's Python.

The names come on stdin, as JSON with the tests to run; a file that ends it loses no other.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from bandit.core import config, manager  # type: ignore[import-not-found,unused-ignore]


def scan(bandit: Any, name: str) -> dict[str, Any]:
    """What bandit finds in one file, or why it could not read it."""
    bandit.results.clear()
    bandit.skipped.clear()
    with open(name, "rb") as file:
        # Only for such comments would it read the file a second time, word by word.
        bandit.ignore_nosec = b"nosec" not in file.read()
        file.seek(0)
        bandit._parse_file(name, file, [name])
    if bandit.skipped:
        return {"name": name, "error": bandit.skipped[0][1]}
    return {"name": name, "found": [_brief(issue) for issue in bandit.results]}


def _brief(issue: Any) -> dict[str, Any]:
    return {
        "test": issue.test_id,
        "severity": issue.severity,
        "confidence": issue.confidence,
        "text": issue.text,
        "line": issue.lineno,
        "end_line": max([issue.lineno, *issue.linerange]),
        "column": issue.col_offset + 1,
    }


def main() -> None:
    """Answer for each file as soon as it is done."""
    given = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    sys.setrecursionlimit(2000)
    bandit = manager.BanditManager(
        config.BanditConfig(), "file", profile={"include": set(given["tests"])}
    )
    for name in given["names"]:
        try:
            answer = scan(bandit, name)
        except Exception as error:
            answer = {"name": name, "error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
