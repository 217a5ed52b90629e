"""Who may see a host, and use which of its tools and task types."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.host import Access, Cache, Host, Probe, Stdio, TaskBinding, Tool, for_users
from contracts.permitted import (
    ANYBODY,
    Asker,
    allows,
    guarded,
    may_run,
    shown_to,
    without_hidden,
)

NAMES = ("a", "b", "c")
ROLES = ("auditor", "admin")
ACCESS = st.none() | st.builds(
    Access,
    roles=st.lists(st.sampled_from((*ROLES, "user")), max_size=2).map(tuple),
    users=st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
    projects=st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
)
ASKERS = st.builds(
    Asker,
    user=st.sampled_from(NAMES),
    roles=st.frozensets(st.sampled_from(ROLES)),
    projects=st.frozensets(st.sampled_from(NAMES)),
)
TOOLS = ("look", "change", "erase")
TYPES = ("scan", "parse")
HOSTS = st.builds(
    lambda access, tools, types, listed: Host(
        id="h",
        name="h",
        endpoint=Stdio("x"),
        tools=tuple(map(Tool, TOOLS)),
        callable_tools=listed,
        access=access,
        tool_access={name: found for name, found in tools.items() if found is not None},
        task_types={name: TaskBinding(access=found) for name, found in types.items()},
        cache={name: Cache(1) for name in TOOLS},
        probe=Probe("erase"),
    ),
    ACCESS,
    st.dictionaries(st.sampled_from(TOOLS), ACCESS),
    st.fixed_dictionaries({name: ACCESS for name in TYPES}),
    st.none() | st.just(TOOLS[:2]),
)


def test_any_of_the_three_lets_in() -> None:
    access = Access(roles=("auditor",), users=("a",), projects=("p",))
    alone = [Asker("a"), Asker("b", frozenset({"auditor"})), Asker("b", projects=frozenset({"p"}))]
    assert all(allows(access, who) for who in alone)
    assert not allows(access, Asker("b", frozenset({"admin"}), frozenset({"q"})))
    assert allows(None, ANYBODY)
    assert allows(Access(roles=("user",)), ANYBODY), "everybody is a user"
    assert not allows(Access(), Asker("a", frozenset(ROLES), frozenset(NAMES)))


@given(HOSTS, ASKERS)
def test_what_is_seen_is_what_may_be_used(host: Host, who: Asker) -> None:
    seen = shown_to(host, who)
    assert (seen is not None) == allows(host.access, who)
    for type_ in TYPES:
        assert may_run(host, type_, None, who) == (seen is not None and type_ in seen.task_types)
    for tool in TOOLS:
        listed = seen is not None and tool in {one.name for one in seen.tools}
        assert may_run(host, "mcp.call", tool, who) == listed
        if seen is not None and seen.callable_tools is not None:
            assert (tool in seen.callable_tools) <= listed


@given(HOSTS, ASKERS)
def test_users_are_not_told_who_else_may_nor_of_what_they_may_not(host: Host, who: Asker) -> None:
    text = msgspec.json.encode(for_users(without_hidden(host, who))).decode()
    assert '"access"' not in text
    assert "tool_access" not in text
    for tool, access in host.tool_access.items():
        assert allows(access, who) or f'"{tool}"' not in text


@given(HOSTS, ASKERS)
def test_a_host_that_says_nothing_is_for_everybody(host: Host, who: Asker) -> None:
    if not guarded(host):
        assert shown_to(host, who) is host
        assert all(may_run(host, type_, "look", who) for type_ in (*TYPES, "mcp.call"))


@given(HOSTS, ASKERS)
def test_more_roles_and_projects_never_take_away(host: Host, who: Asker) -> None:
    more = who._replace(roles=frozenset(ROLES), projects=frozenset(NAMES))
    for type_ in (*TYPES, "mcp.call"):
        for tool in (None, *TOOLS):
            assert may_run(host, type_, tool, who) <= may_run(host, type_, tool, more)
