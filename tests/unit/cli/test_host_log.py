"""`metamcp hosts ID --log`: what is printed, and what is said when there is nothing to print."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.cli.app import execute
from services.cli.common import Exit
from tests.unit.cli.gateway import Gateway

PATH = "GET /api/mcps/one/log"
LINES = ["--- started one", "\ttab [bold]not markup[/bold] " + "x" * 300, r"\x1b[31m red", ""]


@pytest.fixture(name="known")
def known_host(known: Gateway) -> Gateway:
    known.ok("GET /api/mcps", [{"id": "one"}])
    known.ok("GET /api/mcps/one", {"id": "one"})
    known.refuse("GET /api/mcps/two", 404, "there is no host two")
    return known


def log(instance: str, lines: list[str]) -> dict[str, Any]:
    return {"host": "one", "instance": instance, "lines": lines}


def test_lines_are_printed_as_they_are(known: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    known.ok(PATH, [log("executor-1", LINES)])
    assert execute(["hosts", "one", "--log", "--lines", "4"]) == Exit.OK
    assert known.asked == [(PATH, "lines=4", None)]
    expected = [LINES[0], "        " + LINES[1][1:], LINES[2]]
    assert capsys.readouterr().out.splitlines() == expected


def test_logs_of_several_executors_are_told_apart(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    known.ok(PATH, [log("executor-1", ["a"]), log("executor-2", ["b"])])
    assert execute(["hosts", "one", "--log"]) == Exit.OK
    assert known.asked == [(PATH, "", None)]
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["on executor-1:", "a", "on executor-2:", "b"]


def test_json_is_what_the_gateway_answered(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = [log("executor-1", LINES)]
    known.ok(PATH, logs)
    assert execute(["hosts", "one", "--log", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == logs


@pytest.mark.parametrize(
    ("host", "status", "said", "code", "expected"),
    [
        ("two", 404, "there is no host two", Exit.REFUSED, "There is no host two.\nHosts: one"),
        ("one", 404, "host one has no log yet", Exit.REFUSED, "host one has no log yet"),
        ("one", 503, "no executor is running", Exit.UNREACHABLE, "see `metamcp doctor`"),
        ("one", 400, "lines: expected at most 1000", Exit.USAGE, "at most 1000"),
    ],
)
def test_it_is_said_why_there_is_nothing(
    known: Gateway,
    capsys: pytest.CaptureFixture[str],
    host: str,
    status: int,
    said: str,
    code: Exit,
    expected: str,
) -> None:
    known.refuse(f"GET /api/mcps/{host}/log", status, said)
    assert execute(["hosts", host, "--log"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert expected in printed.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["hosts", "--log"],
        ["hosts", "one", "--log", "--watch"],
        ["hosts", "one", "--lines", "5"],
        ["hosts", "one", "--log", "--lines", "many"],
        ["hosts", "../one", "--log"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    known: Gateway, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments) == Exit.USAGE
    assert capsys.readouterr().err.startswith("error: ")
    assert known.asked == []
