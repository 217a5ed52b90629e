"""Routes of sign-in at hosts that ask for OAuth: each user's own only."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any
from urllib.parse import parse_qs, quote

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import RawBody

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.host import Host
from contracts.permitted import shown_to
from contracts.wire import Probed, ProbeRequest
from services.gateway import domain, webpages
from services.gateway import projection as tables
from services.gateway.access.identity import LOCAL_USER, Principal
from services.gateway.hostauth.links import HostLinks, HostWish
from services.gateway.hostauth.metadata import scopes_in
from services.gateway.hostauth.records import HostLink
from services.gateway.http.me import noted
from services.gateway.http.parts import (
    Asking,
    Envelope,
    HostId,
    Parts,
    Wired,
    of_host,
    ok,
    read,
)
from services.gateway.http.signin import came
from services.gateway.oauth.places import SIGN_IN
from services.gateway.openapi.document import described
from services.gateway.people.providers.door import PARTS, SignInDoor
from services.process import telemetry

LINK_PROBE_S = 105.0
LONGEST_PART = 4096
Links = NamedDependency[HostLinks]
Door = NamedDependency[SignInDoor]
PROBLEMS = webpages.problems("/", "Go to the start")
Scopes = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=1024)], ...], msgspec.Meta()]

log = telemetry.get_logger()


class LinkWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to sign in at a host."""

    scopes: Scopes = ()
    """To ask for besides what the host names itself."""


class LinkBegun(msgspec.Struct, frozen=True):
    """A sign-in at a host has begun."""

    host: str
    authorize_url: str
    """To open in a browser; good once."""
    expires: float
    """Seconds since the epoch."""


class HostLinkView(msgspec.Struct, frozen=True):
    """How somebody is signed in at a host; the tokens are never shown."""

    host: str
    linked: bool
    linked_at: float = 0.0
    """Seconds since the epoch."""
    issuer: str = ""
    """The authorization server."""
    scopes: tuple[str, ...] = ()
    ends: float | None = None
    """When the token ends, which is renewed before."""
    broken: str = ""
    """Why it is of no use any more: link again."""


class HostUnlinked(msgspec.Struct, frozen=True):
    """Somebody is signed in at a host no more."""

    host: str
    linked: bool
    """Whether he was."""
    revoked: bool
    """Whether the tokens were ended at the authorization server."""


@post(
    of_host("/api/mcps/{}/link"),
    status_code=200,
    opt=described(
        scope=scopes.HOSTS_WRITE, body=LinkWish, body_needed=False, errors=(404, 409, 503)
    ),
)
async def begin_link(
    host_id: HostId, body: RawBody, parts: Wired, principal: Asking, host_links: Links
) -> Envelope[LinkBegun]:
    """Begin to sign in at a host that asks for OAuth; a browser goes on from there."""
    wish = read(body or b"{}", LinkWish)
    host = await _called(parts, principal, host_id)
    shared = principal.operator and host.owner is None
    asked = scopes_in(list(wish.scopes))
    url, login = await host_links.begin(HostWish(principal.user, host, shared, asked))
    return ok(LinkBegun(host.id, url, login.expires))


@get(of_host("/api/mcps/{}/link"), opt=described(scope=scopes.HOSTS_READ, errors=(404, 503)))
async def get_link(
    host_id: HostId, parts: Wired, principal: Asking, host_links: Links
) -> Envelope[HostLinkView]:
    """Say whether one is signed in at a host."""
    name = await _named(parts, principal, host_id, host_links)
    link = await host_links.kept.of(principal.user, name)
    return ok(HostLinkView(name, False) if link is None else _view(link))


@delete(
    of_host("/api/mcps/{}/link"),
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(404, 503)),
)
async def end_link(
    request: Request[Any, Any, Any],
    host_id: HostId,
    parts: Wired,
    principal: Asking,
    host_links: Links,
) -> Envelope[HostUnlinked]:
    """Forget one's tokens for a host, and end them where they came from."""
    name = await _named(parts, principal, host_id, host_links)
    gone, revoked = await host_links.unlink(principal.user, name)
    if gone:
        noted(parts, request, "host.unlinked", user=principal.user, subject=name)
    return ok(HostUnlinked(name, gone, revoked), "unlinked" if gone else "it was not linked")


@get("/api/links", opt=described(scope=scopes.HOSTS_READ))
async def list_links(principal: Asking, host_links: Links) -> Envelope[list[HostLinkView]]:
    """List the hosts at which one is signed in."""
    return ok([_view(link) for link in host_links.kept.every(principal.user)])


