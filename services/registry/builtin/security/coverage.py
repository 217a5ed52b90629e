"""Which files were scanned, by what, and which were not and why. Pure.

A file that no rule is for is never called scanned, though it was searched for secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from services.registry.builtin.security.engines.base import EngineResult, Rules
from services.registry.builtin.security.mirror import Copied


class EngineRun(NamedTuple):
    """What one engine was to do, and did."""

    name: str
    rules: Mapping[str, Rules]
    """By path: those for the files that it was given."""
    ran: EngineResult
    problem: str = ""
    """Why it could not even say which files it is for."""


def covered(files: Iterable[Copied], runs: Sequence[EngineRun]) -> dict[str, Any]:
    """The lists `scanned`, `not_scanned` and `failed`, and their sizes."""
    lists: dict[str, list[dict[str, Any]]] = {"scanned": [], "not_scanned": [], "failed": []}
    secrets_only = 0
    for file in files:
        name, entry = _entry(file, runs)
        lists[name].append(entry)
        secrets_only += name == "not_scanned" and "secrets" in entry
    totals = {"files": sum(map(len, lists.values())), **{k: len(v) for k, v in lists.items()}}
    return {**lists, "totals": {**totals, "secrets_only": secrets_only}}


def _entry(file: Copied, runs: Sequence[EngineRun]) -> tuple[str, dict[str, Any]]:
    path, language = file.target.path, file.target.language
    if file.unfit is not None:
        reason, message = file.unfit
        return "not_scanned", {"path": path, "reason": reason, "message": message}
    given = [run for run in runs if path in run.rules]
    wrong = {run.name: run.ran.failed[path] for run in given if path in run.ran.failed}
    engines = {one.name: one.rules[path].language for one in given if one.rules[path].language}
    secrets = {one.name: one.rules[path].secrets for one in given if one.rules[path].secrets}
    done = {name: count for name, count in engines.items() if name not in wrong}
    searched = {name: count for name, count in secrets.items() if name not in wrong}
    more = {"secrets": searched} if searched else {}
    lost = [f"{run.name}: {run.problem}" for run in runs if run.problem]
    if not engines and lost:
        message = "; ".join(lost)
        return "failed", {"path": path, "reason": "engine_failed", "message": message, **more}
    if not engines:
        message = f"no rules for {language or 'this kind of file'}"
        message += "; searched for secrets only" if searched else ""
        return "not_scanned", {"path": path, "reason": "no_rules", "message": message, **more}
    if not done:
        reason = _worst(wrong[name][0] for name in engines)
        message = "; ".join(f"{name}: {wrong[name][1]}" for name in engines)
        return "failed", {"path": path, "reason": reason, "message": message, **more}
    entry = {"path": path, "language": language, "engines": done, **more}
    return "scanned", {**entry, **_odd(file), **_remarks(path, wrong, given)}


def _odd(file: Copied) -> dict[str, Any]:
    """What is not as usual with the file's text."""
    odd: dict[str, Any] = {}
    if file.encoding not in (None, "utf-8", "ascii"):
        odd["encoding"] = file.encoding
    if file.replaced:
        odd["replaced"] = file.replaced
    return odd


def _remarks(
    path: str, wrong: Mapping[str, tuple[str, str]], given: Iterable[EngineRun]
) -> dict[str, Any]:
    remarks = [
        f"{name}: not scanned ({reason}): {words}" for name, (reason, words) in wrong.items()
    ]
    remarks += [run.ran.remarks[path] for run in given if path in run.ran.remarks]
    return {"remarks": remarks} if remarks else {}


def _worst(reasons: Iterable[str]) -> str:
    """A file that can't be parsed is that, whatever happened to other engines."""
    known = set(reasons)
    return next(one for one in ("parse_error", "timeout", "engine_failed") if one in known)
