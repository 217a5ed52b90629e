"""From the findings of a scan to those of `vulnerability_analysis`: by weakness. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERIOUS = "ERROR"
"""The severity that `analysis` takes up."""
_PLACE = (
    "path", "line", "end_line", "rule", "severity", "confidence", "message", "code", "fix",
    "engines",
)  # fmt: skip


def analysis(scan: Mapping[str, Any]) -> dict[str, Any]:
    """The serious findings by weakness, those with the most places first.

    A weakness is the CWE that the rule names; a rule without one stands for itself.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    serious = [one for one in scan["findings"] if one["severity"] == SERIOUS]
    for one in serious:
        groups.setdefault((one["cwe"] or [one["rule"]])[0], []).append(one)
    order = sorted(groups, key=lambda name: (-len(groups[name]), name))
    left = {key: value for key, value in scan.items() if key not in ("findings", "by_severity")}
    return {
        "vulnerabilities": [_vulnerability(name, groups[name]) for name in order],
        "count": len(serious) + scan["left_out"],
        **left,
    }


def summary(scan: Mapping[str, Any]) -> str:
    """One line for who reads text only."""
    totals = scan["totals"]
    count = scan.get("count", len(scan.get("findings", ())))
    words = f"{count} findings in {totals['scanned']} of {totals['files']} files"
    for name in ("not_scanned", "failed"):
        if totals[name]:
            words += f", {totals[name]} {name.replace('_', ' ')}"
    troubled = [engine["name"] for engine in scan["engines"] if "problem" in engine]
    return words + (f"; trouble with {', '.join(troubled)}" if troubled else "")


def _vulnerability(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    places = [{key: one[key] for key in _PLACE} for one in found]
    return {"weakness": name, "count": len(found), "places": places}
