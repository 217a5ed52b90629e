"""Who may do what in a project, and how its members change.

Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from contracts.errors import Reason, Rejected
from contracts.ids import check_user
from services.gateway.access.identity import NotAllowed
from services.gateway.domain import ADMIN, AUDITOR, LONGEST_NAME
from services.gateway.people.records import Project, ProjectMember

MemberRole: TypeAlias = Literal["owner", "editor", "viewer"]
Deed: TypeAlias = Literal["see", "submit", "manage"]
"""What is done in a project: read it, its tasks and results; submit into it; change it."""

MOST_MEMBERS = 200
"""People in one project."""
_MAY: Mapping[MemberRole, frozenset[Deed]] = {
    "viewer": frozenset({"see"}),
    "editor": frozenset({"see", "submit"}),
    "owner": frozenset({"see", "submit", "manage"}),
}
_ANYWHERE: Mapping[str, frozenset[Deed]] = {
    AUDITOR: frozenset({"see"}),
    ADMIN: frozenset({"see", "manage"}),
}
"""What roles of the installation allow in everybody's projects."""


def role_in(project: Project, user: str) -> MemberRole | None:
    """The role of somebody in a project; None: they are not in it."""
    return next((one.role for one in project.members if one.user == user), None)


def may(project: Project, user: str, roles: frozenset[str], deed: Deed) -> bool:
    """Whether somebody may do this. `roles`: those of the installation."""
    own = role_in(project, user)
    if own is not None and deed in _MAY[own]:
        return True
    return any(deed in _ANYWHERE.get(role, ()) for role in roles)


def check(project: Project, user: str, roles: frozenset[str], deed: Deed) -> None:
    """Raises Rejected: NOT_FOUND if there is nothing for them to see, else FORBIDDEN."""
    if may(project, user, roles, deed):
        return
    if not may(project, user, roles, "see"):
        raise no_project(project.id)
    own = role_in(project, user)
    what = {"submit": "editors and owners submit into it", "manage": "owners change it"}[deed]
    you = f"you are a {own} of it" if own else "you are not in it"
    missing = f"right to {deed} in project {project.id}"
    raise NotAllowed(missing, f"project {project.id}: {what}, and {you}")


def check_open(project: Project) -> None:
    """Refuse a task for what is archived. Raises Rejected(CONFLICT)."""
    if project.archived:
        text = f"project {project.id} is archived: it takes no tasks until it is opened again"
        raise Rejected(Reason.CONFLICT, text)


def with_member(project: Project, user: str, role: MemberRole) -> Project:
    """The project with somebody in this role. Raises Rejected."""
    check_user(user)
    here = ProjectMember(user, role)
    if role_in(project, user) is None:
        if len(project.members) >= MOST_MEMBERS:
            text = f"project {project.id} has {MOST_MEMBERS} members, the most there may be"
            raise Rejected(Reason.RATE_LIMITED, text)
        members = (*project.members, here)
    else:
        members = tuple(here if one.user == user else one for one in project.members)
    return _owned(project, members)


def without_member(project: Project, user: str) -> Project:
    """The project without somebody. Raises Rejected."""
    if role_in(project, user) is None:
        text = f"{user[:LONGEST_NAME]} is not in project {project.id}"
        raise Rejected(Reason.NOT_FOUND, text)
    return _owned(project, tuple(one for one in project.members if one.user != user))


def no_project(project: str) -> Rejected:
    """The answer about a project that is not there, or that is none of theirs."""
    return Rejected(Reason.NOT_FOUND, f"there is no project {project[:LONGEST_NAME]}")


def _owned(project: Project, members: tuple[ProjectMember, ...]) -> Project:
    if not any(one.role == "owner" for one in members):
        text = f"project {project.id} would have no owner: make somebody else one first"
        raise Rejected(Reason.CONFLICT, text)
    return msgspec.structs.replace(project, members=members)
