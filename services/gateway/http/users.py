"""Routes under `/api/users`: the role admin makes, changes and deletes accounts."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath, QueryParameter, RawBody

from contracts.errors import Reason, Rejected
from contracts.scopes import ADMIN
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.http.auth import PasswordSet
from services.gateway.http.parts import MOST_SEQ, Asking, Envelope, Page, Parts, Wired, ok, read
from services.gateway.openapi.document import described
from services.gateway.people.records import Role, User
from services.gateway.people.users import changed

MOST_DISPLAY = 200
MOST_EMAIL = 254
OWN = frozenset({"display", "email"})
"""What people may change of their own account."""
Display = Annotated[str, msgspec.Meta(max_length=MOST_DISPLAY)]
Email = Annotated[str, msgspec.Meta(max_length=MOST_EMAIL, pattern=r"^([^@\s]+@[^@\s]+)?$")]
Limit = Annotated[int, QueryParameter(description="At most so many.", ge=1, le=1000)]
After = Annotated[
    int, QueryParameter(description="`next_cursor` of the page before.", ge=0, le=MOST_SEQ)
]


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user to make."""

    name: str
    password: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    """None: they come in otherwise, or not yet."""
    roles: tuple[Role, ...] = ()
    """Besides `user`, which everybody has."""
    display: Display = ""
    email: Email = ""
    service: bool = False
    """A program: it has tokens only."""
    again: bool = False
    """Also if a user of this name was deleted: tasks and results that are kept become theirs."""

    def __repr__(self) -> str:
        return f"NewUser(name={self.name!r}, …)"


class ChangedUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be otherwise; what is left out stays."""

    display: Display | msgspec.UnsetType = msgspec.UNSET
    email: Email | msgspec.UnsetType = msgspec.UNSET
    roles: tuple[Role, ...] | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET
    end_everything: bool = False
    """End all sessions, tokens and grants of theirs."""


class OtherPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another password of a user; None takes it away."""

    password: Annotated[str, msgspec.Meta(max_length=4096)] | None

    def __repr__(self) -> str:
        return "OtherPassword(password=…)"


class UserView(msgspec.Struct, frozen=True):
    """An account as it is shown."""

    name: str
    roles: tuple[str, ...]
    display: str
    email: str
    disabled: bool
    service: bool
    has_password: bool
    created: float
    """Seconds since the epoch."""
    changed: float
    seen: float
    """When they last signed in with a password; 0: never."""


AT = 1767225600.0
EXAMPLES = (
    NewUser("ann", "a long password", ("admin",), "Ann", "ann@example.com"),
    ChangedUser(display="Ann", roles=("auditor",)),
    OtherPassword("a longer password"),
    UserView("ann", ("admin",), "Ann", "ann@example.com", False, False, True, AT, AT, AT),
)


@get("/api/users", opt=described(scope=ADMIN, errors=(403, 503)))
async def list_users(
    parts: Wired, principal: Asking, limit: Limit = 500, cursor: After = 0
) -> Page[UserView]:
    """List the accounts, those changed longest ago first."""
    _admin(principal)
    await parts.state.refresh()
    found, after = parts.users.page(cursor, limit)
    return Page(True, [view(one) for one in found], next_cursor=after)


@post(
    "/api/users", status_code=201, opt=described(scope=ADMIN, body=NewUser, errors=(403, 409, 503))
)
async def add_user(body: RawBody, parts: Wired, principal: Asking) -> Envelope[UserView]:
    """Make an account."""
    _admin(principal)
    wanted = read(body, NewUser)
    if wanted.service and (wanted.password is not None or "admin" in wanted.roles):
        raise Rejected(Reason.BAD_REQUEST, "a service has no password, and is no admin")
    password = ""
    if wanted.password is not None:
        password = await parts.entrance.passwords.hash(wanted.password, wanted.name)
    user = User(
        name=wanted.name,
        roles=_roles(wanted.roles),
        display=wanted.display,
        email=wanted.email,
        password=password,
        service=wanted.service,
    )
    made = await parts.users.create(user, principal.asked_by, again=wanted.again)
    return ok(view(made), "made")


