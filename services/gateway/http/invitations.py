"""Routes of invitations: the role admin lets somebody come in for the first time."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, QueryParameter, RawBody

from contracts import scopes
from contracts.ids import check_user
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.http.parts import Asking, Envelope, Page, Wired, ok, read
from services.gateway.http.signin import Door
from services.gateway.openapi.document import described
from services.gateway.people.records import Invitation

PATH = "/api/auth/invitations"
LONGEST_S = 30 * 86_400
DEFAULT_S = 7 * 86_400
Limit = Annotated[int, QueryParameter(description="At most so many.", ge=1, le=1000)]
After = Annotated[int, QueryParameter(description="`next_cursor` of the page before.", ge=0)]


class NewInvitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody to invite."""

    user: str
    """As whom they come in; an account that is there is linked to."""
    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_S)] = DEFAULT_S
    """Seconds in which they have to come."""


class InvitationView(msgspec.Struct, frozen=True):
    """An invitation that nobody has used yet."""

    id: str
    user: str
    by: str
    created: float
    """Seconds since the epoch."""
    expires: float
    """The same."""


class InvitationMade(InvitationView, frozen=True, kw_only=True):
    """An invitation; this answer alone has its code."""

    code: str
    starts: tuple[str, ...]
    """Paths that it begins with, one for each provider."""
    urls: tuple[str, ...]
    """The same as whole addresses; only the paths, where the gateway does not know its own."""

    def __repr__(self) -> str:
        return f"InvitationMade(id={self.id!r}, user={self.user!r}, code=…)"


EXAMPLES: tuple[msgspec.Struct, ...] = (
    NewInvitation("ann"),
    InvitationView("5e" * 32, "ann", "root", 1_767_225_600.0, 1_767_830_400.0),
    InvitationMade(
        *("5e" * 32, "ann", "root", 1_767_225_600.0, 1_767_830_400.0),
        code="mti_…",
        starts=("/api/auth/github/start?invite=mti_…",),
        urls=("https://tasks.example.com/api/auth/github/start?invite=mti_…",),
    ),
)


@post(
    PATH,
    status_code=201,
    opt=described(scope=scopes.ADMIN, body=NewInvitation, errors=(403, 503)),
)
async def invite(
    body: RawBody, parts: Wired, principal: Asking, door: Door
) -> Envelope[InvitationMade]:
    """Invite somebody. The code is shown once, here."""
    _admin(principal)
    wanted = read(body, NewInvitation)
    user = check_user(wanted.user)
    code, made, key = await door.invitations.add(user, principal.user, wanted.ttl_s)
    who = principal.asked_by or principal.user
    parts.trail.note("invitation.added", user=user, asked_by=who, subject=key)
    starts = tuple(f"/api/auth/{name}/start?invite={code}" for name in door.providers)
    made_ = InvitationMade(
        **msgspec.structs.asdict(_view(key, made)),
        code=code,
        starts=starts,
        urls=tuple(door.address(path) for path in starts),
    )
    return ok(made_, "send it to them, and only them")


@get(PATH, opt=described(scope=scopes.ADMIN, errors=(403, 503)))
async def list_invitations(
    principal: Asking, door: Door, limit: Limit = 500, cursor: After = 0
) -> Page[InvitationView]:
    """List the invitations that nobody has used yet, oldest first."""
    _admin(principal)
    found, after = door.invitations.page(cursor, limit)
    return Page(True, [_view(key, one) for key, one in found], next_cursor=after)


@delete(
    f"{PATH}/{{key:str}}", status_code=200, opt=described(scope=scopes.ADMIN, errors=(403, 503))
)
async def withdraw_invitation(
    key: FromPath[str], parts: Wired, principal: Asking, door: Door
) -> Envelope[InvitationView]:
    """Take an invitation back."""
    _admin(principal)
    gone = await door.invitations.withdraw(key)
    who = principal.asked_by or principal.user
    parts.trail.note("invitation.removed", user=gone.user, asked_by=who, subject=key)
    return ok(_view(key, gone), "taken back")


def _view(key: str, one: Invitation) -> InvitationView:
    return InvitationView(key, one.user, one.by, one.created, one.expires)


def _admin(principal: Principal) -> None:
    if not principal.operator:
        raise NotAllowed("role admin", "invitations are for the role `admin`")


ROUTES = (invite, list_invitations, withdraw_invitation)
