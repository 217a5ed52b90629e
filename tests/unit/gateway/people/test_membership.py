"""Who may do what in a project: the whole matrix, and that there is always an owner."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from services.gateway.people import membership
from services.gateway.people.membership import MOST_MEMBERS, Deed, MemberRole
from services.gateway.people.records import Project, ProjectMember

USERS = st.sampled_from(["ann", "ben", "cat", "dan"])
ROLES = st.sampled_from(get_args(MemberRole))
STEPS = st.lists(st.tuples(USERS, ROLES | st.none()), max_size=20)
NONE: frozenset[str] = frozenset()


def project(**members: MemberRole) -> Project:
    return Project(id="p", name="p", members=tuple(ProjectMember(*one) for one in members.items()))


@pytest.mark.parametrize(
    ("who", "roles", "deeds"),
    [
        ("owner", NONE, {"see", "submit", "manage"}),
        ("editor", NONE, {"see", "submit"}),
        ("viewer", NONE, {"see"}),
        ("stranger", NONE, set()),
        ("stranger", {"auditor"}, {"see"}),
        ("stranger", {"admin"}, {"see", "manage"}),
        ("viewer", {"admin"}, {"see", "manage"}),
        ("editor", {"admin"}, {"see", "submit", "manage"}),
    ],
)
def test_each_role_may_what_the_table_says(who: str, roles: set[str], deeds: set[str]) -> None:
    one = project(owner="owner", editor="editor", viewer="viewer")
    held = frozenset(roles)
    assert {d for d in get_args(Deed) if membership.may(one, who, held, d)} == deeds
    for deed in get_args(Deed):
        if deed in deeds:
            membership.check(one, who, held, deed)
            continue
        with pytest.raises(Rejected) as refused:
            membership.check(one, who, held, deed)
        # Who sees nothing of it is told what is told of what is not there.
        expected = Reason.FORBIDDEN if "see" in deeds else Reason.NOT_FOUND
        assert refused.value.reason is expected
        if not deeds:
            assert refused.value.message == membership.no_project("p").message


def changing(one: Project, user: str, role: MemberRole | None) -> tuple[Project, Reason | None]:
    """The project afterwards, and why it stayed as it was."""
    try:
        if role is None:
            return membership.without_member(one, user), None
        return membership.with_member(one, user, role), None
    except Rejected as refused:
        return one, refused.reason


@given(STEPS)
def test_whatever_happens_there_is_an_owner_and_everybody_is_in_it_once(
    steps: list[tuple[str, MemberRole | None]],
) -> None:
    now, known = project(ann="owner"), {"ann": "owner"}
    for user, role in steps:
        owners = [one for one, held in known.items() if held == "owner"]
        wrong: Reason | None = None
        if role is None and user not in known:
            wrong = Reason.NOT_FOUND
        elif owners == [user] and role != "owner":
            wrong = Reason.CONFLICT
        changed, found = changing(now, user, role)
        assert found is wrong
        if wrong is None:
            now = changed
            known.pop(user, None) if role is None else known.update({user: role})
        assert {one.user: one.role for one in now.members} == known
        assert len(now.members) == len(known)
        assert "owner" in known.values()


def test_a_project_has_only_so_many_members() -> None:
    members = tuple(ProjectMember(f"u{n}", "viewer") for n in range(MOST_MEMBERS - 1))
    full = Project(id="p", name="p", members=(ProjectMember("ann", "owner"), *members))
    with pytest.raises(Rejected, match="the most there may be"):
        membership.with_member(full, "ben", "viewer")
    assert membership.role_in(membership.with_member(full, "u1", "editor"), "u1") == "editor"


def test_an_archived_project_takes_nothing() -> None:
    with pytest.raises(Rejected, match="is archived") as refused:
        membership.check_open(Project(id="p", name="p", members=(), archived=True))
    assert refused.value.reason is Reason.CONFLICT
    membership.check_open(project(ann="owner"))
