"""From semgrep's own JSON to what a task's result says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MOST_FINDINGS = 2000
"""Findings, and names, that one report lists; what is left out is counted."""
SERIOUS = frozenset({"ERROR", "HIGH", "CRITICAL"})
"""Severities that `analysis` takes up."""
_LONGEST = 500


def scan(raw: Mapping[str, Any], files: Iterable[str]) -> dict[str, Any]:
    """Every finding, in the order of the files and lines, and what was looked at.

    `files` are all that were there: one that no rule was for is named, never taken for clean.
    """
    found = sorted(map(finding, raw.get("results", ())), key=_place)
    return {
        "findings": found[:MOST_FINDINGS],
        "left_out": max(0, len(found) - MOST_FINDINGS),
        "by_severity": _counted(found),
        **_covered(raw, files),
    }


def analysis(raw: Mapping[str, Any], files: Iterable[str]) -> dict[str, Any]:
    """The serious findings by weakness, those with the most places first.

    A weakness is the CWE that the rule names; a rule without one stands for itself.
    """
    found = sorted(map(finding, raw.get("results", ())), key=_place)
    serious = [one for one in found if one["severity"] in SERIOUS]
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in serious[:MOST_FINDINGS]:
        groups.setdefault((one["cwe"] or [one["rule"]])[0], []).append(one)
    order = sorted(groups, key=lambda name: (-len(groups[name]), name))
    return {
        "vulnerabilities": [_vulnerability(name, groups[name]) for name in order],
        "count": len(serious),
        "left_out": max(0, len(serious) - MOST_FINDINGS),
        **_covered(raw, files),
    }


def finding(match: Mapping[str, Any]) -> dict[str, Any]:
    """One match as a finding."""
    extra = match.get("extra", {})
    cwe = extra.get("metadata", {}).get("cwe", [])
    return {
        "path": named(match["path"]),
        "line": match["start"]["line"],
        "end_line": match["end"]["line"],
        "column": match["start"]["col"],
        "rule": match["check_id"],
        "severity": extra.get("severity", "INFO"),
        "message": extra.get("message", ""),
        "cwe": [cwe] if isinstance(cwe, str) else [str(one) for one in cwe],
    }


def named(path: str) -> str:
    """The name of a file as the task gave it."""
    return path.removeprefix("./")


def broken_rule(raw: Mapping[str, Any]) -> str:
    """What is wrong with the rules themselves; empty: they could be used."""
    errors = raw.get("errors", ())
    wrong = [
        error
        for error in errors
        if error.get("level") == "error" or error.get("type") == "Invalid YAML"
    ]
    return "; ".join(_said(error) for error in wrong[:3])


def _covered(raw: Mapping[str, Any], files: Iterable[str]) -> dict[str, Any]:
    scanned = sorted({named(path) for path in raw.get("paths", {}).get("scanned", ())})
    missed = sorted(set(files) - set(scanned))
    errors = [
        {"path": named(str(error.get("path", ""))), "message": _said(error)}
        for error in raw.get("errors", ())
    ]
    return {
        "scanned": scanned[:MOST_FINDINGS],
        "not_scanned": missed[:MOST_FINDINGS],
        "errors": errors[:MOST_FINDINGS],
    }


def _vulnerability(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    places = [
        {key: one[key] for key in ("path", "line", "rule", "severity", "message")} for one in found
    ]
    return {"weakness": name, "count": len(found), "places": places}


def _counted(found: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in found:
        counts[one["severity"]] = counts.get(one["severity"], 0) + 1
    return dict(sorted(counts.items()))


def _place(one: Mapping[str, Any]) -> tuple[str, int, int, str]:
    return one["path"], one["line"], one["column"], one["rule"]


def _said(error: Mapping[str, Any]) -> str:
    return " ".join(str(error.get("message", "")).split())[:_LONGEST]
