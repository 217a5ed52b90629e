"""Commands from the outside: what they print, where, and the exit code they leave with."""

from __future__ import annotations

import json
import shlex
import socket
from pathlib import Path
from typing import Any

import pytest

from contracts.result import INLINE_LIMIT
from services.bus.jetstream import ApiError
from services.cli.app import _known, execute
from services.cli.commands.log import select
from services.cli.common import Exit
from services.cli.input import moment
from services.cli.table import COMMANDS
from services.store.stream import StoreError
from tests.unit.cli.gateway import Gateway

VIEW = {"id": "t1", "user": "local", "type": "work", "status": "succeeded", "created_at": 1.0}


@pytest.mark.parametrize("name", [name for group in COMMANDS.values() for name, *_ in group])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([name, "--help"]) == Exit.OK
    text = capsys.readouterr().out
    assert "Usage: metamcp" in text
    assert "--json" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["tasks", "--nonsense"],
        ["submit"],
        ["tasks", "--limit", "many"],
        ["submit", "work", "{"],
        ["submit", "work", "--require", "@"],
        ["call", "host"],
        ["call", "a/b/c", "tool"],
        ["call", "host", "tool", "--timeout", "nan"],
        ["hosts", "a b"],
        ["submit", "work", "--timeout", "nan"],
        ["submit", "work", "--deadline", "inf"],
        ["submit", "work", "--id", "a.b"],
        ["submit", "work", "--host", "*"],
        ["submit", "work", '{"a":' + "[" * 5000 + "]" * 5000 + "}"],
        ["submit", "work", "[" * 5000],
        ["submit", "work", '{"a": "\udcff"}'],
        ["submit", "work", "x" * 5000],
        ["submit", "security_scan", "{}", "--sarif", "x"],
        ["submit", "work", "{}", "--wait", "--sarif", "x"],
        ["submit", "security_scan", "{}", "--wait", "--sarif", "-", "--json"],
        ["submit", "work", "--file", "nowhere"],
        ["scan", "nowhere"],
        ["scan", "--fail-on", "bad"],
        ["scan", "--only", "everything"],
        ["scan", "--only", "symbols", "--sarif", "x"],
        ["results", "--full"],
        ["results", "--sarif", "x"],
        ["results", "t1", "--limit", "3"],
        ["task", "../mcps"],
        ["result", "t1?x=1"],
        ["cancel", "t 1"],
        ["watch", "a.>"],
        ["watch", "--type", "job"],
        ["tasks", "--url", "ftp://127.0.0.1"],
        ["tasks", "--url", "nonsense"],
        ["tasks", "--url", "http://"],
        ["tasks", "--url", "http://127.0.0.1:99999"],
        ["tasks", "--url", "http://a b"],
        ["audit", ">"],
        ["audit", "t1", "--user", "*"],
        ["replay", "--task", "a b"],
        ["replay", "--user", ">"],
        ["replay", "--type", "no.fact"],
        ["replay", "--type", "job"],
        ["replay", "--since", "99999999999999d"],
        ["replay", "--since", "yesterday-ish"],
        ["up", "--manifest", "nowhere.toml"],
        ["up", "--executors", "0"],
        ["up", "--executors", "-1"],
        ["up", "--executors", "65"],
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str], known: Gateway
) -> None:
    assert execute(arguments) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") <= 2
    assert known.asked == []


def test_an_option_out_of_its_limits_is_named_with_them(
    capsys: pytest.CaptureFixture[str], known: Gateway
) -> None:
    assert execute(["up", "--executors", "0"]) == Exit.USAGE
    assert "--executors is 0: expected a whole number, at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("named", ["option", "setting"])
