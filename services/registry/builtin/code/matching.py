"""Search in the files of a folder: the pattern is checked for each language before any file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from services.registry.builtin.code import files
from services.registry.builtin.code.workers import Declined, Lost, Workers
from services.registry.builtin.sources import SourceText, unfit

MOST_MATCHES = 10_000
MOST_CONTEXT = 10
MOST_LISTED = 1000
"""Files that were not searched, in one answer; what is left out is counted."""


class PatternSearch(NamedTuple):
    """What is searched for, and how much of it is told."""

    pattern: str
    language: str | None
    max_matches: int
    context: int
    one_file: bool
    """Then the language that is asked for is the file's, whatever its name says."""


async def silent(done: int, total: int, name: str) -> None:
    """Nobody watches."""


async def search(
    workers: Workers,
    folder: Path,
    names: Sequence[str],
    asked: PatternSearch,
    progress: files.Progress,
) -> dict[str, Any]:
    """All matches, by file and place. Raises Declined for a pattern that fits no language."""
    if not 0 <= asked.context <= MOST_CONTEXT:
        raise Declined(f"`context` is {asked.context}: 0 to {MOST_CONTEXT} lines are given")
    if not 1 <= asked.max_matches <= MOST_MATCHES:
        raise Declined(f"`max_matches` is {asked.max_matches}: give 1 to {MOST_MATCHES:,}")
    languages = _Languages(workers, asked.pattern)
    if asked.language is not None and (wrong := await languages.wrong(asked.language)):
        raise Declined(wrong)
    one = _Search(workers, asked, languages)
    await files.each(workers, folder, names, one.file, progress)
    return one.answer()


class _Languages:
    """What is wrong with the pattern in each language; asked once."""

    def __init__(self, workers: Workers, pattern: str) -> None:
        self._workers = workers
        self._pattern = pattern
        self.known: dict[str, str] = {}

    async def wrong(self, language: str) -> str:
        if language not in self.known:
            told = await self._workers.ask("check", pattern=self._pattern, languages=[language])
            self.known[language] = told["wrong"].get(language, "")
        return self.known[language]


class _Search:
    def __init__(self, workers: Workers, asked: PatternSearch, languages: _Languages) -> None:
        self._workers = workers
        self._asked = asked
        self._languages = languages
        self._found: list[tuple[str, str, dict[str, Any]]] = []
        self._not_searched: list[dict[str, str]] = []
        self._failed: list[dict[str, str]] = []

    async def file(self, source: SourceText) -> None:
        """Search one file."""
        asked = self._asked
        language = source.language
        if asked.language is not None:
            if language != asked.language and not asked.one_file:
                return
            language = asked.language
        if (reason := self._unfit(source, language)) is not None:
            self._note(self._not_searched, source.path, *reason)
            return
        assert language is not None
        try:
            if wrong := await self._languages.wrong(language):
                self._note(self._not_searched, source.path, "pattern", wrong)
                return
            told = await self._workers.ask(
                "find",
                text=source.text,
                language=language,
                pattern=asked.pattern,
                most=asked.max_matches,
                context=asked.context,
            )
        except Lost as lost:
            self._note(self._failed, source.path, lost.reason, str(lost))
        else:
            self._found.append((source.path, language, told))

    @staticmethod
    def _unfit(source: SourceText, language: str | None) -> tuple[str, str] | None:
        if source.problem is not None:
            return source.problem, source.detail
        if language is None:
            return "language", "its language is not known"
        return unfit(source)

    @staticmethod
    def _note(where: list[dict[str, str]], path: str, reason: str, message: str) -> None:
        where.append({"path": path, "reason": reason, "message": message})

    def answer(self) -> dict[str, Any]:
        """Everything that was found. Raises Declined if the pattern fits none of the languages."""
        wrong = {name: words for name, words in sorted(self._languages.known.items()) if words}
        if wrong and not self._found:
            raise Declined("; ".join(wrong.values())[:2000])
        matches = [
            {"path": path, "language": language, **one}
            for path, language, told in sorted(self._found, key=lambda each: each[0])
            for one in told["matches"]
        ]
        most = self._asked.max_matches
        beyond = sum(told["left_out"] for _, _, told in self._found)
        answer: dict[str, Any] = {
            "matches": matches[:most],
            "left_out": beyond + max(0, len(matches) - most),
            "files_searched": len(self._found),
            "files_matched": sum(bool(told["matches"]) for _, _, told in self._found),
        }
        for name, listed in (("not_searched", self._not_searched), ("failed", self._failed)):
            ordered = sorted(listed, key=lambda each: each["path"])
            answer[name] = ordered[:MOST_LISTED]
            if len(ordered) > MOST_LISTED:
                answer[f"{name}_left_out"] = len(ordered) - MOST_LISTED
        return answer
