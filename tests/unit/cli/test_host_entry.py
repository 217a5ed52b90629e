"""From words and `mcpServers` files to hosts; secrets stay out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.host_entry import BadEntry, described, imported, shown
from services.registry.manifests import entries


def test_a_url_is_an_mcp_server() -> None:
    entry = described(["https://a.example/mcp"], headers=["X-Team: a"], bearer_from="A_TOKEN")
    assert entry == {
        "endpoint": {
            "kind": "http",
            "url": "https://a.example/mcp",
            "headers": {"X-Team": "a"},
            "bearer_from": "A_TOKEN",
        }
    }


def test_words_are_a_program() -> None:
    entry = described(
        ["npx", "-y", "x"], env=["LEVEL=a=b"], env_from=["TOKEN"], cwd="/x", title="X"
    )
    assert entry == {
        "name": "X",
        "endpoint": {
            "kind": "stdio",
            "command": "npx",
            "args": ["-y", "x"],
            "env": {"LEVEL": "a=b"},
            "env_from": ["TOKEN"],
            "cwd": "/x",
        },
    }
    assert shown(entry) == "npx -y x"


def test_an_execute_host_names_its_task_types() -> None:
    entry = described(["hf://a/b"], execute=True, task_types=["x", "y"])
    assert entry["endpoint"] == {"kind": "execute", "url": "hf://a/b"}
    assert set(entry["task_types"]) == {"x", "y"}


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ([], {}, "expected a URL"),
        (["https://a.example"], {"env": ["A=1"]}, "not for a URL"),
        (["npx"], {"headers": ["A: 1"]}, "not for a program"),
        (["npx"], {"execute": True}, "not for a program"),
        (["https://a.example"], {"execute": True}, "at least one --task-type"),
        (["https://a.example"], {"task_types": ["x"]}, "for --execute"),
        (["npx"], {"env": ["A"]}, "NAME=VALUE"),
        (["https://a.example"], {"headers": ["A"]}, "NAME:VALUE"),
    ],
)
def test_what_does_not_go_together(target: list[str], options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadEntry, match=words):
        described(target, **options)


FILE = {
    "mcpServers": {
        "my files": {"command": "npx", "args": ["-y", "x"], "env": {"API_KEY": "s", "LEVEL": "1"}},
        "web": {
            "type": "streamable-http",
            "url": "https://a.example/mcp",
            "headers": {"Authorization": "Bearer s", "X-Team": "a"},
        },
        "input": {"command": "x", "env": {"PLACE": "${input:place}", "HOME_": "${env:HOME}"}},
        "off": {"command": "x", "disabled": True},
        "old": {"type": "sse", "url": "https://b.example"},
        "none": {},
        "odd": {"command": "x", "args": "y"},
        "...": {"command": "x"},
        "list": [],
    }
}


def test_servers_of_other_clients() -> None:
    found = {one.name: one for one in imported(FILE)}
    files = found["my files"]
    assert (files.host, files.needs) == ("my-files", ("API_KEY",))
    assert files.entry["endpoint"]["env"] == {"LEVEL": "1"}
    assert files.entry["endpoint"]["env_from"] == ["API_KEY"]
    web = found["web"]
    assert web.bearer == web.entry["endpoint"]["bearer_from"] == "WEB_TOKEN"
    assert web.entry["endpoint"]["headers"] == {"X-Team": "a"}
    assert found["input"].entry["endpoint"]["env_from"] == ["HOME_"]
    assert found["off"].entry["enabled"] is False
    for name, words in (
        ("old", "sse"),
        ("none", "neither"),
        ("odd", "expected a list"),
        ("...", "no letters"),
        ("list", "expected an object"),
    ):
        assert words in found[name].problem
        assert found[name].entry == {}
    for one in found.values():
        if one.entry:
            entries.check(entries.entry_of(one.entry))
    assert "Bearer s" not in json.dumps([msgspec.to_builtins(one) for one in found.values()])


def test_vs_codes_file() -> None:
    (one,) = imported({"servers": {"a": {"type": "stdio", "command": "x"}}})
    assert one.entry["endpoint"]["command"] == "x"


@pytest.mark.parametrize("raw", [None, [], {}, {"mcpServers": []}, "x"])
def test_what_is_no_such_file(raw: Any) -> None:
    with pytest.raises(BadEntry, match="mcpServers"):
        imported(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["url", "command", "args", "env", "headers", "type"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_whatever_a_file_says_each_server_is_described_or_refused(servers: Any) -> None:
    for one in imported({"mcpServers": servers}):
        assert bool(one.entry) != bool(one.problem)
