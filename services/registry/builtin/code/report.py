"""From single files to the answer about a folder: sums, and what is left out of a big one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

MOST_BYTES = 96 * 1024 * 1024
"""Of one answer as JSON."""
_LINES = ("total", "code", "comment", "blank")
File = Mapping[str, Any]


def folder(files: Iterable[File], most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The answer about many files: those with a `reason` were not analysed, or failed."""
    listed = sorted(files, key=lambda one: one["path"])
    told = [one for one in listed if one["status"] == "analyzed"]
    answer = {
        "files": told,
        "totals": totals(listed),
        "not_analyzed": [_without(one) for one in listed if one["status"] == "not_analyzed"],
        "failed": [_without(one) for one in listed if one["status"] == "failed"],
        "remarks": [],
    }
    return _bounded(answer, most_bytes)


def totals(files: Iterable[File]) -> dict[str, Any]:
    """Sums over all files, and by language; what no file has a notion of is absent."""
    files = list(files)
    told = [one for one in files if one["status"] == "analyzed"]
    languages = sorted({one["language"] for one in told if one["language"]})
    return {
        "files": len(files),
        "analyzed": len(told),
        "not_analyzed": sum(one["status"] == "not_analyzed" for one in files),
        "failed": sum(one["status"] == "failed" for one in files),
        **_sums(told),
        "by_language": {
            name: _sums([one for one in told if one["language"] == name]) | {"files": count}
            for name in languages
            if (count := sum(one["language"] == name for one in told))
        },
    }


def _sums(files: list[File]) -> dict[str, Any]:
    lines = {
        key: sum(one["lines"].get(key, 0) for one in files if "lines" in one)
        for key in _LINES
        if any(key in one.get("lines", {}) for one in files)
    }
    sums: dict[str, Any] = {"lines": lines}
    for part in ("symbols", "imports", "functions", "errors"):
        if any(part in one for one in files):
            sums[part] = sum(len(one.get(part, ())) for one in files)
    if (numbers := _complexity(files)) is not None:
        sums["complexity"] = numbers
    return sums


def _complexity(files: list[File]) -> dict[str, Any] | None:
    """The mean of all functions, and the one with the highest number: the first of those."""
    count, total = 0, 0
    worst: tuple[int, File, File] | None = None
    for file in files:
        for one in file.get("functions", ()):
            if "complexity" not in one:
                continue
            count, total = count + 1, total + one["complexity"]
            if worst is None or one["complexity"] > worst[0]:
                worst = one["complexity"], file, one
    if worst is None:
        return None
    number, file, one = worst
    name = ".".join(filter(None, (one.get("parent"), one["name"])))
    return {
        "mean": round(total / count, 2),
        "max": number,
        "max_at": {"path": file["path"], "name": name, "line": one["line"]},
    }


def _without(file: File) -> dict[str, Any]:
    return {key: value for key, value in file.items() if key != "status"}


def _no_signatures(file: File) -> dict[str, Any]:
    symbols = [
        {key: value for key, value in one.items() if key != "signature"}
        for one in file.get("symbols", ())
    ]
    return {**file, "symbols": symbols} if "symbols" in file else dict(file)


def _no_parts(*parts: str) -> Callable[[File], dict[str, Any]]:
    return lambda file: {key: value for key, value in file.items() if key not in parts}


_LESS: tuple[tuple[str, Callable[[File], dict[str, Any]]], ...] = (
    ("the signatures of symbols are", _no_signatures),
    ("the symbols are", _no_parts("symbols")),
    ("symbols, functions and imports are", _no_parts("symbols", "functions", "imports", "errors")),
)
"""What goes first when an answer is too big."""


def _bounded(answer: dict[str, Any], most_bytes: int) -> dict[str, Any]:
    files = answer["files"]
    for words, less in _LESS:
        size = len(msgspec.json.encode(answer))
        if size <= most_bytes:
            return answer
        message = (
            f"with them the answer would have {size >> 20:,} MiB, more than {most_bytes >> 20:,}:"
            f" {words} left out. The sums are of everything; give fewer files for the rest"
        )
        remark = {"part": "files", "message": message}
        answer = {**answer, "files": [less(one) for one in files], "remarks": [remark]}
    return answer


def headline(answer: Mapping[str, Any]) -> str:
    """One line about a folder's answer, for who reads text only."""
    sums = answer["totals"]
    words = f"{sums['analyzed']:,} of {sums['files']:,} files analysed"
    words += f", {sums['lines'].get('total', 0):,} lines"
    for part in ("symbols", "functions"):
        if part in sums:
            words += f", {sums[part]:,} {part}"
    return words
