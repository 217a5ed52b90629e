"""Letting a program in that has no browser: its routes, and the page `/device` for people."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.params import QueryParameter, RawBody

from contracts.errors import Reason, Rejected
from contracts.scopes import ADMIN
from services.gateway import webpages
from services.gateway.access.identity import Principal
from services.gateway.http.auth import Session, came, session_of
from services.gateway.http.parts import Asking, Envelope, Parts, Wired, ok, read
from services.gateway.oauth.places import SIGN_IN
from services.gateway.openapi.document import described
from services.gateway.people.devices import POLL_S
from services.gateway.people.records import DeviceAsk

PATH = "/device"
TITLE = "Let a program in"
MOST_FIELDS = 8
PROBLEMS = webpages.problems(PATH, "Type the code again")
Code = Annotated[str, QueryParameter(description="The code that the program shows.")]
Text = Annotated[str, msgspec.Meta(max_length=200)]


class DeviceAsked(msgspec.Struct, frozen=True):
    """What a program shows, and what it asks with until somebody has decided."""

    device_code: str
    user_code: str
    verification_uri: str
    """Where the code is typed; without `METAMCP_GATEWAY_PUBLIC_URL` only the path is known."""
    verification_uri_complete: str
    expires_in: float
    """Seconds."""
    interval: float
    """Seconds between two questions."""


class DevicePolled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether somebody has decided."""

    device_code: Text


class DeviceDecided(msgspec.Struct, frozen=True):
    """What has become of it."""

    state: str
    """`asked`: nobody has decided; `refused`; `allowed`: here is the session, this once."""
    session: Session | None = None


