"""Manifests that let results be given again, and those that may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.host import Cache
from tests.unit.registry.manifests.test_manifest import SCAN, SMALLEST, SPACE, host, refusal


def test_a_host_says_it_of_tools_and_types(tmp_path: Path) -> None:
    text = """
cache.look = { ttl_s = 60, scope = "all" }
cache."*" = { ttl_s = 5 }
task_types.look = { steps = [{ tool = "look" }], cache = { ttl_s = 10 } }
"""
    one = host(tmp_path, SMALLEST + text)
    assert one.cache == {"look": Cache(60, "all"), "*": Cache(5)}
    assert one.task_types["look"].cache == Cache(10)
    assert host(tmp_path, SMALLEST).cache == {}


LOOK = "cache.look = { ttl_s = 60 }\n"
STEPS = (
    "task_types.x = { steps = [{ tool = 'look', arguments = { a = '%s' } }], cache = {ttl_s=1} }"
)
KEYED = """
[hosts.keyed]
endpoint = { kind = "stdio", command = "my-server", env = { KEY = "{secret:KEY}" } }
"""
BEARER = """
[hosts.bearer]
endpoint = { kind = "http", url = "https://example.org/mcp", bearer_from = "KEY" }
"""
WRONG = [
    (SMALLEST + "cache.look = {}", "hosts.mine.cache[...]: object missing required field ttl_s"),
    (SMALLEST + "cache.look = { ttl_s = 0 }", "hosts.mine.cache"),
    (SMALLEST + "cache.look = { ttl_s = 9000000 }", "hosts.mine.cache"),
    (SMALLEST + "cache.look = { ttl_s = 1, scope = 'team' }", "hosts.mine.cache"),
    (
        SMALLEST + LOOK + "path_arguments.look = ['path']",
        "hosts.mine.cache.look: path arguments of look may name files of this machine",
    ),
    (
        SMALLEST + LOOK + "path_arguments.'*' = ['path']",
        "hosts.mine.cache.look: path arguments of * may name files of this machine",
    ),
    (
        KEYED + LOOK,
        "hosts.keyed.cache.look: the host is called with a secret",
    ),
    (
        BEARER + "cache.'*' = { ttl_s = 60 }",
        "hosts.bearer.cache: the host is called with a secret",
    ),
    (SPACE + SCAN + LOOK, "hosts.space.cache: a host of the kind execute has no tools"),
    (SMALLEST + STEPS % "${attempt}", "hosts.mine.task_types.x.cache: its calls hold $attempt"),
    (
        SMALLEST + "path_arguments.look = ['a']\n" + STEPS % "$input.a",
        "hosts.mine.task_types.x.cache: path arguments of look",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_may_not_be_given_again_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


def test_other_tools_may_take_paths(tmp_path: Path) -> None:
    assert host(tmp_path, SMALLEST + LOOK + "path_arguments.write = ['path']").cache
