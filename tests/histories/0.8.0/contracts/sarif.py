"""From the answer of `security_scan` to SARIF 2.1.0, as code hosts and editors read it. Pure."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

NAME = "MetaMCP security scan"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "%SRCROOT%"
_LEVELS = {"ERROR": "error", "WARNING": "warning", "INFO": "note"}
_SCORES = {"ERROR": "8.0", "WARNING": "5.0", "INFO": "2.0"}
"""For `security-severity`, a number from 0 to 10 as in CVSS: high, medium, low."""
_SEVERITIES = tuple(_SCORES)
_WORD = re.compile(r"[A-Za-z0-9]+")
_CWE = re.compile(r"(?i)\bcwe-?(\d+)")

Finding = Mapping[str, Any]


def sarif(answer: Mapping[str, Any], version: str = "") -> dict[str, Any]:
    """One log with one run; `version` is that of the product, if it is to be named.

    Files that were not scanned, and engines that failed, are told as notifications.
    """
    findings: Sequence[Finding] = answer.get("findings", ())
    rules = _rules(findings)
    places = {rule["id"]: number for number, rule in enumerate(rules)}
    driver: dict[str, Any] = {"name": NAME, "rules": rules}
    if version:
        driver["version"] = driver["semanticVersion"] = version
    engines = answer.get("engines", ())
    run = {
        "tool": {"driver": driver, "extensions": [_engine(engine) for engine in engines]},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder that was scanned."}}},
        "invocations": [_invocation(answer)],
        "results": _results(findings, places),
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rules(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    first: dict[str, Finding] = {}
    worst: dict[str, str] = {}
    for one in findings:
        rule, severity = one["rule"], one["severity"]
        first.setdefault(rule, one)
        worst[rule] = min(worst.get(rule, severity), severity, key=_SEVERITIES.index)
    return [_rule(rule, first[rule], worst[rule]) for rule in sorted(first)]


def _rule(rule: str, one: Finding, severity: str) -> dict[str, Any]:
    cwes = [found[1] for cwe in one["cwe"] if (found := _CWE.search(cwe))]
    described = {
        "id": rule,
        "shortDescription": {"text": (one["cwe"] or [rule])[0]},
        "fullDescription": {"text": one["message"] or rule},
        "help": {"text": one["fix"], "markdown": one["fix"]},
        "defaultConfiguration": {"level": _LEVELS[severity]},
        "properties": {
            "tags": ["security", *(f"external/cwe/cwe-{number}" for number in cwes)],
            "precision": one["confidence"].lower(),
            "security-severity": _SCORES[severity],
        },
    }
    if (name := "".join(part.capitalize() for part in _WORD.findall(rule))) != rule:
        described["name"] = name
    if cwes:
        described["helpUri"] = f"https://cwe.mitre.org/data/definitions/{cwes[0]}.html"
    return described


def _results(findings: Iterable[Finding], places: Mapping[str, int]) -> list[dict[str, Any]]:
    seen: Counter[str] = Counter()
    results = []
    for one in findings:
        print_ = _fingerprint(one)
        seen[print_] += 1
        results.append(_result(one, places[one["rule"]], f"{print_}:{seen[print_]}"))
    return results


def _result(one: Finding, index: int, fingerprint: str) -> dict[str, Any]:
    place = {"artifactLocation": _file(one["path"]), "region": _region(one)}
    more = {key: one[key] for key in ("confidence", "cwe", "engines", "rules", "fix")}
    return {
        "ruleId": one["rule"],
        "ruleIndex": index,
        "level": _LEVELS[one["severity"]],
        "message": {"text": one["message"] or one["rule"]},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"primaryLocationLineHash": fingerprint},
        "properties": more,
    }


def _region(one: Finding) -> dict[str, Any]:
    line, end_line, column = one["line"], max(one["line"], one["end_line"]), one["column"]
    region = {"startLine": line, "endLine": end_line, "startColumn": column}
    end_column = one.get("end_column")
    if end_column is not None and (end_line > line or end_column > column):
        region["endColumn"] = end_column
    return {**region, "snippet": {"text": one["code"]}}


def _fingerprint(one: Finding) -> str:
    """The same wherever the line stands in its file, and however it is indented."""
    text = "\0".join([one["path"], one["rule"], " ".join(one["code"].split())])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _file(path: str) -> dict[str, Any]:
    return {"uri": quote(path, safe="/", errors="surrogateescape"), "uriBaseId": _ROOT}


def _engine(engine: Mapping[str, Any]) -> dict[str, Any]:
    named = {"name": engine["name"]}
    return {**named, "version": engine["version"]} if engine.get("version") else named


def _invocation(answer: Mapping[str, Any]) -> dict[str, Any]:
    told = [_untold(one, "note") for one in answer.get("not_scanned", ())]
    told += [_untold(one, "error") for one in answer.get("failed", ())]
    troubled = [one for one in answer.get("engines", ()) if one.get("problem")]
    told += [
        {
            "level": "error",
            "descriptor": {"id": "engine_failed"},
            "message": {"text": f"{one['name']}: {one['problem']}"},
        }
        for one in troubled
    ]
    return {"executionSuccessful": not troubled, "toolExecutionNotifications": told}


def _untold(one: Mapping[str, Any], level: str) -> dict[str, Any]:
    return {
        "level": level,
        "descriptor": {"id": one["reason"]},
        "message": {"text": one["message"] or one["reason"]},
        "locations": [{"physicalLocation": {"artifactLocation": _file(one["path"])}}],
    }
