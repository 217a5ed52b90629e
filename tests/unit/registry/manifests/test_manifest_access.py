"""Manifests that say who sees a host and may use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.host import Access
from tests.unit.registry.manifests.test_manifest import (
    HTTP,
    SCAN,
    SMALLEST,
    SPACE,
    host,
    refusal,
)


def test_a_host_says_for_whom_it_is_and_its_tools_and_types(tmp_path: Path) -> None:
    text = """
access = { roles = ["auditor"], users = ["alice"], projects = ["p-1"] }
tool_access.erase = { roles = ["admin"] }
approve = ["erase", "destructive"]
approvers = { users = ["alice"] }
task_types.look = { steps = [{ tool = "look" }], access = { users = ["bob"] } }
"""
    one = host(tmp_path, SMALLEST + text)
    assert one.access == Access(("auditor",), ("alice",), ("p-1",))
    assert one.tool_access == {"erase": Access(roles=("admin",))}
    assert one.approve == ("erase", "destructive")
    assert one.approvers == Access(users=("alice",))
    assert one.task_types["look"].access == Access(users=("bob",))
    assert host(tmp_path, SMALLEST).access is None


WRONG_ACCESS = [
    (SMALLEST + "access = {}", "hosts.mine.access: it lets nobody in: name roles, users or"),
    (SMALLEST + "approve = ['']", "hosts.mine.approve[0]: expected a pattern of 1 to 128"),
    (SMALLEST + f"approve = {['x'] * 101}", "hosts.mine.approve: expected at most 100 patterns"),
    (SMALLEST + "approve = ['x']\napprovers = {}", "hosts.mine.approvers: it lets nobody in"),
    (
        SMALLEST + "approvers = { roles = ['admin'] }",
        "hosts.mine.approvers: nothing has to be approved",
    ),
    (SMALLEST + "tool_access.t = { users = [] }", "hosts.mine.tool_access.t: it lets nobody in"),
    (SMALLEST + "access.roles = ['root']", "hosts.mine.access.roles[0]: invalid enum value 'root'"),
    (SMALLEST + "access.users = ['-']", "hosts.mine.access.users[0]: '-' can be no user's id"),
    (SMALLEST + "access.users = ['a b']", "hosts.mine.access.users[0]: 'a b' can be no user's id"),
    (
        SMALLEST + "access.projects = ['p', 'x.y']",
        "hosts.mine.access.projects[1]: 'x.y' can be no project's id",
    ),
    (SMALLEST + "access.user = ['a']", "hosts.mine.access: object contains unknown field user"),
    (
        SMALLEST + "owner = 'alice'\naccess.users = ['alice']",
        "hosts.mine.access: a user's host is for that user alone",
    ),
    (
        SMALLEST + f"access.users = {[f'u{n}' for n in range(1001)]}",
        "hosts.mine.access: expected at most 1000 users and projects",
    ),
    (
        SPACE + SCAN + "tool_access.t = { roles = ['user'] }",
        "hosts.space.tool_access: a host of the kind execute has no tools",
    ),
    (
        HTTP + "task_types.x = { steps = [{ tool = 't' }], access = { roles = [] } }",
        "hosts.web.task_types.x.access: it lets nobody in",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG_ACCESS)
def test_a_mistake_about_whom_a_host_is_for_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    assert refusal(tmp_path, text).startswith(message)
