"""Files as other clients write them, in our own words; what each comes to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.foreign import reading, servers
from services.foreign.entry import BadEntry
from services.foreign.servers import Import
from services.foreign.variables import Surroundings
from services.registry.manifests import checks, entries

WEB = "https://mcp.example.com/mcp"
STDIO = {"kind": "stdio", "command": "npx", "args": ["-y", "some-mcp"]}
HTTP = {"kind": "http", "url": WEB}


def read(
    text: str,
    suffix: str = ".json",
    given: Mapping[str, str] = {},
    workspace: Path | None = None,
    **renamed: str,
) -> Import:
    def around(one: Any) -> Surroundings:
        return Surroundings(Path("/project/.x"), Path("/srv/me"), workspace, one.inputs, given)

    raw = reading.parsed(text.encode(), suffix)
    found = servers.imported(raw, around, given, renamed, "stem")
    for one in found.servers:
        assert bool(one.entry) != bool(one.problem)
        if one.entry:
            checks.check(entries.entry_of(one.entry))
    return found


def endpoints(text: str, suffix: str = ".json", **more: Any) -> dict[str, Any]:
    return {one.name: one.entry.get("endpoint") for one in read(text, suffix, **more).servers}


FILES = {
    "Claude Desktop, Cursor, Windsurf, Amazon Q, LM Studio, JetBrains": (
        ".json",
        '{"mcpServers": {"a": {"command": "npx", "args": ["-y", "some-mcp"]}}}',
        {"a": STDIO},
    ),
    "VS Code's mcp.json": (
        ".json",
        """{
          // one for each
          "inputs": [{"type": "promptString", "id": "key", "password": true,},],
          "servers": {
            "a": {"type": "stdio", "command": "npx", "args": ["-y", "some-mcp",],},
            /* and */ "b": {"type": "http", "url": "https://mcp.example.com/mcp",
                             "headers": {"X-Key": "${input:key}"}},
          },
        }""",
        {"a": STDIO, "b": HTTP | {"headers": {"X-Key": "{secret:KEY}"}}},
    ),
    "VS Code's settings.json": (
        ".json",
        '{"editor.fontSize": 12, "mcp": {"inputs": [], "servers": {"b": {"url": "https://mcp.example.com/mcp"}}}}',
        {"b": HTTP},
    ),
    "VS Code's settings.json, flat": (
        ".json",
        '{"mcp.servers": {"b": {"url": "https://mcp.example.com/mcp"}}, "a.b": {"c": 1}}',
        {"b": HTTP},
    ),
    "Windsurf": (
        ".json",
        '{"mcpServers": {"b": {"serverUrl": "https://mcp.example.com/mcp"}}}',
        {"b": HTTP},
    ),
    "Gemini CLI": (
        ".json",
        """{"theme": "x", "mcpServers": {
             "b": {"httpUrl": "https://mcp.example.com/mcp", "timeout": 5, "trust": true}}}""",
        {"b": HTTP},
    ),
    "Zed": (
        ".json",
        """{"context_servers": {
          "a": {"source": "custom", "command": "npx", "args": ["-y", "some-mcp"], "env": null},
          "old": {"command": {"path": "npx", "args": ["-y", "some-mcp"], "env": {}},
                  "settings": {}},
        }}""",
        {"a": STDIO, "old": STDIO},
    ),
    "opencode": (
        ".jsonc",
        """{"$schema": "https://opencode.ai/config.json", "mcp": {
          "a": {"type": "local", "command": ["npx", "-y", "some-mcp"], "enabled": true,
                "environment": {"LEVEL": "x", "KEY": "{env:MY_KEY}"}},
          "b": {"type": "remote", "url": "https://mcp.example.com/mcp"}
        }}""",
        {"a": STDIO | {"env": {"LEVEL": "x", "KEY": "{secret:MY_KEY}"}}, "b": HTTP},
    ),
    "Claude Code": (
        ".json",
        """{"numStartups": 3, "mcpServers": {
          "b": {"type": "http", "url": "https://mcp.example.com/mcp"}}, "projects": {
          "/srv/one": {"mcpServers": {"a": {"command": "npx", "args": ["-y", "some-mcp"]}}},
          "/srv/two": {"mcpServers": {}, "allowedTools": []}}}""",
        {"b": HTTP, "a": STDIO},
    ),
    "Codex": (
        ".toml",
        f"""
        model = "x"
        [mcp_servers.a]
        command = "npx"
        args = ["-y", "some-mcp"]
        env_vars = ["LOCAL_ONE"]
        startup_timeout_sec = 20
        [mcp_servers.b]
        url = "{WEB}"
        bearer_token_env_var = "B_TOKEN"
        http_headers = {{ X-Region = "eu" }}
        env_http_headers = {{ X-Own = "OWN_KEY" }}
        """,
        {
            "a": STDIO | {"env_from": ["LOCAL_ONE"]},
            "b": HTTP
            | {
                "bearer_from": "B_TOKEN",
                "headers": {"X-Region": "eu", "X-Own": "{secret:OWN_KEY}"},
            },
        },
    ),
    "Goose": (
        ".yaml",
        f"""