@get("/api/users/{person:str}", opt=described(scope=ADMIN, errors=(403, 503)))
async def show_user(person: FromPath[str], parts: Wired, principal: Asking) -> Envelope[UserView]:
    """Show an account: one's own, or as `admin` anybody's."""
    _own_or_admin(principal, person)
    await parts.state.refresh()
    found = parts.users.account(person)
    if found is None or found.deleted:
        raise Rejected(Reason.NOT_FOUND, "there is no such user")
    return ok(view(found))


@patch(
    "/api/users/{person:str}", opt=described(scope=ADMIN, body=ChangedUser, errors=(403, 409, 503))
)
async def change_user(
    person: FromPath[str], body: RawBody, parts: Wired, principal: Asking
) -> Envelope[UserView]:
    """Change an account. Disabled, or with a role less, a user's sessions and streams end at all
    gateways within a second; of one's own account one may change `display` and `email`."""
    _own_or_admin(principal, person)
    wanted = read(body, ChangedUser)
    fields = {
        name: value
        for name in ("display", "email", "roles", "disabled")
        if (value := getattr(wanted, name)) is not msgspec.UNSET
    }
    if not principal.operator and (wanted.end_everything or not fields.keys() <= OWN):
        raise NotAllowed("role admin", "roles and `disabled` are changed by the role `admin`")
    if "roles" in fields:
        fields["roles"] = _roles(fields["roles"])
    return ok(view(await _changed(parts, principal, person, fields, wanted)), "changed")


@delete(
    "/api/users/{person:str}", status_code=200, opt=described(scope=ADMIN, errors=(403, 409, 503))
)
async def delete_user(person: FromPath[str], parts: Wired, principal: Asking) -> Envelope[UserView]:
    """Delete an account. Its tasks and results stay, and its name is not given to anybody else by
    accident."""
    _admin(principal)
    gone = await parts.users.delete(person, principal.asked_by)
    return ok(view(gone), "deleted")


@post(
    "/api/users/{person:str}/password",
    status_code=200,
    opt=described(scope=ADMIN, body=OtherPassword, errors=(403, 409, 503)),
)
async def set_password(
    person: FromPath[str], body: RawBody, parts: Wired, principal: Asking
) -> Envelope[PasswordSet]:
    """Give a user another password, or none. All their sessions end."""
    _admin(principal)
    wanted = read(body, OtherPassword)
    await parts.entrance.set_password(person, wanted.password, principal.asked_by)
    return ok(PasswordSet(person), "changed; all sessions have ended")


def view(user: User) -> UserView:
    """An account without what nobody is shown."""
    return UserView(
        name=user.name,
        roles=user.roles,
        display=user.display,
        email=user.email,
        disabled=user.disabled,
        service=user.service,
        has_password=bool(user.password),
        created=user.created,
        changed=user.changed,
        seen=user.seen,
    )


async def _changed(
    parts: Parts, principal: Principal, person: str, fields: dict[str, Any], wanted: ChangedUser
) -> User:
    if wanted.end_everything:
        await parts.users.end_everything(person, principal.asked_by)
    return await parts.users.change(person, changed(fields), principal.asked_by)


def _roles(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    return tuple(sorted(set(roles) - {"user"}))


def _admin(principal: Principal) -> None:
    if not principal.operator:
        raise NotAllowed("role admin", "accounts are kept by the role `admin`")


def _own_or_admin(principal: Principal, person: str) -> None:
    if person != principal.user and not principal.operator:
        # Nobody else is told which users there are.
        raise Rejected(Reason.NOT_FOUND, "there is no such user")


ROUTES = (list_users, add_user, show_user, change_user, delete_user, set_password)
