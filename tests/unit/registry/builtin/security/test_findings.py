"""What several engines found becomes one list, without a secret in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.builtin.security import findings, report, weaknesses
from services.registry.builtin.security.engines.base import Found
from tests.unit.registry.builtin.security.samples import BY_ENGINE, LINES, found

SHELL = ["subprocess.run('ls ' + name, shell=True)"]


def test_the_same_weakness_of_one_place_is_told_once() -> None:
    semgrep = found(rule="python-subprocess-shell", confidence="HIGH", fix="A list.")
    bandit = found(rule="B602", severity="WARNING", cwe=("CWE-77",), column=8)
    (one,) = findings.merged({"semgrep": [semgrep], "bandit": [bandit]}, {"a.py": SHELL})
    assert one["engines"] == ["bandit", "semgrep"]
    assert one["rules"] == {"semgrep": "python-subprocess-shell", "bandit": "B602"}
    assert (one["rule"], one["severity"], one["confidence"]) == (semgrep.rule, "ERROR", "HIGH")
    assert (one["code"], one["fix"]) == (SHELL[0], "A list.")


def test_other_weaknesses_and_other_lines_stay_apart() -> None:
    many = {
        "semgrep": [found()],
        "bandit": [found(cwe=("CWE-327",)), found(line=2), found(path="b.py")],
    }
    assert len(findings.merged(many, {})) == 4


def test_one_engine_may_find_two_of_a_kind_in_one_line() -> None:
    two = [found(rule="a", column=1), found(rule="b", column=30)]
    assert len(findings.merged({"semgrep": two}, {})) == 2
    same = [found(rule="a"), found(rule="b")]
    (one,) = findings.merged({"semgrep": same}, {})
    assert one["rules"] == {"semgrep": "a, b"}


def test_what_is_often_wrong_is_told_only_if_another_engine_agrees() -> None:
    unsure = found(rule="B608", alone=False)
    assert findings.merged({"bandit": [unsure]}, {}) == []
    (one,) = findings.merged({"bandit": [unsure], "semgrep": [found(rule="sql")]}, {})
    assert (one["rule"], one["rules"]) == ("sql", {"bandit": "B608", "semgrep": "sql"})


@given(BY_ENGINE, LINES)
def test_every_finding_is_told_and_in_order(
    many: Mapping[str, Sequence[Found]], lines: Mapping[str, Sequence[str]]
) -> None:
    told = findings.merged(many, lines)
    assert told == sorted(told, key=lambda one: (one["path"], one["line"], one["column"]))
    for engine, several in many.items():
        for one in several:
            if one.alone:
                assert any(_holds(other, engine, one) for other in told)
    for one in told:
        assert one["fix"]
        assert one["engines"] == sorted(one["rules"])
        assert len(one["code"]) <= findings.MOST_CODE
        assert 1 <= one["line"] <= one["end_line"]
    assert findings.merged(many, lines) == told


def _holds(told: Mapping[str, object], engine: str, one: Found) -> bool:
    rules = told["rules"]
    assert isinstance(rules, dict)
    return told["path"] == one.path and one.rule in rules.get(engine, "").split(", ")


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=60),
    st.sampled_from(["password = '{}'", 'x("{}", 1)', "TOKEN={}", "{}", "a 'b' == '{}' c"]),
    st.booleans(),
)
def test_a_secret_is_never_shown_whole(secret: str, line: str, exact: bool) -> None:
    text = line.format(secret)
    start = text.index(secret) + 1 if exact else 1
    end = start + len(secret) if exact else len(text) + 1
    place = found(secret=True, column=start, end_column=end, in_bytes=False, cwe=("CWE-798",))
    other = found(
        rule="other", cwe=("CWE-79",), message=f"see {secret}" if len(secret) > 15 else ""
    )
    told = findings.merged({"detect-secrets": [place], "semgrep": [other]}, {"a.py": [text]})
    assert len(told) == 2
    assert all(secret not in one["code"] for one in told)
    if exact:
        assert f"{secret[:4]}********" in told[0]["code"]


def test_a_key_in_one_line_is_hidden_to_its_end() -> None:
    key = "-----BEGIN RSA " + "PRIVATE KEY-----" + "\\nMIIB\\nAAAA short"
    (one,) = findings.merged(
        {"detect-secrets": [found(secret=True, column=7, end_column=12)]}, {"a.py": [key]}
    )
    assert "MIIB" not in one["code"]
    assert "short" not in one["code"]


def test_columns_count_characters() -> None:
    line = '    "é€😀"; os.system("é" + n)'
    column = line.index("os.") + 1
    at = len(line[: column - 1].encode()) + 1
    placed = findings.in_characters(found(column=at, end_column=len(line.encode()) + 1), [line])
    assert (placed.column, placed.end_column) == (column, len(line) + 1)
    assert findings.in_characters(placed, [line]) == placed


def test_only_what_is_serious_enough_is_left() -> None:
    many = [found(line=n, severity=one) for n, one in enumerate(findings.SEVERITIES, 1)]
    told = findings.merged({"semgrep": many}, {})
    counts = [len(findings.at_least(told, severity)) for severity in findings.SEVERITIES]
    assert counts == [1, 2, 3]


def test_serious_findings_are_grouped_by_weakness() -> None:
    many = [found(line=1), found(line=3), found(line=5, cwe=()), found(line=7, severity="INFO")]
    told = findings.merged({"semgrep": many}, {})
    scan = {"findings": told, "left_out": 2, "by_severity": {}, "totals": {}}
    analysis = report.analysis(scan)
    groups = [(one["weakness"], one["count"]) for one in analysis["vulnerabilities"]]
    assert groups == [("CWE-78: OS command injection", 2), ("r", 1)]
    assert analysis["count"] == 5, "those that are left out are counted"
    assert "findings" not in analysis


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["CWE-78: x"], ["CWE-78"], True),
        (["cwe-89"], ["CWE-943: NoSQL"], True),
        (["CWE-89"], ["CWE-79"], False),
        ([], [], False),
        (["weak"], ["weak"], False),
    ],
)
def test_weaknesses_are_compared_by_number_and_kin(
    one: list[str], other: list[str], same: bool
) -> None:
    assert weaknesses.kin(one, other) is weaknesses.kin(other, one) is same


def test_every_weakness_has_a_way_to_mend_it() -> None:
    for number, (name, fix) in weaknesses.WEAKNESSES.items():
        assert name
        assert fix.endswith("."), number
        assert weaknesses.fix([weaknesses.named(number)]) == fix
    assert weaknesses.fix(["CWE-99999"]) == weaknesses.ANY_FIX