extensions:
  developer: {{type: builtin, enabled: true, name: developer}}
  a:
    type: stdio
    cmd: npx
    args: [-y, some-mcp]
    envs: {{}}
    env_keys: [A_KEY]
    enabled: true
  b: {{type: streamable_http, uri: "{WEB}", enabled: true}}
""",
        {"developer": None, "a": STDIO | {"env": {"A_KEY": "{secret:A_KEY}"}}, "b": HTTP},
    ),
    "Continue": (
        ".yaml",
        f"""
name: x
mcpServers:
  - name: a
    command: npx
    args: [-y, some-mcp]
    env: {{ A_KEY: "${{{{ secrets.MINE }}}}" }}
  - {{name: b, type: streamable-http, url: "{WEB}"}}
""",
        {"a": STDIO | {"env": {"A_KEY": "{secret:MINE}"}}, "b": HTTP},
    ),
    "Continue's config.json": (
        ".json",
        """{"experimental": {"modelContextProtocolServers": [
             {"transport": {"type": "stdio", "command": "npx", "args": ["-y", "some-mcp"]}}]}}""",
        {"server-1": STDIO},
    ),
    "Cline, Roo": (
        ".json",
        """{"mcpServers": {"b": {"type": "streamableHttp", "alwaysAllow": ["x"],
              "url": "https://mcp.example.com/mcp", "disabled": false}}}""",
        {"b": HTTP},
    ),
    "Amp, Augment": (
        ".json",
        '{"amp.mcpServers": {"b": {"url": "https://mcp.example.com/mcp"}}, "amp.x": {}}',
        {"b": HTTP},
    ),
    "a bundle's manifest.json": (
        ".json",
        """{"name": "x", "server": {"type": "node", "mcp_config":
             {"command": "npx", "args": ["-y", "some-mcp"],
              "env": {"K": "${user_config.api_key}"}}}}""",
        {"server": STDIO | {"env": {"K": "{secret:API_KEY}"}}},
    ),
    "an API's list": (
        ".json",
        '{"mcp_servers": [{"type": "url", "url": "https://mcp.example.com/mcp", "name": "b"}]}',
        {"b": HTTP},
    ),
    "servers without anything around them": (
        ".json",
        '{"a": {"command": "npx", "args": ["-y", "some-mcp"]}, "b": {"url": "https://mcp.example.com/mcp"}}',
        {"a": STDIO, "b": HTTP},
    ),
    "one server": (".json", '{"command": "npx", "args": ["-y", "some-mcp"]}', {"stem": STDIO}),
    "on Windows": (
        ".json",
        '{"mcpServers": {"a": {"command": "cmd", "args": ["/c", "npx", "-y", "some-mcp"]}}}',
        {"a": STDIO},
    ),
    "all in the command": (
        ".json",
        '{"mcpServers": {"a": {"command": "LEVEL=x npx -y some-mcp"}}}',
        {"a": STDIO | {"env": {"LEVEL": "x"}}},
    ),
    "booleans, numbers and null": (
        ".json",
        """{"mcpServers": {"a": {"command": "npx", "args": ["-y", "some-mcp", 8080],
              "env": {"ON": true, "N": 1, "F": 2.5, "GONE": null},
              "cwd": null, "headers": null}}}""",
        {
            "a": STDIO
            | {"args": ["-y", "some-mcp", "8080"], "env": {"ON": "true", "N": "1", "F": "2.5"}}
        },
    ),
    "a container": (
        ".json",
        """{"mcpServers": {"a": {"command": "docker",
              "args": ["run", "-i", "-e", "A_TOKEN", "-e", "B_TOKEN", "-p", "80:80", "img"],
              "env": {"A_TOKEN": "hunter2"}}}}""",
        {
            "a": {
                "kind": "stdio",
                "command": "docker",
                "args": ["run", "-i", "-e", "A_TOKEN", "-e", "B_TOKEN", "-p", "80:80", "img"],
                "env": {"A_TOKEN": "{secret:A_TOKEN}"},
                "env_from": ["B_TOKEN"],
            }
        },
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_clients(name: str) -> None:
    suffix, text, expected = FILES[name]
    assert endpoints(text, suffix) == expected


@pytest.mark.parametrize(
    ("fields", "enabled"),
    [
        ('"disabled": true', False),
        ('"enabled": false', False),
        ('"isActive": false', False),
        ('"disabled": "true"', False),
        ('"disabled": false, "enabled": true', True),
        ('"disabled": null', True),
    ],
)
def test_a_server_that_is_off_stays_off(fields: str, enabled: bool) -> None:
    (one,) = read(f'{{"mcpServers": {{"a": {{"command": "x", {fields}}}}}}}').servers
    assert one.entry.get("enabled", True) is enabled


REFUSED = {
    "sse": '{"type": "sse", "url": "https://a.example/sse"}',
    "transport 'sse'": '{"transport": "sse", "url": "https://a.example/x"}',
    "HTTP with SSE": '{"url": "https://a.example/sse"}',
    "websocket": '{"type": "websocket", "url": "https://a.example"}',
    "neither": '{"args": ["x"]}',
    "expected a list": '{"command": "x", "args": "y"}',
    "expected an object": '["x"]',
    "env.A: expected a text": '{"command": "x", "env": {"A": {"b": 1}}}',
    "headers: expected an object": '{"url": "https://a.example", "headers": "x"}',
    "envFile": '{"command": "x", "envFile": "/nowhere/.env"}',
    "Windows": '{"command": "x", "args": ["%APPDATA%/x"]}',
    "variable of another client": '{"command": "x", "args": ["${config:a.b}"]}',
    "--workspace": '{"command": "x", "args": ["${workspaceFolder}/b"]}',
    "--secrets": '{"url": "${API_BASE}/mcp"}',
    "stands in /run/key": '{"url": "https://a.example", "headers": {"X-A": "{file:/run/key}"}}',
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_can_not_be_taken_over_is_named_and_the_rest_is(words: str) -> None:
    text = f'{{"mcpServers": {{"bad": {REFUSED[words]}, "good": {{"command": "x"}}}}}}'
    bad, good = read(text).servers
    assert words in bad.problem
    assert good.entry["endpoint"] == {"kind": "stdio", "command": "x"}


def test_two_names_of_one_id_need_a_choice() -> None:
    text = '{"mcpServers": {"my files": {"command": "x"}, "my-files": {"command": "y"}}}'
    one, other = read(text).servers
    assert (one.host, one.problem) == ("my-files", "")
    assert "--as 'my-files=ID'" in other.problem
    one, other = read(text, **{"my-files": "second"}).servers
    assert (other.host, other.problem) == ("second", "")


def test_the_same_server_in_two_projects_is_one() -> None:
    project = '{"mcpServers": {"x": {"command": "y"}}}'
    text = f'{{"projects": {{"/a": {project}, "/b": {project}}}}}'
    assert len(read(text).servers) == 1


def test_ids_of_other_letters() -> None:
    found = read('{"mcpServers": {"Écran 2": {"command": "x"}, "日本": {"command": "x"}}}').servers
    assert found[0].host == "Ecran-2"
    assert "--as" in found[1].problem


@pytest.mark.parametrize("text", ["{}", "[]", "1", '{"a": 1}', '{"mcpServers": {}}'])
def test_what_names_no_servers(text: str) -> None:
    with pytest.raises(BadEntry, match="names no servers"):
        read(text)


def test_what_is_left_out_is_said() -> None:
    (one,) = read(
        '{"mcpServers": {"a": {"url": "https://mcp.example.com/mcp", "oauth": {}, "timeout": 5}}}'
    ).servers
    assert one.notes == ("left out: oauth, timeout",)


def test_a_file_of_variables_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text("# what\nLEVEL=debug\nA_TOKEN='hunter2'\n")
    text = '{"mcpServers": {"a": {"command": "x", "envFile": "FILE", "env": {"LEVEL": "y"}}}}'
    found = read(text.replace("FILE", str(tmp_path / "x.env")))
    assert found.servers[0].entry["endpoint"]["env"] == {
        "LEVEL": "y",
        "A_TOKEN": "{secret:A_TOKEN}",
    }
    assert found.values == {"A_TOKEN": "hunter2"}


VARIABLES: list[tuple[str, str]] = [
    ("${A_B}", "{secret:A_B}"),
    ("$A_B", "{secret:A_B}"),
    ("${env:A_B}", "{secret:A_B}"),
    ("x-${env:A_B}-y", "x-{secret:A_B}-y"),
    ("${input:my org}", "{secret:MY_ORG}"),
    ("${A_B:-c d}", "c d"),
    ("${A_B-c}", "c"),
    ("x${A_B:-}", "x"),
    ("${A_TOKEN:-}", "{secret:A_TOKEN}"),
    ("${A_B:-${C}}", "{secret:C}"),
    ("${userHome}/x", "/srv/me/x"),
    ("${HOME}/x", "/srv/me/x"),
    ("~/x", "/srv/me/x"),
    ("~", "/srv/me"),
    ("a~b", "a~b"),
    ("${workspaceFolder}/x", "/srv/app/x"),
    ("${workspaceFolder:app}/x", "/srv/app/x"),
    ("${workspaceFolderBasename}", "app"),
    ("${__dirname}/x", "/project/.x/x"),
    ("a${pathSeparator}b${/}c", "a/b/c"),
    ("{secret:MINE}", "{{secret:MINE}}"),
    ("$5 and ${", "$5 and ${"),
]


@pytest.mark.parametrize(("written", "text"), VARIABLES)
def test_variables(written: str, text: str) -> None:
    file = f'{{"mcpServers": {{"a": {{"command": "x", "args": ["{written}"]}}}}}}'
    assert endpoints(file, workspace=Path("/srv/app"))["a"]["args"] == [text]


def test_a_value_that_is_given_goes_where_no_reference_can() -> None:
    file = '{"mcpServers": {"a": {"url": "${BASE}/mcp"}, "b": {"command": "${BIN}/x"}}}'
    found = endpoints(file, given={"BASE": "https://mcp.example.com", "BIN": "/opt"})
    assert found == {"a": HTTP, "b": {"kind": "stdio", "command": "/opt/x"}}


def test_an_input_that_is_no_password_has_its_default() -> None:
    file = """{"inputs": [{"id": "org", "default": "acme"},
                          {"id": "key", "password": true, "default": "x"}],
               "servers": {"a": {"command": "x", "args": ["${input:org}", "${input:key}"]}}}"""
    assert endpoints(file)["a"]["args"] == ["acme", "{secret:KEY}"]
