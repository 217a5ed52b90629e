"""What one file is made of.

Each part stands alone: one that fails leaves a remark, and the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from services.registry.builtin.code.engine import (
    complexity,
    headings,
    imports,
    lines,
    problems,
    python,
    symbols,
)
from services.registry.builtin.code.engine.complexity import Measured
from services.registry.builtin.code.engine.grammars import GRAMMARS, SyntaxTree
from services.registry.builtin.code.engine.languages import LANGUAGES

MOST_SYMBOLS = 50_000
_LIZARD_LONGEST = 2_000_000


class Told(NamedTuple):
    """What is known of a file so far, and what could not be found out."""

    answer: dict[str, Any]
    remarks: list[dict[str, str]]

    def part(self, name: str, find: Callable[[], Any]) -> Any:
        """Find one part; what goes wrong becomes a remark."""
        try:
            found = find()
        except Exception as error:
            self.remark(name, f"{type(error).__name__}: {error}"[:300])
            return None
        if found is not None:
            self.answer[name] = found
        return found

    def remark(self, part: str, message: str) -> None:
        """Say what a part lacks, and why."""
        self.remarks.append({"part": part, "message": message})


def analyzed(text: str, language: str | None, unfit: str = "") -> dict[str, Any]:
    """The parts of one file; `unfit` says why only its lines are of use."""
    told = Told({}, [])
    if language not in GRAMMARS:
        told.part("lines", lambda: lines.plain(text))
        what = f"the language `{language}`" if language else "a language that is not known"
        told.remark("language", f"there is no grammar for {what}: only lines are counted")
    elif unfit:
        told.part("lines", lambda: lines.plain(text))
        told.remark("symbols", f"{unfit}: only lines are counted")
    else:
        _parts(told, text, language)
    return {**told.answer, "remarks": told.remarks}


def _parts(told: Told, text: str, language: str) -> None:
    notions = LANGUAGES[language]
    parsed = SyntaxTree(text, language)
    told.part("lines", lambda: lines.counted(parsed, notions.comments))
    seen = _seen(told, text, notions.lizard) if notions.functions else []
    if language != "python" or not _python(told, parsed, text, seen):
        _by_tree(told, parsed, seen)
        if "errors" not in told.answer:
            told.part("errors", lambda: problems.listed(parsed))
    if language in ("c", "cpp") and told.answer.get("errors"):
        told.remark("errors", "macros are not expanded: one can look like an error")
    for part, most in (("symbols", MOST_SYMBOLS), ("errors", problems.MOST)):
        found = told.answer.get(part, [])
        if len(found) > most:
            told.answer[part] = found[:most]
            told.remark(part, f"{len(found) - most:,} of {len(found):,} are left out")


def _seen(told: Told, text: str, suffix: str) -> list[Measured]:
    if not suffix:
        return []
    if len(text) > _LIZARD_LONGEST:
        why = f"lizard is not asked for more than {_LIZARD_LONGEST:,} characters"
        told.remark("functions", f"{why}: complexity is counted in the syntax tree")
        return []
    try:
        return complexity.by_lizard(text, suffix)
    except Exception as error:
        why = str(error) if isinstance(error, TimeoutError) else f"lizard: {type(error).__name__}"
        told.remark("functions", f"{why}: complexity is counted in the syntax tree")
        return []


def _by_tree(told: Told, parsed: SyntaxTree, seen: list[Measured]) -> None:
    notions = LANGUAGES[parsed.language]
    placed: list[symbols.Placed] = []

    def found() -> list[dict[str, Any]]:
        placed.extend(symbols.placed(parsed, notions.table, notions.joint))
        if parsed.language == "markdown":
            placed[:] = headings.nested(placed, notions.joint)
        return symbols.described(parsed, placed)

    told.part("symbols", found)
    takers = notions.imports
    if takers is not None:
        told.part("imports", lambda: imports.listed(parsed, takers))
    if notions.functions:
        told.part(
            "functions",
            lambda: complexity.listed(parsed, placed, seen, measure=notions.complexity),
        )


def _python(told: Told, parsed: SyntaxTree, text: str, seen: list[Measured]) -> bool:
    """By `ast`; False: `ast` can't read it, and the tree has to do."""
    try:
        tree = python.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        told.answer["errors"] = problems.listed(parsed) or [_not_read(error)]
        return False
    found = python.read(parsed, text, tree, seen)
    told.answer.update(symbols=found.symbols, imports=found.imports)
    told.answer.update(functions=found.functions, errors=[])
    return True


def _not_read(error: BaseException) -> dict[str, Any]:
    """The tree finds most errors, though not each: for it `print x` is right."""
    version = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    line, column = 1, 1
    if isinstance(error, SyntaxError):
        line, column = error.lineno or 1, max(1, error.offset or 1)
    message = f"{version} can't read it: {getattr(error, 'msg', error)}"
    return {"line": line, "column": column, "message": message}