@get(
    "/link/callback",
    opt=described(errors=(400, 403, 503)) | {"any_query": True},
    exception_handlers=PROBLEMS,
)
async def finish_link(
    request: Request[Any, Any, Any], parts: Wired, host_links: Links, door: Door
) -> Response[Any]:
    """Take a browser back from a host's authorization server; shows a page."""
    query = request.scope["query_string"].decode("ascii", "replace")
    answer = _read(query)
    browser = door.sign_ins.browser(_headers(request))
    user = await host_links.user_of(answer["state"] or "")
    if browser is None and user not in (None, LOCAL_USER):
        onward = quote(f"{request.url.path}?{query}", safe="")
        return Response(None, status_code=303, headers={"Location": f"{SIGN_IN}?next={onward}"})
    link = await host_links.finish(answer, None if browser is None else browser.user)
    _, address, _, asked = came(request)
    told = {"user": link.user, "subject": link.host, "address": address, "request_id": asked}
    parts.trail.note("host.linked", **told)
    host_links.later(_probed(parts, link))
    body = (
        f"<h1>Signed in</h1><p><b>{escape(link.user)}</b> is signed in at the host"
        f" <b>{escape(link.host)}</b> now. You can close this page.</p>"
        f"<p><small>By {escape(link.server.issuer)}. To end it: <code>metamcp unlink"
        f" {escape(link.host)}</code></small></p>"
    )
    return webpages.shown("Signed in", body, "'none'")


@get("/link/client.json", opt=described(errors=(503,)), sync_to_thread=False)
def describe_client(host_links: Links) -> dict[str, Any]:
    """What authorization servers of hosts read about us: a client ID metadata document."""
    return host_links.clients.document()


async def _probed(parts: Parts, link: HostLink) -> None:
    """Have the registry look at the host's tools: it may be shown them now."""
    try:
        request = ProbeRequest(link.host)
        await parts.others.ask("registry", "probe", request, Probed, within_s=LINK_PROBE_S)
    except Rejected as refusal:
        log.info("linked_host_not_probed", host=link.host, error=refusal.message)


async def _called(parts: Parts, principal: Principal, name: str) -> Host:
    """The host as it is called. Raises Rejected(NOT_FOUND)."""
    await parts.caught_up()
    # Also an auditor signs in only where he may call.
    rows = await tables.list_hosts(parts.projection, principal.user, every=False)
    who = parts.asker(principal)
    seen = {row.id: row for row in rows if shown_to(row, who) is not None}
    found = seen.get(name) or seen.get(f"{principal.user}/{name}")
    if found is None:
        raise domain.no_host(name)
    return found


async def _named(parts: Parts, principal: Principal, name: str, host_links: HostLinks) -> str:
    """The id of a host, which may be gone while its link is there. Raises Rejected(NOT_FOUND)."""
    linked = {link.host for link in host_links.kept.every(principal.user)}
    for one in (name, f"{principal.user}/{name}"):
        if one in linked:
            return one
    return (await _called(parts, principal, name)).id


def _view(link: HostLink) -> HostLinkView:
    return HostLinkView(
        link.host,
        not link.broken,
        link.linked,
        link.server.issuer,
        link.scopes,
        link.ends,
        link.broken,
    )


def _read(query: str) -> dict[str, str | None]:
    """The parts of an answer that count, each of which comes once (RFC 6749, 3.1)."""
    answer = parse_qs(query, keep_blank_values=True, max_num_fields=32)
    found: dict[str, str | None] = {}
    for name in PARTS:
        values = answer.get(name, [])
        if len(values) > 1 or any(len(value) > LONGEST_PART for value in values):
            raise Rejected(Reason.BAD_REQUEST, f"{name}: expected once, and short")
        found[name] = values[0] if values else None
    if not found["state"]:
        raise Rejected(Reason.BAD_REQUEST, "a host's sign-in comes back here: begin with that")
    return found


def _headers(request: Request[Any, Any, Any]) -> dict[str, str]:
    pairs = request.scope["headers"]
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


ROUTES = (begin_link, get_link, end_link, list_links, finish_link, describe_client)
EXAMPLES: tuple[msgspec.Struct, ...] = (
    LinkWish(("files:read",)),
    LinkBegun("wiki", "https://login.example.com/authorize?…", 1_767_226_200.0),
    HostLinkView("wiki", True, 1_767_225_600.0, "https://login.example.com", ("files:read",)),
    HostUnlinked("wiki", True, True),
)
