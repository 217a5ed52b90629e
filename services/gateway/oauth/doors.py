"""How people come in here, as the authorization server needs it."""

from __future__ import annotations

from contracts.errors import Reason, Rejected
from services.gateway.oauth.ports import Doors, SignInButton
from services.gateway.people.entrance import Entrance
from services.gateway.people.identities import LinkedIdentities, identity_key
from services.gateway.people.ports import People
from services.gateway.people.providers.door import SignInDoor
from services.gateway.people.records import LinkedIdentity, User


class PeopleElsewhere:
    """See `LinkedPeople`: the identities that people have linked."""

    def __init__(self, identities: LinkedIdentities, people: People) -> None:
        self._identities = identities
        self._people = people

    def user_of(self, provider: str, subject: str) -> str | None:
        """See `LinkedPeople`."""
        owner = self._identities.owner(identity_key(provider, subject))
        return owner.name if isinstance(owner, User) else owner

    async def link(self, provider: str, subject: str, user: str, login: str) -> None:
        """See `LinkedPeople`."""
        found = self._people.get(user)
        if found is None:
            raise Rejected(Reason.CONFLICT, f"there is no user {user} who may come in")
        identity = LinkedIdentity(provider=provider, subject=subject, user=user, login=login)
        await self._identities.link(identity_key(provider, subject), identity, found)


def doors_of(door: SignInDoor, entrance: Entrance) -> Doors:
    """Passwords, and a button for each provider."""

    def buttons() -> tuple[SignInButton, ...]:
        every = door.providers.values()
        return tuple(SignInButton(p.title, f"/api/auth/{p.name}/start") for p in every)

    linked = PeopleElsewhere(door.identities, door.people)
    return Doors(door.people, door.sign_ins, entrance, linked, buttons)
