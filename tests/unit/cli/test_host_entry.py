"""From words of a command line to hosts."""

from __future__ import annotations

from typing import Any

import pytest

from services.cli.host_entry import described, shown
from services.foreign.entry import BadEntry


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