def test_a_broken_manifest_is_said_before_anything_starts(
    named: str,
    capsys: pytest.CaptureFixture[str],
    known: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, data = tmp_path / "own.toml", tmp_path / "data"
    path.write_text("[hosts.one]\nnonsense = 1\n")
    arguments = ["up", "--data", str(data), "--port", "0"]
    if named == "option":
        arguments += ["--manifest", str(path)]
    else:
        monkeypatch.setenv("METAMCP_REGISTRY_MANIFESTS", str(path))
    assert execute(arguments) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "own.toml: hosts.one" in printed.err
    assert not data.exists()


def test_the_example_of_a_task_type_is_one_line_that_can_be_copied(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    example = {"text": "some words " * 200}
    row = {"id": "one", "name": "One", "endpoint": {"kind": "noop"}}
    known.ok("GET /api/mcps", [row | {"task_types": {"work": {"example": example}}}])
    assert execute(["types"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("  metamcp submit work")]
    words = shlex.split(line)
    assert json.loads(words[3]) == example


@pytest.mark.parametrize("suffix", ["", "/"])
def test_host_and_port_are_enough_of_an_address(known: Gateway, suffix: str) -> None:
    known.ok("GET /api/tasks", [])
    address = known.url.removeprefix("http://") + suffix
    assert execute(["tasks", "--url", address]) == Exit.OK


def test_an_unknown_setting_is_a_usage_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAMCP_CLI_URRL", "x")
    assert execute(["tasks"]) == Exit.USAGE
    assert "METAMCP_CLI_URRL" in capsys.readouterr().err


def test_without_a_gateway_the_error_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["tasks"], ["replay"], ["audit", "t1"]):
        assert execute([*command, "--data", str(tmp_path)]) == Exit.UNREACHABLE
        assert "metamcp up" in capsys.readouterr().err


def test_a_gateway_that_does_not_answer_is_unreachable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAMCP_TOKEN", "secret")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert execute(["tasks", "--url", url]) == Exit.UNREACHABLE
        assert execute(["watch", "--url", url]) == Exit.UNREACHABLE
    assert url in capsys.readouterr().err


def test_the_gateway_and_the_token_are_found_in_the_data_folder(
    known: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("METAMCP_URL")
    monkeypatch.delenv("METAMCP_TOKEN")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "token").write_text("secret\n")
    (tmp_path / "gateway.json").write_text(json.dumps({"url": known.url}))
    known.ok("GET /api/tasks", [])
    assert execute(["tasks", "--data", str(tmp_path)]) == Exit.OK


def test_a_missing_token_is_said(
    known: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("METAMCP_TOKEN")
    assert execute(["tasks"]) == Exit.REFUSED
    assert "METAMCP_TOKEN" in capsys.readouterr().err


def test_a_wrong_token_is_refused(
    known: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METAMCP_TOKEN", "wrong")
    assert execute(["tasks"]) == Exit.REFUSED
    assert capsys.readouterr().err.startswith("error: who are you?")


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, 4), (403, 4), (400, 2), (413, 2), (409, 4), (429, 4), (500, 1), (503, 3)],
)
def test_the_status_of_a_refusal_decides_the_exit_code(
    known: Gateway, capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    known.refuse("GET /api/tasks/t1", status, "it is not so")
    assert execute(["task", "t1"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "it is not so" in printed.err


def test_submit_sends_what_the_options_say(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    known.ok("POST /api/tasks", VIEW, 201)
    options = "--heavy --priority high --host one --timeout 5 --id t1 --require scan@2:fast --fresh"
    assert execute(["submit", "work", '{"a": 1}', *options.split()]) == Exit.OK
    assert capsys.readouterr().out == "t1\n"
    ((_, _, body),) = known.asked
    assert body == {
        "type": "work",
        "id": "t1",
        "priority": "high",
        "is_heavy": True,
        "host": "one",
        "timeout_s": 5,
        "fresh": True,
        "required_capabilities": [{"name": "scan", "version": "2", "parameters": ["fast"]}],
        "input": {"a": 1},
    }


def test_a_call_says_that_it_wants_work(known: Gateway) -> None:
    known.ok("GET /api/mcps/one", {"id": "one", "tools": [{"name": "t"}]})
    known.ok("POST /api/tasks", VIEW, 201)
    execute(["call", "one", "t", '{"a": 1}', "--fresh", "--timeout", "5"])
    (body,) = [body for what, _, body in known.asked if what == "POST /api/tasks"]
    wanted = {"type": "mcp.call", "host": "one", "max_attempts": 1, "timeout_s": 5, "fresh": True}
    assert body == wanted | {"input": {"tool": "t", "arguments": {"a": 1}}}


def test_a_big_input_goes_as_a_blob(known: Gateway) -> None:
    pointer = {"kind": "pointer", "uri": "nats://b/u/x", "sha256": "x", "size": 1}
    known.ok("PUT /api/blobs", pointer, 201)
    known.ok("POST /api/tasks", VIEW, 201)
    big: dict[str, Any] = {"text": "x" * INLINE_LIMIT}
    assert execute(["submit", "work", json.dumps(big)]) == Exit.OK
    (_, _, blob), (_, _, body) = known.asked
    assert blob == big
    assert body == {"type": "work", "input_pointer": pointer}


def test_a_list_is_filtered_by_the_gateway_and_names_the_next_page(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    known.ok("GET /api/tasks", [VIEW], next_cursor=41)
    assert execute(["tasks", "--status", "succeeded", "--limit", "1"]) == Exit.OK
    printed = capsys.readouterr()
    assert "t1" in printed.out
    assert "--cursor 41" in printed.err
    assert known.asked == [("GET /api/tasks", "status=succeeded&limit=1", None)]


def test_json_is_all_that_stands_on_stdout(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    known.ok("GET /api/tasks", [VIEW], next_cursor=41)
    known.ok("GET /api/mcps", [])
    for command in ("tasks", "hosts", "types", "version"):
        assert execute([command, "--json"]) == Exit.OK
        assert json.loads(capsys.readouterr().out) is not None


def test_a_host_or_tool_that_is_not_there_is_refused_with_those_that_are(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"id": "one", "tools": [{"name": "echo"}]}
    known.ok("GET /api/mcps", [one])
    known.ok("GET /api/mcps/one", one)
    known.refuse("GET /api/mcps/two", 404, "there is no host two")
    assert execute(["hosts", "two"]) == Exit.REFUSED
    assert "Hosts: one" in capsys.readouterr().err
    assert execute(["call", "one", "ecco"]) == Exit.REFUSED
    assert "Tools: echo" in capsys.readouterr().err


def test_a_host_is_named_by_its_owner_too(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = {"id": "ann/one", "name": "one", "health": {"status": "healthy"}}
    known.ok("POST /api/mcps/one", mine)
    known.ok("GET /api/mcps/ann/one", mine)
    known.ok("POST /api/mcps/ann/one/disable", mine)
    known.ok("DELETE /api/mcps/ann/one", {"host": "ann/one", "seq": 3})
    assert execute(["hosts", "add", "one", "https://a.example/mcp"]) == Exit.OK
    assert "ann/one registered; see `metamcp hosts ann/one`" in capsys.readouterr().out
    assert execute(["hosts", "ann/one"]) == Exit.OK
    assert execute(["hosts", "disable", "ann/one"]) == Exit.OK
    assert execute(["hosts", "remove", "ann/one"]) == Exit.OK
    assert "ann/one removed" in capsys.readouterr().out
    asked = [path for path, _, _ in known.asked]
    for bad in ("ann/one/two", "-/one", "ann/", "/one", "ann/.."):
        assert execute(["hosts", "enable", bad]) == Exit.USAGE
        assert execute(["tasks", "--user", "-"]) == Exit.USAGE
    assert [path for path, _, _ in known.asked] == asked


def test_a_result_is_written_byte_for_byte(
    known: Gateway, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known.answers["GET /api/tasks/t1/result"] = (200, {"content": []})
    path = tmp_path / "result.json"
    assert execute(["result", "t1", "-o", str(path)]) == Exit.OK
    assert path.read_bytes() == b'{"content": []}'
    assert execute(["result", "t1", "-o", str(tmp_path)]) == Exit.FAILED
    assert "can't be written" in capsys.readouterr().err


def test_provision_wants_the_operators_credentials(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert execute(["provision", "--credentials-dir", str(tmp_path)]) == Exit.USAGE
    assert "operator.json" in capsys.readouterr().err


def test_doctor_finds_what_this_machine_has(
    known: Gateway,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METAMCP_REGISTRY_BUILTINS", "false")
    known.ok("GET /api/health", {"executors": 1, "lag": 0})
    sick = {"id": "one", "health": {"status": "unhealthy", "reason": "exits at once"}}
    known.ok("GET /api/mcps", [sick])
    assert execute(["doctor", "--json", "--data", str(tmp_path)]) == Exit.FAILED
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["python"]["state"] == found["nats-server"]["state"] == "ok"
    assert found["host one"] == {
        "name": "host one",
        "state": "failed",
        "detail": "unhealthy exits at once",
        "hint": found["host one"]["hint"],
    }


def test_times_are_dates_or_ages() -> None:
    assert moment(None) is None
    assert moment("1970-01-01T00:00:10+00:00") == 10.0
    now, hour_ago = moment("0s"), moment("1h")
    assert now is not None
    assert hour_ago is not None
    assert now - hour_ago == pytest.approx(3600, abs=5)


def test_filters_are_as_narrow_as_the_subjects_allow() -> None:
    assert select(None, None, ()) == (">",)
    assert select(None, None, ("job.done",)) == ("job.done.*.*.end",)
    assert all(".ann." in subject for subject in select("ann", None, ()))
    assert all(".*.t1" in subject for subject in select(None, "t1", ()))


def test_a_server_without_room_for_streams_is_no_traceback() -> None:
    error = StoreError("STREAM.CREATE", ApiError(500, 10047, "insufficient storage resources"))
    code, message, hint = _known(error) or (Exit.OK, "", "")
    assert code == Exit.FAILED
    assert "too little room for streams" in message
    assert "METAMCP_UP_NATS_BYTES" in hint
