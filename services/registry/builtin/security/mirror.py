"""Copies of a task's files for the engines: all UTF-8, with names that tell the language.

The lines stay the same, so that a place in a copy is the place in the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from services.registry.builtin import sources
from services.registry.builtin.security.engines.base import ScanTarget

MOST_FILE_BYTES = 5_000_000
"""A bigger file is not scanned, and the answer says so."""
_LONGEST_NAME = 240
_SUFFIXES = {
    "c": (".c", ".h"),
    "cpp": (".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx", ".h", ".c++"),
    "csharp": (".cs",),
    "dockerfile": (".dockerfile",),
    "go": (".go",),
    "java": (".java",),
    "javascript": (".js", ".cjs", ".mjs", ".jsx"),
    "jsx": (".jsx", ".js"),
    "json": (".json",),
    "kotlin": (".kt", ".kts"),
    "php": (".php",),
    "python": (".py", ".pyi"),
    "ruby": (".rb",),
    "rust": (".rs",),
    "shell": (".sh", ".bash"),
    "swift": (".swift",),
    "tsx": (".tsx",),
    "typescript": (".ts", ".mts", ".cts"),
    "yaml": (".yaml", ".yml"),
}
"""Those that engines tell a language by, the usual one first."""


class Copied(NamedTuple):
    """One file of the task: its copy, or why there is none."""

    target: ScanTarget
    encoding: str | None
    replaced: int
    unfit: tuple[str, str] | None
    """Reason and words; then there is no copy."""


def copies(folder: Path, names: Iterable[str], root: Path) -> Iterator[Copied]:
    """Copy the files below `root`, one after the other; what no engine can use is told."""
    taken: set[str] = set()
    for number, path in enumerate(names):
        source = sources.read(folder, path, MOST_FILE_BYTES)
        unfit = (source.problem, source.detail) if source.problem else sources.unfit(source)
        name = name_of(path, source.language)
        if name.lower() in taken or not _usable(name):
            name = f"_{number}/{name_of('file', source.language)}"
        taken.add(name.lower())
        if unfit is None and source.text is not None:
            unfit = _copy(source.text, root / name)
        target = ScanTarget(path, name, source.language)
        yield Copied(target, source.encoding, source.replaced, unfit)


def name_of(path: str, language: str | None) -> str:
    """The path itself, with the suffix of the language where it has none that is known."""
    suffixes = _SUFFIXES.get(language or "", ())
    name = PurePosixPath(path).name.lower()
    if not suffixes or name.endswith(suffixes) or name == "dockerfile":
        return path
    return path + suffixes[0]


def _usable(name: str) -> bool:
    return name.isprintable() and all(
        len(os.fsencode(part)) < _LONGEST_NAME for part in name.split("/")
    )


def _copy(text: str, path: Path) -> tuple[str, str] | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace", newline="")
    except OSError as error:
        return "unreadable", f"can't be copied for the engines: {error.strerror}"
    return None
