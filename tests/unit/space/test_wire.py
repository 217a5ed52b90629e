"""The body of `/execute`, task mappings, settings: what is taken, and what is refused with why."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import permit
import pytest
import settings
import tasks
import wire

from tests.support.space import KIT, TYPES, Issuer, body_of, configure

GOOD = json.loads(body_of(b'{"ms": 1}', "token", "t1", "ann"))


def read(data: bytes) -> wire.Body:
    return wire.parse(wire.split(data))


def test_a_body_keeps_the_bytes_of_its_input() -> None:
    raw = b'{ "b" : 1.50,\n"a": "\\u00e4" }'
    parts = wire.split(body_of(raw, "token", "t1", "ann", 2.5))
    body = wire.parse(parts)
    assert (body.task, body.user, body.timeout_s, parts.signature) == ("t1", "ann", 2.5, "token")
    assert parts.members["input"].raw == raw
    assert body.input == {"b": 1.5, "a": "ä"}


@pytest.mark.parametrize("name", wire.NAMES)
def test_every_member_of_the_body_is_needed(name: str) -> None:
    with pytest.raises(wire.Refused, match=f"400|lacks {name}"):
        read(json.dumps({key: GOOD[key] for key in GOOD if key != name}).encode())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"more": 1}, "more"),
        ({"task_id": 1}, "task_id"),
        ({"user_id": None}, "user_id"),
        ({"signature": {}}, "signature"),
        ({"input": [1]}, "no JSON object"),
        ({"input": {"a": "\ud800"}}, "passed on"),
        ({"required_capabilities": "x"}, "required_capabilities"),
        ({"timeout": True}, "timeout"),
        ({"timeout": "30"}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 1e9}, "timeout"),
        ({"timestamp": "yesterday"}, "timestamp"),
    ],
)
def test_a_wrong_body_is_refused_with_the_reason(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(wire.Refused) as caught:
        read(json.dumps(GOOD | changed).encode())
    assert (caught.value.status, caught.value.reason) == (400, "bad_request")
    assert words in caught.value.message


@pytest.mark.parametrize("data", [b'{"a": 1e999}', b'{"a": NaN}', b'{"a": 1, "a": 1'])
def test_an_input_that_no_tool_could_take_is_refused(data: bytes) -> None:
    with pytest.raises(wire.Refused, match="bad_request"):
        read(body_of(data, "token", "t1", "ann"))


def test_an_input_may_be_nested_as_deep_as_the_orchestrator_allows() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    assert read(body_of(nested(wire.MAX_DEPTH), "token", "t1", "ann")).input
    for depth in (wire.MAX_DEPTH + 1, 100_000):
        with pytest.raises(wire.Refused, match="nested"):
            read(body_of(nested(depth), "token", "t1", "ann"))


def test_a_message_is_short_and_printable() -> None:
    body = wire.failure(500, "internal", "a\x1b\n" + "x" * 10_000).body
    assert isinstance(body, bytes)
    message = json.loads(body)["error"]["message"]
    assert message.startswith("a  x")
    assert len(message) == wire.MAX_MESSAGE


# Task mappings.


def kind(*steps: dict[str, Any], schema: dict[str, Any] | None = None) -> tasks.TaskType:
    described = {"input_schema": schema or {}, "example": {}}
    return tasks._task_type("test", list(steps), described)


def test_references_are_filled_in() -> None:
    step = {
        "tool": "x",
        "arguments": {
            "whole": "$input",
            "part": "$input.a.b",
            "left": ["out", "$input.none?"],
            "out": "$input.none?",
            "default": "$input.none|[1]",
            "there": "$input.nothing|1",
            "who": ["$task", "$attempt"],
            "dollar": "$$input",
            "price": "5 $",
            "n": 7,
        },
    }
    data = {"a": {"b": [True]}, "nothing": None}
    made = tasks.plan(kind(step), "t1", 2, data, Path("/unused"))
    assert made.steps[0].arguments == {
        "whole": data,
        "part": [True],
        "left": ["out"],
        "default": [1],
        "there": None,
        "who": ["t1", 2],
        "dollar": "$input",
        "price": "5 $",
        "n": 7,
    }
    assert made.workspace is None
    assert made.meta == {"metamcp/task": "t1", "metamcp/attempt": 2}


def test_a_step_may_use_what_an_earlier_one_has_answered() -> None:
    first = {"tool": "x", "arguments": {"a": "$input.a"}, "output": "one"}
    second = {"tool": "y", "arguments": {"b": "$step.one.n", "c": "${input.a}/${workspace}"}}
    made = tasks.plan(kind(first, second), "t1", 1, {"a": "$step.one"}, Path("/w"))
    assert made.workspace == Path("/w")
    given, later = made.steps
    assert tasks.arguments(made, given, {}) == {"a": "$step.one"}
    assert tasks.arguments(made, later, {"one": {"n": 7}}) == {"b": 7, "c": "$step.one//w"}
    with pytest.raises(wire.Refused, match=r"has no `one\.n`"):
        tasks.arguments(made, later, {"one": {}})


def test_what_an_input_brings_in_is_never_a_reference() -> None:
    step = {"tool": "x", "arguments": {"a": "$input.a"}}
    made = tasks.plan(kind(step), "t1", 1, {"a": "$workspace"}, Path("/unused"))
    assert made.steps[0].arguments == {"a": "$workspace"}


@pytest.mark.parametrize(
    "text", ["$inputs", "$workspace.a", "$task.a", "$input.a b", "$input.a|x", "${", "$step.none"]
)
def test_a_malformed_reference_is_found_at_the_start(text: str) -> None:
    with pytest.raises(tasks.BadConfig, match="task type test"):
        kind({"tool": "x", "arguments": {"a": [text]}})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"a": 1}, "input.a"),
        ({}, "`a`"),
        ({"a": "x", "b": "a" * 100_000 + "!"}, "input.b"),
        ({"a": "x", "files": {"../x": ""}}, "not allowed"),
        ({"a": "x", "files": {"/etc/x": ""}}, "not allowed"),
        ({"a": "x", "files": {"a/.GIT/config": ""}}, "git"),
        ({"a": "x", "files": {"": ""}}, "not allowed"),
        ({"a": "x", "files": {"x\0": ""}}, "not allowed"),
        ({"a": "x", "files": {"x": {"base64": "!"}}}, "base64"),
        ({"a": "x", "files": {"x": {"pointer": {}}}}, "give the text"),
        ({"a": "x", "files": []}, "no object"),
        ({"a": "x", "files": {str(n): "" for n in range(2001)}}, "2000"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(data: dict[str, Any], words: str) -> None:
    step = {"tool": "x", "arguments": {"a": "$input.a", "in": "$workspace"}}
    evil = {"pattern": "^(a+)+$"}
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": evil}}
    with pytest.raises(wire.Refused) as caught:
        tasks.plan(kind(step, schema=schema), "t1", 1, data, Path("/unused"))
    assert (caught.value.status, caught.value.reason) == (422, "bad_input")
    assert words in caught.value.message


def test_files_are_written_into_the_workspace(tmp_path: Path) -> None:
    step = {"tool": "x", "arguments": {"in": "$workspace"}}
    data = {"files": {"src/ä.py": "é", "b": {"base64": "AAE="}}}
    made = tasks.plan(kind(step), "t1", 1, data, tmp_path / "w")
    assert made.steps[0].arguments == {"in": str(tmp_path / "w")}
    assert made.workspace is not None
    tasks.write(made.workspace, made.files)
    assert (tmp_path / "w" / "src" / "ä.py").read_text("utf-8") == "é"
    assert (tmp_path / "w" / "b").read_bytes() == b"\0\1"


def test_a_file_can_not_be_a_folder_too(tmp_path: Path) -> None:
    with pytest.raises(wire.Refused, match="also a folder"):
        tasks.write(tmp_path / "w", {PurePosixPath("a"): b"", PurePosixPath("a/b"): b""})


def test_the_space_as_it_is_shipped_fits_together() -> None:
    config = tasks.load(KIT)
    assert set(config.types) == {"code_analysis", "ast_parsing"}
    offered = [name for one in config.manifest["capabilities"] for name in one["task_types"]]
    assert set(offered) == set(config.types)
    for name, described in config.manifest["task_types"].items():
        made = tasks.plan(config.types[name], "t1", 1, described["example"], Path("/w"))
        assert made.files


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("server.toml", "command =", "more = 1\ncommand =", "more"),
        ("server.toml", "command =", "comand =", "server.toml: .*command"),
        ("server.toml", "command =", "", "can't be read"),
        ("server.toml", '"tool" = "echo"', '"tol" = "echo"', "task_types.echo"),
        ("mcp.json", '"summary": "echo", ', "", "task_types.echo"),
        ("mcp.json", '"echo": {', '"ech": {', "one file only"),
        ("mcp.json", '"max_concurrency": 8', '"max_concurrency": 0', "limits.max_concurrency"),
        ("mcp.json", '{"type": "object"}', '{"type": "objekt"}', "objekt"),
        ("mcp.json", '{"type": "object"}', '{"$ref": "http://127.0.0.1/x"}', "http"),
        ("mcp.json", '{"type": "object"}', '{"required": ["x"]}', "example"),
        ("mcp.json", '{"type": "object"}', '{"pattern": "(?=a)b"}', "look-around"),
        ("mcp.json", '{"type": "object"}', '{"pattern": "("}', "regex"),
    ],
)
def test_a_mistake_in_a_file_names_the_place(
    tmp_path: Path, file: str, old: str, new: str, words: str
) -> None:
    path = configure(tmp_path, TYPES) / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(tasks.BadConfig, match=words):
        tasks.load(tmp_path)


# Settings.

SET = {
    "METAMCP_OWNER": "ann",
    "METAMCP_PUBLIC_URL": "https://heavy.example.com",
    "METAMCP_JWKS": json.dumps(Issuer().jwks),
    "METAMCP_STATE": "state",
}


def test_settings_have_the_defaults_that_the_readme_names() -> None:
    readme = (KIT / "README.md").read_text()
    loaded = settings.load(SET)
    assert loaded.max_body == 1024 * 1024
    assert loaded.config == KIT
    more = ("JWKS_URL", "JWKS_ALLOW_HTTP", "BEARER", "CONFIG", "MAX_BODY")
    for name in (*SET, *(f"METAMCP_{one}" for one in more)):
        assert f"`{name}`" in readme
    for name in ("MAX_ANSWER", "MAX_CONCURRENCY", "KEEP_S", "KEEP_ANSWERS", "KEEP_BYTES"):
        assert f"`METAMCP_{name}`" in readme


def test_a_space_is_told_its_address_by_hugging_face() -> None:
    named = {name: value for name, value in SET.items() if name != "METAMCP_PUBLIC_URL"}
    one = settings.load(named | {"SPACE_HOST": "ann-heavy.hf.space"})
    assert one.audience == {"https://ann-heavy.hf.space"}
    two = settings.load(SET | {"SPACE_HOST": "tools.example.org,ann-heavy.hf.space"})
    assert two.audience == {
        *("https://tools.example.org", "https://ann-heavy.hf.space"),
        "https://heavy.example.com",
    }


def test_it_may_work_for_several_users_at_several_addresses() -> None:
    more = {"METAMCP_OWNER": "ann, bob", "METAMCP_PUBLIC_URL": "HTTPS://A.example/ http://b:80/x"}
    loaded = settings.load(SET | more)
    assert loaded.owners == {"ann", "bob"}
    assert loaded.audience == {"https://a.example", "http://b"}


def test_keys_come_from_text_or_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(SET["METAMCP_JWKS"])
    for source in (f"  {SET['METAMCP_JWKS']}", str(path)):
        keys = settings.load(SET | {"METAMCP_JWKS": source}).jwks
        assert isinstance(keys, permit.Keys)
        assert keys.find("k1") is not None


def test_keys_over_plain_http_have_to_be_allowed() -> None:
    plain = SET | {"METAMCP_JWKS": "", "METAMCP_JWKS_URL": "http://tasks.example.com/jwks"}
    with pytest.raises(settings.BadSettings, match="plain http"):
        settings.load(plain)
    assert settings.load(plain | {"METAMCP_JWKS_ALLOW_HTTP": "true"}).jwks


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"METAMCP_OWNER": ""}, "METAMCP_OWNER is not set"),
        ({"METAMCP_OWNER": " , "}, "METAMCP_OWNER is not set"),
        ({"METAMCP_OWNER": "ann/b"}, "no user"),
        ({"METAMCP_OWNER": "-"}, "no user"),
        ({"METAMCP_PUBLIC_URL": ""}, "METAMCP_PUBLIC_URL is not set"),
        ({"METAMCP_PUBLIC_URL": "heavy.example.com"}, "no http or https URL"),
        ({"METAMCP_STATE": ""}, "METAMCP_STATE is not set"),
        ({"METAMCP_JWKS": ""}, "METAMCP_JWKS_URL"),
        ({"METAMCP_JWKS_URL": "https://example.org"}, "set one of"),
        ({"METAMCP_JWKS": "", "METAMCP_JWKS_URL": "ftp://example.org"}, "ftp"),
        ({"METAMCP_JWKS": "{}"}, "METAMCP_JWKS can't be used"),
        ({"METAMCP_JWKS": "no/such/file"}, "no/such/file"),
        ({"METAMCP_MAX_BODY": "1k"}, "METAMCP_MAX_BODY"),
        ({"METAMCP_MAX_BODY": "0"}, "METAMCP_MAX_BODY"),
        ({"METAMCP_MAX_CONCURRENCY": "1025"}, "1024"),
        ({"METAMCP_KEEP_BYTES": "1000"}, "METAMCP_KEEP_BYTES"),
    ],
)
def test_a_missing_or_wrong_setting_is_named(changed: dict[str, str], words: str) -> None:
    with pytest.raises(settings.BadSettings, match=words):
        settings.load(SET | changed)
