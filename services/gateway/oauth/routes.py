"""Routes about clients, for the role admin, and about what one has let clients do."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody

from contracts.errors import Reason, Rejected
from contracts.ids import check_user
from contracts.scopes import ADMIN as ADMIN_SCOPE
from contracts.scopes import MCP_CALL, check_scopes
from services.gateway.access.identity import Principal
from services.gateway.http.parts import Asking, Cursor, Envelope, Limit, Page, Wired, ok, read
from services.gateway.oauth import clients, rules
from services.gateway.oauth.rules import OAuthError
from services.gateway.oauth.server import OAuth
from services.gateway.openapi.document import described
from services.gateway.people.records import OAuthClient, OAuthGrant

MOST_NAME = clients.LONGEST_NAME
Serving = NamedDependency[OAuth]


class NewClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client to make."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_NAME)]
    """What it is called, for people."""
    redirects: Annotated[tuple[str, ...], msgspec.Meta(max_length=clients.MOST_REDIRECTS)] = ()
    """Where people are sent back to; needed unless it acts as a service alone."""
    user: str = ""
    """The service that it may act as by itself, with its secret."""
    scopes: tuple[str, ...] = (MCP_CALL,)
    """What it may ask for at most."""
    public: bool = False
    """It has no secret: a program on people's own computers."""


class ClientView(msgspec.Struct, frozen=True, kw_only=True):
    """A client as it is shown; its secret nobody can get back."""

    id: str
    name: str
    redirects: tuple[str, ...]
    user: str
    scopes: tuple[str, ...]
    public: bool
    created: float
    expires: float | None
    by: str
    """`registration`: it has registered itself."""


class MadeClient(ClientView, frozen=True, kw_only=True):
    """A client that was made; this answer alone has its secret."""

    secret: str | None

    def __repr__(self) -> str:
        return f"MadeClient(id={self.id!r}, secret=…)"


class GrantView(msgspec.Struct, frozen=True, kw_only=True):
    """What one has let a client do."""

    id: str
    client: str
    client_name: str
    scopes: tuple[str, ...]
    created: float
    refreshed: float
    expires: float


_SHOWN = {
    "id": "0199a2b4-6c1e-7d10-8f3a-5b1c2d3e4f50",
    "name": "Nightly reports",
    "redirects": (),
    "user": "reports",
    "scopes": (MCP_CALL,),
    "public": False,
    "created": 1795978800.0,
    "expires": None,
    "by": "root",
}
EXAMPLES = (
    NewClient("Nightly reports", user="reports"),
    ClientView(**_SHOWN),  # type: ignore[arg-type]
    MadeClient(**_SHOWN, secret="…"),  # type: ignore[arg-type]
    GrantView(
        id="0199a2b4-6c1e-7d10-8f3a-5b1c2d3e4f51",
        client="0199a2b4-6c1e-7d10-8f3a-5b1c2d3e4f50",
        client_name="Editor",
        scopes=(MCP_CALL,),
        created=1795978800.0,
        refreshed=1795980600.0,
        expires=1798572600.0,
    ),
)


@post(
    "/api/clients",
    status_code=201,
    opt=described(scope=ADMIN_SCOPE, body=NewClient, errors=(403, 409, 503)),
)
async def add_client(
    body: RawBody, parts: Wired, principal: Asking, oauth: Serving
) -> Envelope[MadeClient]:
    """Make a client of OAuth. Its secret is shown once, here."""
    _admin(principal)
    wanted = read(body, NewClient)
    scopes = tuple(sorted(check_scopes(wanted.scopes)))
    _check(oauth, wanted)
    client = OAuthClient(
        id="",
        name=clients.shown_name(wanted.name),
        redirects=wanted.redirects,
        user=wanted.user,
        scopes=scopes,
        by=principal.user,
    )
    made, secret = await oauth.clients.add(client, secret=not wanted.public)
    parts.trail.note(
        "client.registered",
        asked_by=f"user:{principal.user}",
        subject=made.id,
        details={"name": made.name, "user": made.user},
    )
    view = MadeClient(**msgspec.structs.asdict(_view(made)), secret=secret)
    return ok(view, "keep the secret: it is shown only this once" if secret else "")