class Allow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision about a program that shows this code."""

    user_code: Text
    allow: bool = True


class Allowed(msgspec.Struct, frozen=True):
    """What was decided, and about whom."""

    allowed: bool
    address: str
    """From which the program asked."""
    agent: str


EXAMPLES = (
    DeviceAsked(
        "mtd_…",
        "BCDF-GHJK",
        "https://tasks.example.com/device",
        "https://tasks.example.com/device?code=BCDF-GHJK",
        600.0,
        2.0,
    ),
    DevicePolled("mtd_…"),
    DeviceDecided("asked"),
    Allow("BCDF-GHJK"),
    Allowed(True, "192.0.2.7", "metamcp"),
)


@post("/api/auth/device", status_code=200, opt=described(errors=(503,)))
async def ask(request: Request[Any, Any, Any], parts: Wired) -> Envelope[DeviceAsked]:
    """Ask to be let in as whoever types the code, which is good for ten minutes."""
    asked = await parts.devices.ask(came(request, "device"))
    where = f"{parts.settings.public_url.rstrip('/')}{PATH}"
    whole = f"{where}?{urlencode({'code': asked.user_code})}"
    told = DeviceAsked(asked.device_code, asked.user_code, where, whole, asked.expires_s, POLL_S)
    return ok(told)


@post(
    "/api/auth/device/token", status_code=200, opt=described(body=DevicePolled, errors=(404, 503))
)
async def poll(
    request: Request[Any, Any, Any], body: RawBody, parts: Wired
) -> Envelope[DeviceDecided]:
    """Ask whether somebody has decided; the session is given once."""
    wanted = read(body, DevicePolled)
    state, begun = await parts.devices.take(wanted.device_code, came(request, "device"))
    if begun is None:
        return ok(DeviceDecided(state))
    sign_in = parts.signed_in.get(begun.session)
    user = "" if sign_in is None else sign_in.user
    return ok(DeviceDecided(state, session_of(user, begun)))


@post(
    "/api/auth/device/allow",
    status_code=200,
    opt=described(scope=ADMIN, body=Allow, errors=(403, 404, 503)),
)
async def allow(body: RawBody, parts: Wired, principal: Asking) -> Envelope[Allowed]:
    """Let a program in as oneself, by the code that it shows; or refuse it."""
    _whole(principal)
    wanted = read(body, Allow)
    found = await parts.devices.decide(wanted.user_code, principal, allow=wanted.allow)
    return ok(Allowed(wanted.allow, found.address, found.agent))


@get(PATH, media_type=MediaType.HTML, include_in_schema=False, exception_handlers=PROBLEMS)
async def show_page(
    request: Request[Any, Any, Any], parts: Wired, code: Code = ""
) -> Response[str]:
    """Show where a code is typed, and who asks under it."""
    who: Principal | None = request.scope["state"].get("browser")
    if who is None:
        return _to_sign_in(code)
    if not code:
        return webpages.shown(TITLE, _typed())
    found = await parts.devices.find(code)
    return webpages.shown(TITLE, _confirm(parts, who, code, found))


@post(PATH, media_type=MediaType.HTML, include_in_schema=False, exception_handlers=PROBLEMS)
async def send_page(request: Request[Any, Any, Any], body: RawBody, parts: Wired) -> Response[str]:
    """Take the decision."""
    fields = _fields(body)
    parts.signed_in.check_origin(request.headers)
    who: Principal | None = request.scope["state"].get("browser")
    good = fields.get("do") == "allow"
    await _decided(request, parts, who, fields, good=good)
    text = "It is let in: go back to it." if good else "It is not let in."
    return webpages.shown(TITLE, f"<h1>Done</h1><p>{text}</p>")


async def _decided(
    request: Request[Any, Any, Any],
    parts: Parts,
    who: Principal | None,
    fields: dict[str, str],
    *,
    good: bool,
) -> None:
    if who is None:
        raise Rejected(Reason.BAD_REQUEST, "nobody has signed in with this browser")
    parts.signed_in.check_form(request.headers, who, fields.get("form", ""))
    await parts.devices.decide(fields.get("code", ""), who, allow=good)


def _fields(body: bytes) -> dict[str, str]:
    try:
        found = parse_qsl(body.decode(), max_num_fields=MOST_FIELDS, strict_parsing=True)
    except ValueError:
        found = []
    if not found:
        raise Rejected(Reason.BAD_REQUEST, "this is no form of that page")
    return dict(found)


def _whole(principal: Principal) -> None:
    """What is good for some scopes lets nothing in that is good for all."""
    if principal.scopes is not None:
        text = "a token with scopes lets nothing in: sign in first"
        raise Rejected(Reason.INSUFFICIENT_SCOPE, text)


def _to_sign_in(code: str) -> Response[str]:
    back = f"{PATH}?{urlencode({'code': code})}" if code else PATH
    answer = Response("", status_code=303, media_type=MediaType.HTML)
    answer.headers["Location"] = f"{SIGN_IN}?{urlencode({'next': back})}"
    return answer


def _typed() -> str:
    return (
        f'<h1>Let a program in</h1><form method="get" action="{PATH}">'
        '<label>The code that it shows <input name="code" autocomplete="off" required'
        ' maxlength="40"></label><button class="yes">Go on</button></form>'
    )


def _confirm(parts: Parts, who: Principal, code: str, found: DeviceAsk) -> str:
    form = parts.signed_in.form_token(who)
    return (
        f"<h1>Let a program in?</h1><p>A program that shows <b>{escape(code)}</b> wants to act as"
        f" <b>{escape(who.user)}</b>, with all that you may do. It asks from"
        f" <b>{escape(found.address)}</b> ({escape(found.agent)}). If you have not just started it"
        " yourself, refuse.</p>"
        f'<form method="post" action="{PATH}">'
        f'<input type="hidden" name="form" value="{escape(form)}">'
        f'<input type="hidden" name="code" value="{escape(code)}">'
        '<button class="yes" name="do" value="allow">Let it in</button>'
        ' <button name="do" value="refuse">Refuse</button></form>'
    )


ROUTES = (ask, poll, allow, show_page, send_page)
