"""Routes of linked accounts and of the Spaces of the one at Hugging Face: each user's own only."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter, RawBody

from contracts import scopes
from contracts.account import Account, Provider
from contracts.errors import Reason, Rejected
from contracts.host import OUTDATED
from contracts.permitted import shown_to
from services.gateway import permit_keys
from services.gateway import projection as tables
from services.gateway.access.identity import Principal
from services.gateway.http.linking import Linking
from services.gateway.http.parts import Asking, Envelope, Parts, Wired, ok, read
from services.gateway.openapi.document import described
from services.gateway.rows import HostView
from services.huggingface.spaces import Space

Links = NamedDependency[Linking]
Check = Annotated[bool, QueryParameter(description="Ask the provider whose the token is.")]


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to link; it is never shown again."""

    token: str

    def __repr__(self) -> str:
        return "Token(token=…)"


class Unlinked(msgspec.Struct, frozen=True):
    """An account is linked no more."""

    provider: Provider
    linked: bool
    """Whether it was."""


class NewSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Space to make."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=96)]
    sdk: str = "docker"
    template: str | None = None
    hardware: str | None = None
    private: bool = True


class Restart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a Space is started anew."""

    factory: bool = False
    """Build it anew as well."""


class SpaceView(Space, frozen=True, kw_only=True):
    """A Space, where people look at it, and the host that it is."""

    page: str
    host: str = ""
    """Empty: it is none of the hosts you may use."""
    outdated: bool = False
    """The kit in it takes no permits of this release: deploy it again."""


@get("/api/accounts", opt=described(scope=scopes.HOSTS_READ, errors=(503,)))
async def list_accounts(principal: Asking, linking: Links) -> Envelope[list[Account]]:
    """List the accounts one has linked; tokens are never shown."""
    return ok(await linking.accounts(principal.user))


@get("/api/accounts/{provider:str}", opt=described(scope=scopes.HOSTS_READ, errors=(403, 503)))
async def get_account(
    provider: FromPath[str], principal: Asking, linking: Links, check: Check = False
) -> Envelope[Account]:
    """Return one of them; with `check` the provider is asked whose the token is now."""
    which = _provider(provider)
    if check:
        return ok(await linking.check(principal.user, which))
    return ok(await linking.account(principal.user, which))


@put(
    "/api/accounts/{provider:str}",
    opt=described(scope=scopes.HOSTS_WRITE, body=Token, errors=(503,)),
)
async def link_account(
    provider: FromPath[str], body: RawBody, principal: Asking, linking: Links
) -> Envelope[Account]:
    """Link an account by a token, in the place of an earlier one."""
    token = read(body, Token).token
    return ok(await linking.link(principal.user, _provider(provider), token), "linked")


@delete(
    "/api/accounts/{provider:str}",
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(503,)),
)
async def unlink_account(
    provider: FromPath[str], principal: Asking, linking: Links
) -> Envelope[Unlinked]:
    """Forget the token of an account."""
    which = _provider(provider)
    gone = await linking.unlink(principal.user, which)
    return ok(Unlinked(which, gone), "unlinked" if gone else "it was not linked")


@get("/api/spaces", opt=described(scope=scopes.HOSTS_READ, errors=(400, 403, 404, 503)))
async def list_spaces(parts: Wired, principal: Asking, linking: Links) -> Envelope[list[SpaceView]]:
    """List the Spaces of the linked account."""
    found = await linking.spaces(principal.user)
    known = await _hosts(parts, principal)
    return ok([_view(space, linking, known) for space in found])


@post("/api/spaces", opt=described(scope=scopes.HOSTS_WRITE, body=NewSpace, errors=(403, 404, 503)))
async def create_space(
    body: RawBody, parts: Wired, principal: Asking, linking: Links
) -> Response[Envelope[SpaceView]]:
    """Make a Space; one of this name that is there is returned."""
    wanted = read(body, NewSpace)
    space = await linking.create(
        principal.user,
        wanted.name,
        sdk=wanted.sdk,
        template=wanted.template,
        hardware=wanted.hardware,
        private=wanted.private,
    )
    view = _view(space, linking, await _hosts(parts, principal))
    return Response(ok(view), status_code=201)


@get(
    "/api/spaces/{owner:str}/{name:str}", opt=described(scope=scopes.HOSTS_READ, errors=(403, 503))
)
async def get_space(
    owner: FromPath[str], name: FromPath[str], parts: Wired, principal: Asking, linking: Links
) -> Envelope[SpaceView]:
    """Return one Space as it is now."""
    space = await linking.space(principal.user, f"{owner}/{name}")
    return ok(_view(space, linking, await _hosts(parts, principal)))


@post(
    "/api/spaces/{owner:str}/{name:str}/deploy",
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(403, 503)),
)
async def deploy_space(
    owner: FromPath[str], name: FromPath[str], parts: Wired, principal: Asking, linking: Links
) -> Envelope[SpaceView]:
    """Put the Space kit into a Space; it is built and started then."""
    variables = await _trust(parts)
    space = await linking.deploy(principal.user, f"{owner}/{name}", variables)
    view = _view(space, linking, await _hosts(parts, principal))
    return ok(view, "deployed; it is built now")


@post(
    "/api/spaces/{owner:str}/{name:str}/restart",
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, body=Restart, body_needed=False, errors=(403, 503)),
)
async def restart_space(
    owner: FromPath[str],
    name: FromPath[str],
    body: RawBody,
    parts: Wired,
    principal: Asking,
    linking: Links,
) -> Envelope[SpaceView]:
    """Start a Space anew, also one that is paused."""
    wanted = read(body or b"{}", Restart)
    repo = f"{owner}/{name}"
    space = await linking.restart(principal.user, repo, factory=wanted.factory)
    return ok(_view(space, linking, await _hosts(parts, principal)), "restarted")


async def _trust(parts: Parts) -> dict[str, str | None]:
    """Variables by which a Space knows this orchestrator's permits: where its keys are, if others
    reach this gateway, else the keys themselves. The kit takes no keys over plain http."""
    if parts.settings.public_url.lower().startswith("https://"):
        base = parts.settings.public_url.rstrip("/")
        return {"METAMCP_JWKS_URL": f"{base}/.well-known/jwks.json", "METAMCP_JWKS": None}
    await parts.caught_up()
    keys = await permit_keys.jwks(parts.projection)
    if not keys:
        text = "no executor has made a permit key yet: start one and try again"
        raise Rejected(Reason.UNAVAILABLE, text)
    text = msgspec.json.encode({"keys": keys}).decode()
    return {"METAMCP_JWKS": text, "METAMCP_JWKS_URL": None}


async def _hosts(parts: Parts, principal: Principal) -> dict[str, HostView]:
    """Hosts that are Spaces, by `hf://owner/name`."""
    await parts.caught_up()
    found = await tables.list_hosts(parts.projection, principal.user, every=False)
    who = parts.asker(principal)
    return {getattr(host.endpoint, "url", ""): host for host in found if shown_to(host, who)}


def _view(space: Space, linking: Linking, known: dict[str, HostView]) -> SpaceView:
    host = known.get(f"hf://{space.repo}")
    fields = msgspec.structs.asdict(space) | {"page": linking.page(space.repo)}
    if host is None:
        return SpaceView(**fields)
    outdated = host.health.reason.startswith(f"{OUTDATED}:")
    return SpaceView(**fields, host=host.id, outdated=outdated)


def _provider(text: str) -> Provider:
    try:
        return Provider(text)
    except ValueError:
        names = ", ".join(Provider)
        raise Rejected(Reason.NOT_FOUND, f"there is no provider {text[:40]!r}: {names}") from None


ROUTES = (
    *(list_accounts, get_account, link_account, unlink_account),
    *(list_spaces, create_space, get_space, deploy_space, restart_space),
)