@get("/api/clients", opt=described(scope=ADMIN_SCOPE, errors=(403, 503)))
async def list_clients(
    principal: Asking, oauth: Serving, limit: Limit = 100, cursor: Cursor = None
) -> Page[ClientView]:
    """List clients of OAuth, oldest first, without their secrets."""
    _admin(principal)
    found, after = oauth.clients.page(cursor or 0, limit)
    return Page(True, [_view(one) for one in found], next_cursor=after)


@delete(
    "/api/clients/{client:str}",
    status_code=200,
    opt=described(scope=ADMIN_SCOPE, errors=(403, 503)),
)
async def remove_client(
    client: FromPath[str], parts: Wired, principal: Asking, oauth: Serving
) -> Envelope[ClientView]:
    """Remove a client: what it has been given ends, at all gateways within a second."""
    _admin(principal)
    gone = await oauth.clients.remove(client)
    if gone is None:
        raise Rejected(Reason.NOT_FOUND, "there is no such client: list them for their ids")
    await oauth.grants.end_of_client(gone.id)
    parts.trail.note(
        "client.removed",
        asked_by=f"user:{principal.user}",
        subject=gone.id,
        details={"name": gone.name},
    )
    return ok(_view(gone), "removed")


@get("/api/auth/grants", opt=described(scope=ADMIN_SCOPE, errors=(403, 503)))
async def list_grants(
    parts: Wired, principal: Asking, oauth: Serving, limit: Limit = 100, cursor: Cursor = None
) -> Page[GrantView]:
    """List what one has let clients do, oldest first."""
    await parts.state.refresh()
    start = cursor or 0
    every = oauth.grants.of_user(principal.user)
    found = [_grant(id_, held.value) for id_, held in every[start : start + limit]]
    rest = start + limit if len(every) > start + limit else None
    return Page(True, found, next_cursor=rest)


@delete(
    "/api/auth/grants/{grant:str}",
    status_code=200,
    opt=described(scope=ADMIN_SCOPE, errors=(403, 503)),
)
async def end_grant(
    grant: FromPath[str], parts: Wired, principal: Asking, oauth: Serving
) -> Envelope[GrantView]:
    """Let a client do nothing any more: its tokens end at all gateways within a second."""
    await parts.state.refresh()
    held = oauth.grants.get(grant)
    if held is None or held.user != principal.user:
        raise Rejected(Reason.NOT_FOUND, "there is no such grant: list them for their ids")
    # Before it ends: whoever dies in between leaves a client that has to ask its person again.
    await oauth.consents.withdraw(held.user, held.client)
    await oauth.grants.end(grant)
    parts.trail.note(
        "consent.withdrawn",
        user=held.user,
        asked_by=principal.asked_by or f"user:{principal.user}",
        subject=held.client,
    )
    return ok(_grant(grant, held), "ended")


ROUTES = (add_client, list_clients, remove_client, list_grants, end_grant)


def _check(oauth: OAuth, wanted: NewClient) -> None:
    """Refuse a client that could do nothing, or too much. Raises Rejected."""
    if not wanted.redirects and not wanted.user:
        text = "a client needs `redirects`, or the `user` of a service that it acts as"
        raise Rejected(Reason.BAD_REQUEST, text)
    try:
        for uri in wanted.redirects:
            rules.check_redirect(uri)
    except OAuthError as error:
        raise Rejected(Reason.BAD_REQUEST, error.description) from None
    if not wanted.user:
        return
    if wanted.public:
        raise Rejected(Reason.BAD_REQUEST, "a client that acts as a service needs a secret")
    user = oauth.user(check_user(wanted.user))
    if user is None or not user.service:
        text = (
            f"{wanted.user} is no service: make one with `metamcp user add {wanted.user} --service`"
        )
        raise Rejected(Reason.CONFLICT, text)


def _admin(principal: Principal) -> None:
    if not principal.operator:
        raise Rejected(Reason.FORBIDDEN, "clients are made and removed by the role `admin`")


def _view(client: OAuthClient) -> ClientView:
    return ClientView(
        id=client.id,
        name=client.name,
        redirects=client.redirects,
        user=client.user,
        scopes=client.scopes,
        public=not client.secret,
        created=client.created,
        expires=client.expires,
        by=client.by,
    )


def _grant(id_: str, grant: OAuthGrant) -> GrantView:
    return GrantView(
        id=id_,
        client=grant.client,
        client_name=grant.client_name,
        scopes=grant.scopes,
        created=grant.created,
        refreshed=grant.rotated,
        expires=grant.expires,
    )
