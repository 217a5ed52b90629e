"""What the rooms around people ask of one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from services.gateway.access.identity import Principal
from services.gateway.people.records import User


class Came(NamedTuple):
    """How somebody has come in."""

    method: str
    """`password`, `device`, `link`, or the provider."""
    address: str = ""
    agent: str = ""
    request_id: str = ""


class Begun(NamedTuple):
    """What a sign-in gives out, once. Nothing of it is stored or logged."""

    session: str
    """Its id."""
    access: str
    """A token for `Authorization: Bearer`."""
    access_s: float
    """Seconds until that ends."""
    refresh: str
    refresh_s: float


class People(Protocol):
    """The users, as others need them. `None` of `get` is also a disabled user's answer."""

    def get(self, name: str) -> User | None:
        """A user who may come in."""

    def account(self, name: str) -> User | None:
        """The account of this name, also a disabled one, and what is left of a deleted one."""

    async def seen(self, user: User, better: str) -> None:
        """Note that somebody has come in; `better`: a better hash of the password."""

    async def create(self, user: User, asked_by: str) -> User:
        """Make a user. Raises Rejected(CONFLICT), StoreError."""


class SignIns(Protocol):
    """Sign-ins of people."""

    cookie: str
    """What the cookie of a browser is called."""

    async def begin(self, user: User, came: Came) -> Begun:
        """Somebody has shown who they are. Raises Rejected, StoreError."""

    def browser(self, headers: dict[str, str]) -> Principal | None:
        """Whose session the cookie of a request is; None: nobody's that is good."""

    def check_form(self, headers: dict[str, str], principal: Principal, token: str) -> None:
        """Refuse a change that another site had the browser send: its origin and its anti-forgery
        token are looked at. Raises Rejected(FORBIDDEN)."""

    def form_token(self, principal: Principal) -> str:
        """The anti-forgery token of this session, to be sent back with each change."""

    def cookies(self, begun: Begun) -> list[tuple[bytes, bytes]]:
        """The `Set-Cookie` headers that give a browser this session."""


OnGone = Callable[[frozenset[str]], object]
"""Called with ids (`Principal.token`) of tokens, sessions and grants that have ended."""
