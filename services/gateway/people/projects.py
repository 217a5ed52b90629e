"""Projects of all gateways: made, found, changed by revision, so that no change undoes another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from contracts.errors import Reason, Rejected
from contracts.ids import is_token
from services.gateway.access.identity import Principal
from services.gateway.access.use import OverBudget
from services.gateway.people import membership
from services.gateway.people.membership import Deed, MemberRole, no_project
from services.gateway.people.records import Project, ProjectMember
from services.gateway.people.state import Gone, HeldRecord, PeopleState
from services.process.ids import new_id

MOST_PROJECTS = 200
"""Projects that one user may own and that are not archived."""
TRIES = 10
"""How often a change is decided again because another was first."""
_AGAIN_S = 3600.0

Change = Callable[[Project], Project]
"""A decision about the project as it is now. May raise Rejected."""


class ProjectPage(NamedTuple):
    """Some of somebody's projects, newest first."""

    projects: list[Project]
    cursor: int | None


class Projects:
    """All projects, as far as this gateway has heard."""

    def __init__(
        self,
        state: PeopleState,
        new: Callable[[], str] = new_id,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._table = state.table("project", Project)
        self._table.on_change.append(self._changed)
        self._of: dict[str, set[str]] = {}
        """Projects in which somebody is, by user."""
        self._new = new
        self._now = now

    async def create(self, user: str, wanted: Project) -> Project:
        """Make a project; its owner is `user`. Raises Rejected, StoreError."""
        held = (self._table.get(id_) for id_ in self._of.get(user, ()))
        owned = [one for one in held if one is not None and _counts(one.value, user)]
        if len(owned) >= MOST_PROJECTS:
            text = f"{user} owns {MOST_PROJECTS} projects, the most there may be: archive some"
            raise OverBudget(text, _AGAIN_S)
        now = self._now()
        made = msgspec.structs.replace(
            wanted,
            id=self._new(),
            members=(ProjectMember(user, "owner"),),
            created=now,
            changed=now,
        )
        if await self._table.put(made.id, made, 0) is None:
            raise Rejected(Reason.CONFLICT, f"there is a project {made.id}: try again")
        return made

    async def find(self, project: str, who: Principal, deed: Deed) -> Project:
        """A project in which somebody may do this. One that another gateway has made just now is
        looked for. Raises Rejected, StoreError."""
        found = (await self._held(project)).value
        membership.check(found, who.user, who.powers, deed)
        return found

    async def change(self, project: str, who: Principal, deed: Deed, change: Change) -> Project:
        """Decide a change about what is there now, and make it. What stays as it was is not
        written. Raises Rejected, StoreError."""
        for _ in range(TRIES):
            held = await self._held(project)
            membership.check(held.value, who.user, who.powers, deed)
            changed = change(held.value)
            if changed == held.value:
                return changed
            changed = msgspec.structs.replace(changed, changed=self._now())
            if await self._table.put(project, changed, held.revision) is not None:
                return changed
        text = f"others change project {project} at the same time: try again"
        raise Rejected(Reason.CONFLICT, text)

    async def put_member(
        self, project: str, who: Principal, user: str, role: MemberRole
    ) -> Project:
        """Take somebody in, or give them another role. Raises Rejected, StoreError."""
        return await self.change(
            project, who, "manage", lambda found: membership.with_member(found, user, role)
        )

    async def remove_member(self, project: str, who: Principal, user: str) -> Project:
        """Put somebody out; everybody may leave. Raises Rejected, StoreError."""
        deed: Deed = "see" if user == who.user else "manage"
        return await self.change(
            project, who, deed, lambda found: membership.without_member(found, user)
        )

    def page(
        self,
        user: str | None,
        limit: int,
        cursor: int | None = None,
        *,
        name: str | None = None,
        archived: bool | None = None,
    ) -> ProjectPage:
        """Projects in which somebody is (None: all there are), newest first."""
        ids = self._table.held if user is None else self._of.get(user, ())
        held = (self._table.get(id_) for id_ in ids)
        found = [one.value for one in held if one is not None]
        wanted = sorted(
            (
                one
                for one in found
                if (cursor is None or _place(one) < cursor)
                and name in (None, one.name)
                and archived in (None, one.archived)
            ),
            key=lambda one: (_place(one), one.id),
            reverse=True,
        )
        page = wanted[:limit]
        # What was made in the same microsecond has one place, and is on one page.
        page += [one for one in wanted[limit:] if page and _place(one) == _place(page[-1])]
        return ProjectPage(page, _place(page[-1]) if len(page) < len(wanted) else None)

    def of(self, user: str) -> frozenset[str]:
        """Ids of the projects in which somebody is, by what is known here now."""
        return frozenset(self._of.get(user, ()))

    def may(self, project: str, user: str, roles: frozenset[str], deed: Deed) -> bool:
        """Whether somebody may do this in a project, by what is known here now."""
        held = self._table.get(project)
        return held is not None and membership.may(held.value, user, roles, deed)

    async def refresh(self) -> None:
        """Hear what other gateways have done up to now. Raises StoreError."""
        await self._state.refresh()

    async def _held(self, project: str) -> HeldRecord[Project]:
        if not is_token(project):
            raise no_project(project)
        held = self._table.get(project)
        if held is None:
            await self._state.refresh()
            held = self._table.get(project)
        if held is None:
            raise no_project(project)
        return held

    def _changed(self, told: Gone[Project]) -> None:
        before = {one.user for one in told.before.members} if told.before else set()
        after = {one.user for one in told.after.members} if told.after else set()
        for user in after - before:
            self._of.setdefault(user, set()).add(told.key)
        for user in before - after:
            of = self._of.get(user, set())
            of.discard(told.key)
            if not of:
                self._of.pop(user, None)


def _counts(project: Project, user: str) -> bool:
    return not project.archived and membership.role_in(project, user) == "owner"


def _place(project: Project) -> int:
    """Where it stands in a list: when it was made, in microseconds."""
    return int(project.created * 1_000_000)
