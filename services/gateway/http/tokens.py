"""Routes under `/api/tokens`: people have tokens of their own, the role admin those of all."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, QueryParameter, RawBody

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.ids import check_user
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.access.tokens import Issued, Role, no_token
from services.gateway.http.parts import Asking, Envelope, Page, Parts, Wired, ok, read
from services.gateway.openapi.document import described
from services.process import telemetry

LONGEST_S = 10 * 366 * 86_400
MOST_NOTE = 200
OTHERS = "tokens of others are for the role `admin`"

Limit = Annotated[int, QueryParameter(description="At most so many.", ge=1, le=1000)]
After = Annotated[int, QueryParameter(description="`next_cursor` of the page before.", ge=0)]
Owner = Annotated[str | None, QueryParameter(description="Only tokens of this user.")]
HERE_ONLY = (
    "revoked at this gateway alone: NATS takes no change now. It is told as soon as it does; until"
    " then other gateways, and this one after a restart, still take the token"
)

log = telemetry.get_logger()


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to issue."""

    user: str | None = None
    """None: oneself."""
    roles: tuple[Role, ...] = ()
    """Besides `user`, which everybody has."""
    scopes: tuple[str, ...] | None = None
    """What it is good for; None: for all that the roles and the token that asks allow."""
    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_S)] | None = None
    """Seconds until it expires; None: never."""
    note: Annotated[str, msgspec.Meta(max_length=MOST_NOTE)] = ""
    """What it is for, for people."""


class Made(Issued, frozen=True, kw_only=True):
    """A token that was issued; this answer alone has its text."""

    token: str

    def __repr__(self) -> str:
        return f"Made(id={self.id!r}, user={self.user!r}, token=…)"


class Revoked(Issued, frozen=True, kw_only=True):
    """A token that was ended."""

    everywhere: bool = True
    """False: NATS takes no change now, so only the gateway that was asked knows."""


@post(
    "/api/tokens",
    status_code=201,
    opt=described(scope=scopes.ADMIN, body=NewToken, errors=(403, 409, 503)),
)
async def add_token(body: RawBody, parts: Wired, principal: Asking) -> Envelope[Made]:
    """Issue a token: for oneself, or as `admin` for anybody. Its text is shown once, here. Nobody
    can give it more roles, scopes or time than the one has that asks."""
    principal.needs(scopes.ADMIN)
    wanted = read(body, NewToken)
    user = check_user(principal.user if wanted.user is None else wanted.user)
    roles = tuple(sorted(set(wanted.roles) - {"user"}))
    _check_roles(parts, principal, user, frozenset(roles))
    good_for = _scopes(principal, wanted.scopes)
    _check_time(parts, principal, wanted.ttl_s)
    await parts.state.refresh()
    await parts.tokens.refresh()
    parts.quotas.check(user, "tokens", "revoke some that are not used")
    by = "" if user == principal.user else principal.user
    issued, token = await parts.tokens.add(
        user, roles, wanted.ttl_s, wanted.note, scopes=good_for, by=by
    )
    log.info("token_added", id=issued.id, user=user, roles=roles, asked_by=principal.user)
    parts.trail.note("token.issued", user=user, subject=issued.id, asked_by=principal.asked_by)
    made = Made(**msgspec.structs.asdict(issued), token=token)
    return ok(made, "keep the token: it is shown only this once")


@get("/api/tokens", opt=described(scope=scopes.ADMIN, errors=(403, 503)))
async def list_tokens(
    parts: Wired, principal: Asking, user: Owner = None, limit: Limit = 500, cursor: After = 0
) -> Page[Issued]:
    """List one's own tokens, or as `admin` those of a user or of all, oldest first, without their
    text."""
    principal.needs(scopes.ADMIN)
    if not principal.operator:
        if user not in (None, principal.user):
            raise NotAllowed("role admin", OTHERS)
        user = principal.user
    await parts.tokens.refresh()
    found, after = parts.tokens.page(user, cursor, limit)
    return Page(True, found, next_cursor=after)


@delete(
    "/api/tokens/{token:str}", status_code=200, opt=described(scope=scopes.ADMIN, errors=(403, 503))
)
async def revoke_token(token: FromPath[str], parts: Wired, principal: Asking) -> Envelope[Revoked]:
    """End the token with this id, one's own or as `admin` any, at all gateways within a second."""
    principal.needs(scopes.ADMIN)
    if not principal.operator:
        await parts.tokens.refresh()
        found = parts.tokens.find(token)
        if found is None or found.user != principal.user:
            raise no_token()
    issued, everywhere = await parts.tokens.revoke(token)
    log.info("token_revoked", id=issued.id, user=issued.user, asked_by=principal.user)
    parts.trail.note(
        "token.revoked", user=issued.user, subject=issued.id, asked_by=principal.asked_by
    )
    gone = Revoked(**msgspec.structs.asdict(issued), everywhere=everywhere)
    return ok(gone, "revoked" if everywhere else HERE_ONLY)


def _check_roles(parts: Parts, principal: Principal, user: str, roles: frozenset[str]) -> None:
    """Raises Rejected(FORBIDDEN) for what is not one's to give, (CONFLICT) for what comes to
    nothing."""
    if not principal.operator and user != principal.user:
        raise NotAllowed("role admin", OTHERS)
    if not principal.operator and (more := sorted(roles - principal.roles)):
        raise NotAllowed("that role", f"you do not have the role `{more[0]}` yourself")
    account = parts.users.account(user)
    if account is None:
        return
    if account.disabled:
        raise Rejected(Reason.CONFLICT, f"the account of {user} is disabled or deleted")
    if more := sorted(roles - frozenset(account.roles)):
        text = f"the account of {user} does not have the role `{more[0]}`: change it first"
        raise Rejected(Reason.CONFLICT, text)


def _scopes(principal: Principal, wanted: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What the new token is good for. Raises Rejected(INSUFFICIENT_SCOPE, BAD_REQUEST)."""
    if wanted is None:
        return None if principal.scopes is None else tuple(sorted(principal.scopes))
    found = scopes.check_scopes(wanted)
    if not found:
        raise Rejected(Reason.BAD_REQUEST, "a token without any scope is good for nothing")
    for scope in sorted(found):
        principal.needs(scope)
    return tuple(sorted(found))


def _check_time(parts: Parts, principal: Principal, ttl_s: float | None) -> None:
    """A token that ends gives none that lives on; whoever has signed in is no token."""
    left_s = principal.left_s()
    if left_s is None or parts.signed_in.get(principal.token or "") is not None:
        return
    if ttl_s is None or ttl_s > left_s:
        text = f"the token that asks ends in {int(left_s)} s: `ttl_s` may be no more than that"
        raise Rejected(Reason.FORBIDDEN, text)


ROUTES = (add_token, list_tokens, revoke_token)
