"""What this room asks of those around it, besides `services.gateway.people.ports`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from services.gateway.people.ports import Begun, Came, People, SignIns
from services.gateway.people.records import User


class PasswordDoor(Protocol):
    """PasswordDoor of people."""

    async def sign_in(self, name: str, password: str, came: Came) -> tuple[User, Begun]:
        """Begin a session. Raises Rejected(UNAUTHORIZED, RATE_LIMITED, UNAVAILABLE), StoreError.

        It is slow on purpose, notes what it finds, and says the same of a name that nobody has.
        """


class LinkedPeople(Protocol):
    """Who people of other places are here."""

    def user_of(self, provider: str, subject: str) -> str | None:
        """The user's name; None: nobody has linked this identity."""

    async def link(self, provider: str, subject: str, user: str, login: str) -> None:
        """Note that this identity is this user. Raises Rejected(CONFLICT), StoreError."""


class SignInButton(NamedTuple):
    """Another way to sign in than with a password."""

    title: str
    """Such as `GitHub`."""
    path: str
    """Where it begins; `next` is added to it."""


class Doors(NamedTuple):
    """How people come in, and who they are."""

    people: People
    sign_ins: SignIns
    passwords: PasswordDoor
    linked: LinkedPeople
    buttons: Callable[[], Sequence[SignInButton]] = tuple
