"""What the console makes of scans and stories: SARIF like ours, findings as rows, spans."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import FailureKind, Outcome, encode
from contracts.sarif import sarif
from services.gateway.console.assets import WEB
from tests.support import facts as make
from tests.support.node import node
from tests.unit.contracts.test_sarif import finding

FILE = {"path": "a/ä (1)'s*.bin", "reason": "binary", "message": ""}
ANSWERS: tuple[dict[str, Any], ...] = (
    {"findings": [], "engines": []},
    {
        "findings": [
            finding(),
            finding(line=9, end_line=2, end_column=None, code="\tos.system( x )\u2028", message=""),
            finding(rule="a.b-c_2", severity="INFO", cwe=[], path="z/🌲#?.py", end_column=5),
            finding(rule="a.b-c_2", severity="WARNING", cwe=["weak", "cwe79 x"], path="b.py"),
            finding(rule="Sql", line=2, column=4, end_column=4, confidence="LOW"),
        ],
        "engines": [
            {"name": "semgrep", "version": "1.2", "rules": 3},
            {"name": "other", "problem": "it died"},
        ],
        "not_scanned": [FILE],
        "failed": [FILE | {"message": "no"}],
    },
)


def story(*steps: tuple[float, Any]) -> list[dict[str, Any]]:
    return [
        {"seq": seq, "at": at, "event": json.loads(encode(fact))}
        for seq, (at, fact) in enumerate(steps, start=1)
    ]


A, T = "alice", "t1"
LONG = story(
    (0.0, make.created(A, T)),
    (100.0, make.routed(A, T)),
    (101.0, make.signed(A, T)),
    (105.0, make.failed(A, T, kind=FailureKind.TIMEOUT)),
    (165.0, make.routed(A, T, 2, host="h2")),
    (166.0, make.cancelled(A, T)),
    (166.0, make.signed(A, T, 2)),
    (168.0, make.asked(A, T)),
    (169.0, make.answered(A, T)),
    (170.0, make.failed(A, T, 2, kind=FailureKind.INPUT_REQUIRED)),
    (170.0, make.asked(A, T, 2)),
    (180.0, make.answered(A, T, 2)),
    (180.0, make.routed(A, T, 3)),
    (180.0, make.signed(A, T, 3)),
    (182.0, make.failed(A, T, 3)),
    (183.0, make.done(A, T, Outcome.FAILED)),
)
SHORT = story(
    (0.0, make.created(A, T)),
    (0.5, make.routed(A, T)),
    (0.5, make.signed(A, T)),
    (0.52, make.done(A, T)),
)
STORIES = [
    {"records": LONG, "now": 500.0},
    {"records": LONG[:1], "now": 30.0},
    {"records": LONG[:3], "now": 103.0},
    {"records": [LONG[0], LONG[-1]], "now": 500.0},
    {"records": [], "now": 1.0},
    {"records": SHORT, "now": 1.0},
]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    ran = subprocess.run(
        [node(), str(Path(__file__).with_name("scan.mjs")), str(WEB / "audit")],
        input=json.dumps({"answers": ANSWERS, "stories": STORIES}).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert not ran.returncode, ran.stderr.decode()
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def test_sarif_is_that_of_the_command_line(found: dict[str, Any]) -> None:
    assert found["logs"] == [json.loads(json.dumps(sarif(answer))) for answer in ANSWERS]


def test_findings_are_the_same_in_both_forms_the_worst_first(found: dict[str, Any]) -> None:
    assert found["none"] == [None] * 6 + [None]
    for ours, theirs, answer in zip(found["rows"], found["again"], ANSWERS, strict=True):
        assert len(ours) == len(answer["findings"])
        assert [(row["level"], row["line"], row["rule"]) for row in ours] == [
            (row["level"], row["line"], row["rule"]) for row in theirs
        ]
    assert [row["level"] for row in found["rows"][1]] == ["ERROR"] * 3 + ["WARNING", "INFO"]


def test_attempts_have_their_spans_and_idle_time_is_folded(found: dict[str, Any]) -> None:
    whole, waits, calls, never, nothing, short = found["spans"]
    assert [(row["attempt"], row["host"], row["end"]) for row in whole] == [
        (1, "h1", "timeout"),
        (2, "h2", "input_required"),
        (3, "h1", "failed"),
    ]
    spans = [span for row in whole for span in row["spans"]]
    assert [(span["kind"], span["to"] - span["from"]) for span in spans] == [
        ("wait", 100.0),
        ("claim", 1.0),
        ("call", 4.0),
        ("rest", 60.0),
        ("claim", 1.0),
        ("call", 2.0),
        ("ask", 1.0),
        ("call", 1.0),
        ("rest", 0.0),
        ("ask", 10.0),
        ("wait", 0.0),
        ("claim", 0.0),
        ("call", 2.0),
        ("end", 1.0),
    ]
    assert [span["kind"] for span in spans if span["folded"]] == ["wait", "rest"]
    assert not any(span["open"] for span in spans)
    edges = [0.0, *(span["left"] + span["width"] for span in spans)]
    assert [span["left"] for span in spans] == pytest.approx(edges[:-1])
    assert edges[-1] == pytest.approx(100.0)
    assert [(s["kind"], s["open"], s["width"]) for s in waits[0]["spans"]] == [("wait", True, 100)]
    assert [(s["kind"], s["to"]) for s in calls[0]["spans"]][-1] == ("call", 103.0)
    assert [(row["attempt"], row["end"]) for row in never] == [(0, "failed")]
    assert nothing == [{"attempt": 0, "host": "", "end": "", "spans": []}]
    # A short call is seen beside a wait that was long for it.
    assert [(s["kind"], s["folded"]) for s in short[0]["spans"]] == [
        ("wait", True),
        ("claim", False),
        ("call", False),
    ]
    assert [s["width"] for s in short[0]["spans"]] == pytest.approx([80.0, 0.0, 20.0])
