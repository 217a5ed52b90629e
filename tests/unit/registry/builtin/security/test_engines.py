"""What the engines write becomes findings of the task's files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.registry.builtin.security.engines import (
    bandit,
    detect_secrets,
    hadolint,
    lines,
    semgrep,
    shellcheck,
    zizmor,
)
from services.registry.builtin.security.engines.base import Rules, ScanTarget
from services.registry.builtin.security.weaknesses import WEAKNESSES

TARGETS = [ScanTarget("tool", "tool.py", "python"), ScanTarget("b.ts", "b.ts", "typescript")]
MATCH = {
    "path": "./tool.py",
    "check_id": "r",
    "start": {"line": 2, "col": 3},
    "end": {"line": 2, "col": 9},
    "extra": {"severity": "HIGH", "message": "m", "metadata": {"cwe": "CWE-78: x", "fix": "Do."}},
}


def test_a_match_of_semgrep_is_told_by_the_tasks_own_name() -> None:
    (one,) = semgrep.ran({"results": [MATCH]}, TARGETS).found
    assert (one.path, one.line, one.column, one.end_column) == ("tool", 2, 3, 9)
    assert (one.severity, one.confidence, one.cwe, one.fix) == (
        "ERROR", "MEDIUM", ("CWE-78: x",), "Do.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "failed", "remarked"),
    [
        ("Syntax error", True, False),
        (["PartialParsing", []], False, True),
        ("Timeout", False, True),
    ],
)
def test_a_file_that_semgrep_can_not_parse_is_told(kind: Any, failed: bool, remarked: bool) -> None:
    error = {"type": kind, "level": "warn", "path": "./b.ts", "message": "line  3"}
    ran = semgrep.ran({"results": [], "errors": [error]}, TARGETS)
    assert (("b.ts" in ran.failed), ("b.ts" in ran.remarks)) == (failed, remarked)
    assert semgrep.broken_rule({"errors": [error]}) == ""


def test_a_rule_that_can_not_be_used_is_told() -> None:
    assert semgrep.broken_rule({"errors": [{"level": "error", "message": "no  id"}]}) == "no id"


@pytest.mark.parametrize(
    ("languages", "include", "language", "name", "counts"),
    [
        (["python"], (), "python", "a.py", Rules(1)),
        (["js"], (), "jsx", "a.jsx", Rules(1)),
        (["javascript"], (), "typescript", "a.ts", Rules(0)),
        (["ts"], (), "tsx", "a.tsx", Rules(1)),
        (["bash"], (), "shell", "a.sh", Rules(1)),
        (["c++"], (), "cpp", "a.cpp", Rules(1)),
        (["regex"], (), "lua", "a.lua", Rules(0, 1)),
        (["generic"], ("*.sql",), "sql", "sub/a.sql", Rules(1)),
        (["generic"], ("*.sql",), "lua", "a.lua", Rules(0)),
        (["yaml"], (".github/workflows/*.yml",), "yaml", ".github/workflows/a.yml", Rules(1)),
    ],
)
def test_which_files_a_rule_is_for(
    languages: list[str], include: tuple[str, ...], language: str, name: str, counts: Rules
) -> None:
    rule = semgrep.Rule("r", tuple(languages), include)
    assert semgrep.counted(rule, ScanTarget(name, name, language)) == counts


def test_a_worker_that_ends_early_has_told_what_it_did() -> None:
    issue = {
        "test": "B602", "severity": "HIGH", "confidence": "HIGH", "text": "t", "line": 3,
        "end_line": 3, "column": 5,
    }  # fmt: skip
    output = json.dumps({"name": "tool.py", "found": [issue]}).encode() + b'\n{"name": "b.t'
    done, ran = lines.answers(output, TARGETS, bandit.findings)
    assert (done, [(one.path, one.rule) for one in ran.found]) == (1, [("tool", "B602")])
    error = b'{"name": "tool.py", "error": "syntax error while parsing AST from file"}\n'
    assert lines.answers(error, TARGETS, bandit.findings)[1].failed["tool"][0] == "parse_error"


def test_what_bandit_calls_low_is_harmless() -> None:
    raw = {
        "test": "B602", "severity": "LOW", "confidence": "HIGH", "text": "t", "line": 3,
        "end_line": 3, "column": 5,
    }  # fmt: skip
    assert list(bandit.findings(TARGETS[0], raw)) == []


SECRETS = ["hU7-kl0Pq2" + "zLm91Xy", "Tr0ub4dor" + "&3xk", "9f86d081884c7d65" + "9a2feaa0c55ad015"]


@pytest.mark.parametrize("value", SECRETS)
def test_a_value_that_looks_like_a_secret_is_one(value: str) -> None:
    assert detect_secrets.likely(value, f"password = '{value}'")


@pytest.mark.parametrize(
    "value",
    [
        "short1", "changeme123", "your-password-here1", "<password1>", "${DB_PASSWORD1}",
        "xxxxxxxxxxx1", "password123", "user.password.label", "PASSWORD_RESET_2", "test_pass_99",
        "get_secret(1)", "/run/secrets/db1", "https://a.b/c1", "Enter your password 1", "aaaaaaaa1",
    ],
)  # fmt: skip
def test_placeholders_names_and_words_are_no_secrets(value: str) -> None:
    assert not detect_secrets.likely(value, f"password = '{value}'")


def test_a_value_that_is_looked_up_is_no_secret() -> None:
    assert not detect_secrets.likely(SECRETS[0], f"password = os.environ['{SECRETS[0]}']")


def test_only_remarks_of_shellcheck_that_matter_are_told() -> None:
    place = {
        "file": "./tool.py",
        "line": 2,
        "endLine": 2,
        "column": 1,
        "endColumn": 5,
        "message": "m",
    }
    comments = [
        {**place, "level": "warning", "code": 2115},
        {**place, "level": "info", "code": 2086},
        {**place, "file": "./b.ts", "level": "error", "code": 1073},
    ]
    ran = shellcheck.ran(comments, TARGETS)
    assert [one.rule for one in ran.found] == ["SC2115"]
    assert ran.failed == {"b.ts": ("parse_error", "line 2: m")}


def test_a_dockerfile_that_hadolint_can_not_read_is_told() -> None:
    place = {"file": "/x/Dockerfile", "line": 2, "column": 1, "level": "error", "message": "m"}
    remarks = [
        {**place, "code": "DL1000"},
        {**place, "code": "DL3002"},
        {**place, "code": "DL3059"},
    ]
    ran = hadolint.ran(remarks, {"/x/Dockerfile": "Dockerfile"})
    assert ran.failed == {"Dockerfile": ("parse_error", "line 2: m")}
    assert [(one.rule, one.severity) for one in ran.found] == [("DL3002", "WARNING")]


def test_a_finding_of_zizmor_is_at_its_primary_place() -> None:
    def location(kind: str, row: int) -> dict[str, Any]:
        point = {"row": row, "column": 4}
        symbolic = {"key": {"Local": {"verbatim_path": "./b.ts"}}, "kind": kind}
        concrete = {"location": {"start_point": point, "end_point": {"row": row, "column": 9}}}
        return {"symbolic": symbolic, "concrete": concrete}

    raw = {
        "ident": "template-injection",
        "desc": "code injection",
        "determinations": {"severity": "High", "confidence": "Low"},
        "locations": [location("Related", 1), location("Primary", 6)],
    }
    (one,) = zizmor.findings(raw, {"b.ts": "b.ts"})
    assert (one.line, one.column, one.end_column) == (7, 5, 10)
    assert (one.severity, one.confidence) == ("ERROR", "LOW")
    assert list(zizmor.findings({**raw, "ident": "unpinned-uses"}, {"b.ts": "b.ts"})) == []


def test_every_rule_of_a_table_has_a_known_weakness_and_advice() -> None:
    cwes = [test.cwe for test in bandit.CHECKS.values()]
    cwes += [remark.cwe for remark in hadolint.CODES.values()]
    cwes += [cwe for cwe, _ in zizmor.AUDITS.values()]
    assert sorted(set(cwes) - WEAKNESSES.keys()) == []
    advice = [remark.fix for remark in hadolint.CODES.values()]
    advice += [fix for _, fix in zizmor.AUDITS.values()]
    assert all(len(one) > 10 for one in advice)
