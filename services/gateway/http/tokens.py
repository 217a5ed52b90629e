"""Routes under `/api/tokens`: the role admin issues, lists and revokes tokens of the API."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, QueryParameter, RawBody

from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from services.gateway.access.identity import Principal
from services.gateway.access.tokens import Issued, Role
from services.gateway.domain import ADMIN
from services.gateway.http.parts import Asking, Envelope, Page, Wired, ok, read
from services.gateway.openapi.document import described
from services.process import telemetry

LONGEST_S = 10 * 366 * 86_400
MOST_NOTE = 200

Limit = Annotated[int, QueryParameter(description="At most so many.", ge=1, le=1000)]
After = Annotated[int, QueryParameter(description="`next_cursor` of the page before.", ge=0)]
Owner = Annotated[str | None, QueryParameter(description="Only tokens of this user.")]

log = telemetry.get_logger()


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to issue."""

    user: str
    roles: tuple[Role, ...] = ()
    """Besides `user`, which everybody has."""
    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_S)] | None = None
    """Seconds until it expires; None: never."""
    note: Annotated[str, msgspec.Meta(max_length=MOST_NOTE)] = ""
    """What it is for, for people."""


class Made(Issued, frozen=True, kw_only=True):
    """A token that was issued; this answer alone has its text."""

    token: str

    def __repr__(self) -> str:
        return f"Made(id={self.id!r}, user={self.user!r}, token=…)"


@post("/api/tokens", status_code=201, opt=described(body=NewToken, errors=(403, 409, 503)))
async def add_token(body: RawBody, parts: Wired, principal: Asking) -> Envelope[Made]:
    """Issue a token for a user. Its text is shown once, here."""
    _admin(principal)
    wanted = read(body, NewToken)
    user = check_token(wanted.user, "user")
    roles = tuple(sorted(set(wanted.roles) - {"user"}))
    issued, token = await parts.tokens.add(user, roles, wanted.ttl_s, wanted.note)
    log.info("token_added", id=issued.id, user=user, roles=roles, asked_by=principal.user)
    made = Made(**msgspec.structs.asdict(issued), token=token)
    return ok(made, "keep the token: it is shown only this once")


@get("/api/tokens", opt=described(errors=(403, 503)))
async def list_tokens(
    parts: Wired, principal: Asking, user: Owner = None, limit: Limit = 500, cursor: After = 0
) -> Page[Issued]:
    """List issued tokens, oldest first, without their text."""
    _admin(principal)
    await parts.tokens.refresh()
    found, after = parts.tokens.page(user, cursor, limit)
    return Page(True, found, next_cursor=after)


@delete("/api/tokens/{token:str}", status_code=200, opt=described(errors=(403, 503)))
async def revoke_token(token: FromPath[str], parts: Wired, principal: Asking) -> Envelope[Issued]:
    """End the token with this id, at all gateways within a second."""
    _admin(principal)
    issued = await parts.tokens.revoke(token)
    log.info("token_revoked", id=issued.id, user=issued.user, asked_by=principal.user)
    return ok(issued, "revoked")


def _admin(principal: Principal) -> None:
    if ADMIN not in principal.roles:
        raise Rejected(Reason.FORBIDDEN, "tokens are issued and revoked by the role `admin`")


ROUTES = (add_token, list_tokens, revoke_token)
