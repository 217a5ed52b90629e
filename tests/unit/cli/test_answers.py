"""Answers as tables: by type and shape, with nothing cut, lost or played on the terminal."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cli.answers import check_sarif, write_sarif
from services.cli.common import CliError, Exit, Out
from services.cli.show.answers import RENDERERS, answer
from services.cli.show.findings import level, worst
from services.cli.show.shape import Detail
from services.cli.show.symbols import nested
from services.process import files
from tests.unit.cli.test_fitted import shown

FINDING = {
    "path": "src/app.py",
    "line": 12,
    "end_line": 13,
    "column": 5,
    "rule": "python-os-system",
    "severity": "ERROR",
    "confidence": "HIGH",
    "cwe": ["CWE-78: OS command injection"],
    "message": "A command that is not fixed goes through a shell.",
    "code": "os.system(name)\n  # and more",
    "fix": "Call subprocess.run with a list.",
    "engines": ["semgrep"],
    "rules": ["python-os-system"],
}
SCAN: dict[str, Any] = {
    "findings": [
        FINDING | {"path": "b.py", "severity": "WARNING", "rule": "weak-hash", "cwe": []},
        FINDING,
        FINDING | {"line": 40},
    ],
    "left_out": 0,
    "by_severity": {"ERROR": 2, "WARNING": 1},
    "scanned": [{"path": "src/app.py"}, {"path": "b.py"}],
    "not_scanned": [
        {"path": f"{number}.xyz", "reason": "no_rules", "message": "no rule is for it"}
        for number in range(5)
    ],
    "failed": [{"path": "c.py", "reason": "timeout", "message": "it took too long"}],
    "engines": [
        {"name": "semgrep", "version": "1.2", "rules": 1200, "seconds": 2.0},
        {"name": "bandit", "version": "1.9", "rules": 60, "problem": "it could not be started"},
    ],
    "totals": {"files": 8, "scanned": 2, "not_scanned": 5, "failed": 1},
}


def _symbol(name: str, kind: str, first: int, last: int) -> dict[str, Any]:
    lines = {"start": {"line": first, "column": 1}, "end": {"line": last, "column": 1}}
    return {"name": name, "kind": kind, "range": lines}


FILE = {
    "path": "src/app.py",
    "language": "python",
    "encoding": "utf-8",
    "lines": {"total": 60, "code": 40, "comment": 8, "blank": 12},
    "symbols": [
        _symbol("App", "class", 3, 50),
        _symbol("run", "method", 5, 20),
        _symbol("inner", "function", 8, 12),
        _symbol("stop", "method", 22, 30),
        _symbol("main", "function", 52, 60),
    ],
    "imports": [{"module": "os", "line": 1}, {"module": "re", "names": ["sub"], "line": 2}],
    "functions": [
        {"name": "App.run", "line": 5, "end_line": 20, "complexity": 11, "parameters": 1},
        {"name": "main", "line": 52, "end_line": 60, "complexity": 2},
    ],
    "errors": [{"line": 33, "column": 4, "message": "a bracket is missing"}],
    "remarks": ["one line is very long"],
}
FOLDER = {
    "files": [FILE, {"path": "web/x.ts", "language": "typescript", "symbols": [], "lines": {}}],
    "totals": {"files": 2, "by_language": {"python": 1, "typescript": {"files": 1, "lines": 9}}},
    "not_analyzed": [{"path": "a.bin", "reason": "binary", "message": ""}],
    "failed": [{"path": "b.py", "reason": "timeout", "message": "it took too long"}],
}
MATCHES = {
    "matches": [_symbol("", "", 7, 8) | {"path": "src/app.py", "text": "print(x)\n  more"}],
    "left_out": 3,
}
LOG = {
    "commits": [
        {
            "id": "a" * 40,
            "short_id": "aaaaaaa",
            "author": {"name": "Ann", "mail": "a@b.c", "time": "2026-01-31T12:00:00+00:00"},
            "subject": "Say what it does",
            "refs": ["HEAD", "refs/heads/main"],
        }
    ],
    "next": {"revision": "a" * 40, "skip": 1},
}
STATUS = {
    "branch": "main",
    "upstream": "origin/main",
    "ahead": 2,
    "behind": 0,
    "under_way": ["merge"],
    "entries": [
        {"path": "new.py", "old_path": "old.py", "state": "changed", "index": "renamed"},
        {"path": "x.py", "state": "untracked"},
        {"path": "y.py", "state": "conflict", "conflict": "both modified"},
    ],
}
ANSWERS = {
    "security_scan": SCAN,
    "vulnerability_analysis": {
        "vulnerabilities": [
            {"weakness": "CWE-78: OS command injection", "count": 1, "places": [FINDING]}
        ],
        "count": 1,
    },
    "code_analysis": FILE,
    "code_search": MATCHES,
    "git_log": LOG,
    "git_status": STATUS,
}


def told(structured: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": "x"}], "structured": structured}


USUAL = Detail()


def tables(type_: str, structured: Any, width: int = 120, detail: Detail = USUAL) -> str:
    found = answer(type_, told(structured), detail)
    assert found is not None
    return shown(found, width)


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_findings_are_a_table_the_most_serious_first() -> None:
    lines = words(tables("security_scan", SCAN, 140))
    assert lines[0] == ["severity", "place", "rule", "weakness", "what"]
    rows = [line for line in lines if line and line[0] in ("ERROR", "WARNING")]
    assert [row[1] for row in rows] == ["src/app.py:12", "src/app.py:40", "b.py:12"]
    assert rows[0][2:4] == ["python-os-system", "CWE-78"]
    assert ["src/app.py", "2"] in lines
    assert ["os.system(name)"] in lines


def test_what_was_scanned_and_what_was_not_is_said_with_the_reason() -> None:
    text = tables("security_scan", SCAN)
    assert "3 findings: 2 ERROR, 1 WARNING" in text
    assert "scanned: 2 of 8 files with semgrep 1.2 (1,200 rules), bandit 1.9 (60 rules)" in text
    assert "not scanned: 5 files, no_rules: 0.xyz, 1.xyz, 2.xyz, and 2 more" in text
    assert "failed: c.py it took too long" in text
    assert "bandit: it could not be started" in text
    everything = tables("security_scan", SCAN, detail=Detail(rows=None))
    assert "3.xyz, 4.xyz" in " ".join(everything.split())
    assert "no findings" in tables("security_scan", SCAN | {"findings": [], "by_severity": {}})
    left = tables("security_scan", SCAN | {"left_out": 7})
    assert "10 findings" in left
    assert "7 of them are not listed" in left


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_findings_on_a_narrow_terminal_lose_nothing(width: int) -> None:
    text = tables("security_scan", SCAN, width)
    for word in ("ERROR", "src/app.py:12", "python-os-system", "CWE-78", "os.system(name)"):
        assert word in text, text
    assert "goes through a shell." in " ".join(text.split())


def test_more_is_shown_when_it_is_asked_for() -> None:
    assert "subprocess.run" not in tables("security_scan", SCAN)
    full = tables("security_scan", SCAN, detail=Detail(full=True))
    for word in ("fix: Call subprocess.run", "# and more", "confidence: HIGH", "engines: semgrep"):
        assert word in full
    many = SCAN | {"findings": [FINDING | {"line": line} for line in range(1, 183)]}
    text = tables("security_scan", many)
    assert "… and 132 more: --all or --json" in text
    assert "src/app.py:50 " in text
    assert "src/app.py:51 " not in text
    assert "src/app.py:182 " in tables("security_scan", many, detail=Detail(rows=None))


def test_weaknesses_are_shown_with_their_places() -> None:
    text = tables("vulnerability_analysis", ANSWERS["vulnerability_analysis"])
    assert "CWE-78: OS command injection: 1 place" in text
    assert "src/app.py:12  python-os-system" in text
    assert "1 serious weakness\n" in text


def test_symbols_of_one_file_are_nested_by_their_lines() -> None:
    text = tables("code_analysis", FILE, 80)
    assert text.splitlines()[0].split() == ["src/app.py", "python", *text.split()[2:11]]
    assert "lines: 60 total, 40 code, 8 comment, 12 blank" in text
    rows = [line.rstrip() for line in text.splitlines()]
    assert rows[2:7] == [
        "class     App         3-50",
        "method      run       5-20          11",
        "function      inner   8-12",
        "method      stop     22-30",
        "function  main       52-60           2",
    ]
    assert "imports: os, re" in text
    assert "syntax error: src/app.py:33 a bracket is missing" in text
    assert "one line is very long" in text


def test_a_folder_has_a_row_for_each_file_and_totals() -> None:
    text = tables("code_analysis", FOLDER)
    assert ["src/app.py", "python", "60", "5", "2", "11"] in words(text)
    assert ["web/x.ts", "typescript", "0", "0", "0"] in words(text)
    assert "2 files: 1 python, 1 typescript" in text
    assert "not analyzed: 1 file, binary: a.bin" in text
    assert "failed: b.py it took too long" in text
    assert "syntax error: src/app.py:33" in text


def test_matches_commits_and_changes_are_tables_too() -> None:
    text = tables("code_search", MATCHES)
    assert "src/app.py:7  print(x)" in text
    assert "4 matches; 3 of them are not listed" in text
    text = tables("git_log", LOG)
    assert "aaaaaaa  2026-01-31  Ann" in text
    assert "a" * 40 in tables("git_log", LOG, detail=Detail(full=True))
    assert "skip 1" in text
    text = tables("git_status", STATUS)
    assert "on main, 2 ahead of origin/main and 0 behind; under way: merge" in text
    assert ["renamed", "old.py", "→", "new.py"] in words(text)
    assert ["untracked", "x.py"] in words(text)
    assert ["both", "modified", "y.py"] in words(text)
    assert "nothing has changed" in tables("git_status", STATUS | {"entries": []})


@pytest.mark.parametrize("type_", RENDERERS)
def test_another_shape_or_type_stays_json(type_: str) -> None:
    others = [
        {},
        {"findings": "many"},
        {"findings": [1]},
        {"commits": [{}]},
        {"files": {}},
        [],
        "x",
    ]
    for other in others:
        assert answer(type_, told(other), Detail()) is None
    assert answer(type_, {"outputs": {"symbols": told({})}}, Detail()) is None
    assert answer("other", told(ANSWERS[type_]), Detail()) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("type_", RENDERERS)
@settings(max_examples=25)
@given(data=st.data())
def test_no_answer_can_break_the_output_or_play_with_the_terminal(type_: str, data: Any) -> None:
    odd = JSON | st.sampled_from(["\x1b[2J[red]\nx\u202e", ["\x1b]0;t\x07"], "\r\x9b"])

    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            value = {name: spoilt(inner) for name, inner in value.items()}
        elif isinstance(value, list):
            value = [spoilt(inner) for inner in value]
        return data.draw(odd) if data.draw(st.integers(0, 9)) == 0 else value

    whole = [ANSWERS[type_], *([FOLDER] if type_ == "code_analysis" else [])]
    given_ = spoilt(data.draw(st.sampled_from(whole)))
    detail = Detail(data.draw(st.sampled_from([1, None])), data.draw(st.booleans()))
    found = answer(type_, told(given_), detail)
    if found is not None:
        text = shown(found, data.draw(st.sampled_from([40, 120])))
        assert all(char == "\n" or char.isprintable() for char in text)


def test_nesting_needs_ranges_and_survives_without_them() -> None:
    assert [depth for depth, _ in nested([{"name": "a"}, {"name": "b"}])] == [0, 0]
    one_line = [_symbol("a", "f", 3, 3), _symbol("b", "f", 3, 3), _symbol("c", "f", 4, 4)]
    assert [depth for depth, _ in nested(one_line)] == [0, 0, 0]


def test_how_serious_the_worst_finding_is() -> None:
    assert worst({"findings": []}) == -1
    assert worst({"findings": [], "by_severity": {"WARNING": 3, "ERROR": 0}}) == 1
    assert worst({"findings": [{"severity": "critical"}]}) == 2
    assert [level(name) for name in ("HIGH", "medium", "LOW", "NOTE", None)] == [
        "ERROR", "WARNING", "INFO", "INFO", "INFO",
    ]  # fmt: skip


def test_sarif_takes_the_place_of_what_was_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.sarif"
    path.write_text("old")
    path.chmod(0o600)
    old = os.umask(0o022)
    try:
        write_sarif(Out(as_json=True), told(SCAN), path)
    finally:
        os.umask(old)
    log = msgspec.json.decode(path.read_bytes())
    assert log["version"] == "2.1.0"
    assert len(log["runs"][0]["results"]) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["out.sarif"]


def test_sarif_that_can_not_be_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "out.sarif"
    path.write_text("old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(CliError, match="can't be written: No space left") as caught:
        write_sarif(Out(as_json=True), told(SCAN), path)
    assert caught.value.code is Exit.FAILED
    assert os.listdir(tmp_path) == ["out.sarif"]
    assert path.read_text() == "old"
    for other in ({"bugs": []}, {"findings": [1]}, {"findings": [{"path": "a.py"}]}):
        with pytest.raises(CliError, match="there is no SARIF of it"):
            write_sarif(Out(as_json=True), told(other), path)


def test_sarif_is_for_scans_and_for_one_place(tmp_path: Path) -> None:
    out = Out(as_json=True)
    for type_, file in (
        ("code_analysis", tmp_path / "a"),
        ("security_scan", Path("-")),
        ("security_scan", tmp_path / "no" / "a"),
    ):
        with pytest.raises(CliError) as caught:
            check_sarif(out, type_, file)
        assert caught.value.code is Exit.USAGE
    check_sarif(out, "security_scan", tmp_path / "a")
    check_sarif(out, "code_analysis", None)
