"""Profiles of all gateways: what agents are shown at `/mcp/PROFILE`, kept under a name.

They are one user's, a project's, or for everybody; a name means one's own before everybody's, and
that before one of a project.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from contracts.errors import Reason, Rejected
from services.gateway.domain import LONGEST_NAME
from services.gateway.mcp.address import DoorAddress, selected
from services.gateway.mcp.selection import ToolChoice
from services.gateway.people.projects import Projects
from services.gateway.people.state import Gone, HeldRecord, PeopleState

MOST_PROFILES = 50
"""Profiles of one user, of one project, and for everybody."""
MOST_BYTES = 64 * 1024
"""Of one profile."""


class Profile(ToolChoice, frozen=True, kw_only=True, omit_defaults=True):
    """`profile.<digest of place and name>`: a selection under a name."""

    name: str
    user: str = ""
    """Whose it is alone."""
    project: str = ""
    """In which it is; neither user nor project: it is for everybody."""
    description: str = ""
    by: str = ""
    """Who has set it."""
    changed: float = 0.0


class ProfilePlace(NamedTuple):
    """Where profiles are: with a user, in a project, or (neither) where everybody has them."""

    user: str = ""
    project: str = ""

    def path(self, name: str) -> str:
        """A profile as people read it; no name and no id has a slash in it."""
        if self.user:
            return f"user/{self.user}/{name}"
        return f"project/{self.project}/{name}" if self.project else f"everybody/{name}"

    def key(self, name: str) -> str:
        """The key of a profile."""
        return hashlib.sha256(self.path(name).encode()).hexdigest()


EVERYBODY = ProfilePlace()


class Profiles:
    """All profiles, as far as this gateway has heard. Raises StoreError where it writes."""

    def __init__(
        self, state: PeopleState, projects: Projects, now: Callable[[], float] = time.time
    ) -> None:
        self._state = state
        self._projects = projects
        self._table = state.table("profile", Profile)
        self._table.on_change.append(self._changed)
        self._at: dict[ProfilePlace, set[str]] = {}
        """Names, by place."""
        self._written: dict[ProfilePlace, dict[str, Profile]] = {}
        """Those of manifests, which stand for what is kept under the same names."""
        self._now = now
        self.on_change: list[Callable[[], object]] = []

    def write_down(self, profiles: Iterable[Profile]) -> None:
        """These stand in manifests."""
        for one in profiles:
            self._written.setdefault(ProfilePlace(one.user, one.project), {})[one.name] = one

    def selection(self, user: str, asked: DoorAddress) -> ToolChoice:
        """What an address is about, by what is known here now. Raises Rejected(NOT_FOUND)."""
        if asked.profile:
            return selected(asked, self.named(user, asked.profile))
        return selected(asked, None if asked.hosts else self._default(user))

    def named(self, user: str, name: str) -> Profile:
        """What this name means for somebody. Raises Rejected(NOT_FOUND, CONFLICT)."""
        for place in (ProfilePlace(user), EVERYBODY):
            if (held := self.at(place, name)) is not None:
                return held.value
        found = [self.at(place, name) for place in self._shared(user)]
        there = [held.value for held in found if held is not None]
        if len(there) > 1:
            text = f"{len(there)} of your projects have a profile {name}: give one another name"
            raise Rejected(Reason.CONFLICT, text)
        if not there:
            raise no_profile(name)
        return there[0]

    def of(self, user: str) -> list[Profile]:
        """All that somebody can use, in the order in which names are looked up."""
        places = (ProfilePlace(user), EVERYBODY, *self._shared(user))
        found = (self.at(at, name) for at in places for name in sorted(self._names(at)))
        return [held.value for held in found if held is not None]

    def at(self, place: ProfilePlace, name: str) -> HeldRecord[Profile] | None:
        """The profile of this name in a place."""
        written = self._written.get(place, {}).get(name)
        return self._table.get(place.key(name)) if written is None else HeldRecord(written, 0)

    async def put(self, wanted: Profile) -> Profile:
        """Set a profile in the place of what there was. Raises Rejected."""
        made = msgspec.structs.replace(wanted, changed=self._now())
        if len(msgspec.json.encode(made)) > MOST_BYTES:
            text = f"a profile has at most {MOST_BYTES} bytes: say the same with patterns"
            raise Rejected(Reason.TOO_LARGE, text)
        place = ProfilePlace(made.user, made.project)
        self._check_kept(place, made.name)
        await self._state.refresh()
        held, there = self.at(place, made.name), self._at.get(place, ())
        if held is None and len(there) >= MOST_PROFILES:
            text = f"there are {MOST_PROFILES} profiles, the most there may be: take one away"
            raise Rejected(Reason.RATE_LIMITED, text)
        revision = 0 if held is None else held.revision
        if await self._table.put(place.key(made.name), made, revision) is None:
            text = f"somebody else has just changed profile {made.name}: look at it again"
            raise Rejected(Reason.CONFLICT, text)
        return made

    async def delete(self, place: ProfilePlace, name: str) -> None:
        """Take a profile away. Raises Rejected(NOT_FOUND, CONFLICT)."""
        self._check_kept(place, name)
        if not await self._table.delete(place.key(name)):
            raise no_profile(name)

    async def refresh(self) -> None:
        """Hear what other gateways have done up to now. Raises StoreError."""
        await self._state.refresh()

    def _default(self, user: str) -> ToolChoice | None:
        """Of somebody who names none: the only one of their projects.

        Everybody can be taken into a project unasked. So it leaves away only: what a tool is called
        and said to do is another's word, for which one has to ask by the profile's name.
        """
        found = [(at, name) for at in self._shared(user) for name in self._names(at)]
        held = self.at(*found[0]) if len(found) == 1 else None
        return None if held is None else msgspec.structs.replace(held.value, changes=())

    def _shared(self, user: str) -> list[ProfilePlace]:
        """The projects of somebody that have profiles."""
        places = (ProfilePlace(project=project) for project in self._projects.of(user))
        return sorted(place for place in places if place in self._at or place in self._written)

    def _names(self, place: ProfilePlace) -> set[str]:
        return self._at.get(place, set()) | self._written.get(place, {}).keys()

    def _check_kept(self, place: ProfilePlace, name: str) -> None:
        """Refuse to change what stands in a manifest. Raises Rejected(CONFLICT)."""
        if name in self._written.get(place, {}):
            text = f"profile {name} stands in a manifest: change it there, and start the gateway"
            raise Rejected(Reason.CONFLICT, text)

    def _changed(self, told: Gone[Profile]) -> None:
        value = told.after or told.before
        assert value is not None
        names = self._at.setdefault(ProfilePlace(value.user, value.project), set())
        names.discard(value.name)
        if told.after is not None:
            names.add(value.name)
        if not names:
            del self._at[ProfilePlace(value.user, value.project)]
        for hook in self.on_change:
            hook()


def no_profile(name: str) -> Rejected:
    """The answer about a profile that is not there, or that is none of theirs."""
    return Rejected(Reason.NOT_FOUND, f"there is no profile {name[:LONGEST_NAME]}")
