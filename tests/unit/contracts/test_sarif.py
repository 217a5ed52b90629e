"""The SARIF of any answer is valid by the standard's own schema, and stable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sarif import sarif

SCHEMA = json.loads((Path(__file__).parents[2] / "support" / "sarif-2.1.0.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
PATHS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
TEXT = st.text(max_size=12)


def finding(**other: Any) -> dict[str, Any]:
    made = {
        "path": "src/a b.py", "line": 3, "end_line": 3, "column": 5, "end_column": 21,
        "rule": "python-os-system", "severity": "ERROR", "confidence": "HIGH",
        "cwe": ["CWE-78: OS command injection"], "message": "A shell.", "code": "    os.system(x)",
        "fix": "Use a list.", "engines": ["semgrep"], "rules": {"semgrep": "python-os-system"},
    }  # fmt: skip
    return {**made, **other}


FINDINGS = st.builds(
    finding,
    path=PATHS,
    line=st.integers(1, 9),
    end_line=st.integers(1, 9),
    column=st.integers(1, 9),
    end_column=st.integers(1, 9),
    rule=st.sampled_from(["a", "b-1", "SC2115"]),
    severity=st.sampled_from(["ERROR", "WARNING", "INFO"]),
    cwe=st.sampled_from([[], ["CWE-78: x"], ["CWE-79", "weak"]]),
    message=TEXT,
    code=TEXT,
)
FILES = st.lists(st.builds(lambda p, m: {"path": p, "reason": "binary", "message": m}, PATHS, TEXT))


@given(st.lists(FINDINGS, max_size=8), FILES, FILES, st.sampled_from(["", "2.0.0"]))
def test_every_log_is_valid(
    findings: list[dict[str, Any]],
    not_scanned: list[dict[str, Any]],
    failed: list[dict[str, Any]],
    version: str,
) -> None:
    engines = [{"name": "semgrep", "version": "1", "problem": "p"}, {"name": "bandit"}]
    answer = {
        "findings": findings,
        "not_scanned": not_scanned,
        "failed": failed,
        "engines": engines,
    }
    log = sarif(answer, version)
    VALIDATOR.validate(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(findings)
    for result, one in zip(run["results"], findings, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == one["rule"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert unquote(place["uri"]) == one["path"]
    prints = [one["partialFingerprints"]["primaryLocationLineHash"] for one in run["results"]]
    assert len(set(prints)) == len(prints)
    told = run["invocations"][0]["toolExecutionNotifications"]
    assert len(told) == len(not_scanned) + len(failed) + 1


def test_an_empty_answer_is_a_run_without_results() -> None:
    log = sarif({})
    VALIDATOR.validate(log)
    assert log["runs"][0]["results"] == []
    assert log["runs"][0]["invocations"][0]["executionSuccessful"] is True


def test_a_finding_has_what_code_scanning_shows() -> None:
    (run,) = sarif({"findings": [finding()]}, "2.0.0")["runs"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["name"] == "PythonOsSystem"
    assert rule["help"]["text"] == "Use a list."
    assert rule["properties"]["tags"] == ["security", "external/cwe/cwe-78"]
    assert float(rule["properties"]["security-severity"]) >= 7
    (result,) = run["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "src/a%20b.py", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {
        "startLine": 3, "startColumn": 5, "endLine": 3, "endColumn": 21,
        "snippet": {"text": "    os.system(x)"},
    }  # fmt: skip
    assert result["level"] == "error"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"line": 90, "end_line": 90, "column": 9, "code": "\tos.system(x)"}, True),
        ({"code": "os.system(y)"}, False),
        ({"path": "other.py"}, False),
        ({"rule": "other"}, False),
    ],
)
def test_a_finding_is_known_again_when_its_line_has_moved(
    other: dict[str, Any], same: bool
) -> None:
    prints = [
        sarif({"findings": [one]})["runs"][0]["results"][0]["partialFingerprints"]
        for one in (finding(), finding(**other))
    ]
    assert (prints[0] == prints[1]) is same
