"""`mcp.json` of Spaces: the specification's shape, the kit's own, and what strangers may write."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import ids
from contracts.host import (
    SPACE,
    Capability,
    Execute,
    Flags,
    Placement,
    StreamableHttp,
    TaskBinding,
)
from services.registry.manifests.manifest import ManifestError
from services.registry.manifests.space import SpaceOrigin, gradio_host, names, space_host

ANN = SpaceOrigin("Ann/my.space", "alice", "Ann-my-space", subdomain="ann-my-space-7")
# As section 3 of the original specification reads it.
SPECIFIED = {
    "name": "Code tools",
    "tools": [
        {"name": "parse", "version": "2.1.0", "parameters": ["code", "language"]},
        {"name": "lint"},
    ],
    "capabilities": [
        {"name": "code_analysis", "version": "1.0.0", "task_types": ["code_analysis", "ast"]},
        {"task_types": ["lint"]},
    ],
    "can_run_on_user_space": True,
    "result_pointer_preferred": True,
    "fallback_to_oracle": False,
    "author": "somebody",
}
KIT = Path(__file__).parents[4] / "deploy" / "space" / "mcp.json"


def read(raw: Any, space: SpaceOrigin = ANN) -> Any:
    return space_host(json.dumps(raw).encode(), "https://x/mcp.json", space)


def test_the_specifications_own_shape() -> None:
    host = read(SPECIFIED)
    assert (host.id, host.name, host.owner) == ("alice/Ann-my-space", "Code tools", "alice")
    assert (host.placement, host.source) == (Placement.USER_SPACE, SPACE)
    assert host.endpoint == Execute("hf://Ann/my.space", subdomain="ann-my-space-7")
    assert host.capabilities == (
        Capability("parse", "2.1.0", ("code", "language")),
        Capability("lint"),
        Capability("code_analysis"),
    )
    assert host.task_types == {name: TaskBinding() for name in ("code_analysis", "ast", "lint")}
    assert host.flags == Flags(
        can_run_on_user_space=True, result_pointer_preferred=True, fallback_to_oracle=False
    )


def test_flags_have_the_specifications_defaults() -> None:
    host = read({"capabilities": [{"task_types": ["x"]}]})
    assert host.flags == Flags()
    assert host.name == "Ann/my.space"
    assert (Flags().can_run_on_user_space, Flags().fallback_to_oracle) == (False, True)


def test_the_kits_own_file() -> None:
    host = space_host(KIT.read_bytes(), "mcp.json", ANN)
    assert set(host.task_types) == {"code_analysis", "ast_parsing"}
    assert host.task_types["code_analysis"].input_schema["required"] == ["files", "path"]
    assert (host.replay, host.limits.max_concurrency) == ("always", 4)


def test_an_mcp_endpoint_of_the_space() -> None:
    host = read({"endpoint": {"kind": "http", "url": "https://elsewhere.example"}})
    assert host.endpoint == StreamableHttp("hf://Ann/my.space", subdomain="ann-my-space-7")


def test_a_private_space_is_shown_its_owners_token() -> None:
    private = SpaceOrigin("ann/x", "alice", "ann-x", private=True, subdomain="ann-x")
    shown = {"bearer_from": "HF_TOKEN", "subdomain": "ann-x"}
    assert read(SPECIFIED, private).endpoint == Execute("hf://ann/x", **shown)
    assert gradio_host(private).endpoint == StreamableHttp("hf://ann/x", **shown)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ([], "expected an object"),
        ({"tools": [{}]}, "tools[0]"),
        (SPECIFIED | {"tools": [{"name": "t", "version": "new"}]}, "capabilities[0].version"),
        ({"capabilities": [{"task_types": ["a b"]}]}, "task_types.a b"),
        ({"capabilities": [{"task_types": [1]}]}, "capabilities[0].task_types[0]"),
        ({"fallback_to_oracle": "yes"}, "fallback_to_oracle"),
        ({"endpoint": {"kind": "stdio", "command": "rm"}}, "endpoint.kind"),
        ({"limits": {"max_concurrency": 0}, "task_types": {"x": {}}}, "limits.max_concurrency"),
        ({"tools": [{"name": f"t{n}"} for n in range(300)]}, "300 entries"),
        ({"name": "nothing to do"}, "task_types"),
    ],
)
def test_errors_name_the_file_and_the_path(raw: Any, words: str) -> None:
    with pytest.raises(ManifestError) as error:
        read(raw)
    assert str(error.value).startswith("https://x/mcp.json: ")
    assert words in str(error.value)


def test_files_have_limits() -> None:
    for data in (b" " * 300_000, b"[" * 500, b"\xff", b"{"):
        with pytest.raises(ManifestError):
            space_host(data, "mcp.json", ANN)


def test_hosts_are_called_as_the_specification_says() -> None:
    assert names(["Ann/my.space_1"], {}) == {"Ann/my.space_1": "Ann-my-space_1"}


def test_where_two_would_meet_one_has_a_hash_behind_its_name() -> None:
    one, other = "a-b/c", "a/b-c"
    named = names([other, one], {})
    assert named[one] == "a-b-c"
    assert re.fullmatch("a-b-c-[0-9a-f]{8}", named[other])
    kept = names([one, other], {other: "a-b-c"})
    assert kept[other] == "a-b-c", "who has a name keeps it"
    assert names([one], named) == {one: "a-b-c"}
    assert names([other], named) == {other: named[other]}
    assert names([other], {other: "something-else"}) == {other: "a-b-c"}


REPO = st.from_regex(r"[ab.-]{1,40}/[ab._-]{1,60}", fullmatch=True)


@given(st.lists(REPO, max_size=12), st.data())
def test_names_are_ids_of_their_own_and_stay(repos: list[str], data: st.DataObject) -> None:
    first = names(repos, {})
    assert all(ids.is_token(name) for name in first.values())
    assert len(set(first.values())) == len(first) == len(set(repos))
    some = data.draw(st.lists(st.sampled_from(repos), max_size=6)) if repos else []
    more = data.draw(st.lists(REPO, max_size=6))
    later = names([*some, *more], first)
    assert {repo: later[repo] for repo in some} == {repo: first[repo] for repo in some}
    assert len(set(later.values())) == len(later)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KNOWN = ("name", "tools", "capabilities", "endpoint", "task_types", "limits", "probe", "replay")


@given(st.dictionaries(st.sampled_from(KNOWN), JSON))
def test_whatever_a_stranger_writes_is_a_host_or_an_error(raw: Any) -> None:
    try:
        host = read(raw)
    except ManifestError:
        return
    assert (host.owner, host.placement, host.source) == ("alice", Placement.USER_SPACE, SPACE)
    assert host.endpoint.url == "hf://Ann/my.space"
    assert (host.roots, host.path_arguments) == ((), {})
