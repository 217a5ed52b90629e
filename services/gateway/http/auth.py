"""Routes under `/api/auth`: sign in with a password, refresh, sign out, see and end sessions."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import FromPath, QueryParameter, RawBody

from contracts.errors import Reason, Rejected
from contracts.ids import check_user
from contracts.scopes import ADMIN
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.http.parts import Asking, Envelope, Parts, Wired, ok, read
from services.gateway.openapi.document import described
from services.gateway.people.ports import Begun, Came
from services.gateway.people.records import SignIn

MOST_SHOWN = 4096
"""Characters of a password or a refresh token that is sent; more is none."""
Text = Annotated[str, msgspec.Meta(max_length=MOST_SHOWN)]
Whose = Annotated[str | None, QueryParameter(description="Another user; for the role `admin`.")]
_FORM = {"X-CSRF-Token": "The anti-forgery token, if a cookie says who is asking."}


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants to sign in."""

    user: Text
    password: Text
    cookie: bool = False
    """Also set a browser's cookie."""

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, password=…)"


class Session(msgspec.Struct, frozen=True):
    """What a sign-in gives out; this answer alone has its texts."""

    session: str
    """Its id."""
    user: str
    access_token: str
    """For `Authorization: Bearer`."""
    expires_in: float
    """Seconds until that ends."""
    refresh_token: str
    """Good once, for `POST /api/auth/refresh`."""
    refresh_expires_in: float
    token_type: str = "Bearer"
    csrf_token: str = ""
    """To be sent as `X-CSRF-Token` with every change that comes with the cookie."""

    def __repr__(self) -> str:
        return f"Session(session={self.session!r}, user={self.user!r}, …)"


class Refreshing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token."""

    refresh_token: Text

    def __repr__(self) -> str:
        return "Refreshing(refresh_token=…)"


class SessionView(msgspec.Struct, frozen=True):
    """A session as it is listed."""

    id: str
    user: str
    method: str
    created: float
    """Seconds since the epoch."""
    used: float
    """When it began or was refreshed last."""
    expires: float
    address: str
    agent: str
    current: bool = False
    """It is the one that asks."""


class SignedOut(msgspec.Struct, frozen=True):
    """A session that is over."""

    id: str
    ended: bool = True


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another password of one's own."""

    old: Text
    new: Text

    def __repr__(self) -> str:
        return "NewPassword(old=…, new=…)"


class PasswordSet(msgspec.Struct, frozen=True):
    """Whose password was changed; other sessions of theirs have ended."""

    user: str


class FormToken(msgspec.Struct, frozen=True):
    """The anti-forgery token of the browser's session."""

    csrf_token: str
    user: str


AT = 1767225600.0
_SESSION = "0199a2b4-6c1e-7d10-8f3a-5b1c2d3e4f50"
EXAMPLES = (
    Login("ann", "a long password", cookie=True),
    Session(_SESSION, "ann", "eyJ…", 1800.0, f"mtr_{_SESSION}.0.…", 604_800.0, csrf_token="…"),
    Refreshing(f"mtr_{_SESSION}.0.…"),
    SessionView(_SESSION, "ann", "password", AT, AT + 60, AT + 604_800, "192.0.2.7", "curl/8"),
    SignedOut(_SESSION),
    NewPassword("a long password", "a longer password"),
    PasswordSet("ann"),
    FormToken("…", "ann"),
)


def came(request: Request[Any, Any, Any], method: str) -> Came:
    """How somebody has come in with this request."""
    client = request.client
    return Came(
        method,
        "" if client is None else client.host,
        request.headers.get("user-agent", ""),
        str(request.scope["state"].get("request_id", "")),
    )


@post("/api/auth/login", status_code=200, opt=described(body=Login, errors=(401, 403, 503)))
async def login(
    request: Request[Any, Any, Any], body: RawBody, parts: Wired
) -> Response[Envelope[Session]]:
    """Sign in with a password. Whoever guesses has to wait, longer and longer."""
    wanted = read(body, Login)
    if wanted.cookie and "origin" in request.headers:
        # Else another site could have a browser sign in as somebody else.
        parts.signed_in.check_origin(request.headers)
    user, begun = await parts.entrance.sign_in(
        wanted.user, wanted.password, came(request, "password")
    )
    return _given(parts, user.name, begun, cookie=wanted.cookie)


@post("/api/auth/refresh", status_code=200, opt=described(body=Refreshing, errors=(401, 409, 503)))
async def refresh(
    request: Request[Any, Any, Any], body: RawBody, parts: Wired
) -> Response[Envelope[Session]]:
    """Give the next tokens for a refresh token. One that was used before ends the session, but for
    the last one within a minute: whoever lost the answer gets the same again."""
    wanted = read(body, Refreshing)
    user, begun = await parts.signed_in.refresh(wanted.refresh_token, came(request, "refresh"))
    return _given(parts, user, begun, cookie=False)


@post(
    "/api/auth/logout", status_code=200, opt=described(scope="", errors=(403, 503), headers=_FORM)
)
async def logout(parts: Wired, principal: Asking) -> Response[Envelope[SignedOut]]:
    """End the session that asks, and with it its tokens and its cookie."""
    id_ = principal.token or ""
    if parts.signed_in.get(id_) is None:
        text = "this is no session: a token is revoked with DELETE /api/tokens/{id}"
        raise Rejected(Reason.BAD_REQUEST, text)
    ended = await parts.signed_in.end(
        id_, principal.user, reason="sign_out", asked_by=principal.asked_by
    )
    parts.trail.note("sign_out", user=principal.user, subject=id_, asked_by=principal.asked_by)
    answer = Response(ok(SignedOut(id_, ended), "signed out"), status_code=200)
    return _with(answer, parts.signed_in.no_cookies())


@get("/api/auth/csrf", opt=described(scope="", errors=(403,)))
async def form_token(parts: Wired, principal: Asking) -> Envelope[FormToken]:
    """Return the anti-forgery token of the session whose cookie came with the request."""
    if parts.signed_in.get(principal.token or "") is None:
        raise Rejected(Reason.FORBIDDEN, "no session of a browser asks: there is nothing to forge")
    return ok(FormToken(parts.signed_in.form_token(principal), principal.user))


@get("/api/auth/sessions", opt=described(scope=ADMIN, errors=(403, 503)))
async def list_sessions(
    parts: Wired, principal: Asking, user: Whose = None
) -> Envelope[list[SessionView]]:
    """List the sessions of a user, the one used last first; there are never more than 50."""
    name = _meant(principal, user)
    await parts.state.refresh()
    found = parts.signed_in.of_user(name)
    return ok([_view(id_, one, principal) for id_, one in found])


@delete(
    "/api/auth/sessions/{session:str}",
    status_code=200,
    opt=described(scope=ADMIN, errors=(403, 503), headers=_FORM),
)
async def end_session(
    session: FromPath[str], parts: Wired, principal: Asking
) -> Envelope[SignedOut]:
    """End a session of one's own, or as `admin` anybody's, at all gateways within a second."""
    await parts.state.refresh()
    found = parts.signed_in.get(session)
    if found is None or not (found.user == principal.user or principal.operator):
        raise Rejected(Reason.NOT_FOUND, "there is no such session: list them for their ids")
    ended = await parts.signed_in.end(
        session, found.user, reason="asked", asked_by=principal.asked_by
    )
    return ok(SignedOut(session, ended), "the session is over")


@post(
    "/api/auth/password",
    status_code=200,
    opt=described(scope=ADMIN, body=NewPassword, errors=(403, 404, 409, 503), headers=_FORM),
)
async def change_password(
    request: Request[Any, Any, Any], body: RawBody, parts: Wired, principal: Asking
) -> Envelope[PasswordSet]:
    """Change one's own password. All other sessions end."""
    wanted = read(body, NewPassword)
    await confirmed(request, parts, principal, wanted.old)
    await parts.entrance.set_password(
        principal.user, wanted.new, principal.asked_by, but=principal.token
    )
    return ok(PasswordSet(principal.user), "changed; all other sessions have ended")


async def confirmed(
    request: Request[Any, Any, Any], parts: Parts, principal: Principal, password: str
) -> None:
    """Have the one who asks show the password again. Raises Rejected(FORBIDDEN)."""
    try:
        await parts.entrance.confirm(principal.user, password, came(request, "password"))
    except Rejected as error:
        if error.reason is Reason.UNAUTHORIZED:
            raise Rejected(Reason.FORBIDDEN, "the old password is not right") from None
        raise


def _meant(principal: Principal, user: str | None) -> str:
    if user is None or user == principal.user:
        return principal.user
    if not principal.operator:
        raise NotAllowed("role admin", "sessions of others are for the role `admin`")
    return check_user(user)


def _view(id_: str, one: SignIn, principal: Principal) -> SessionView:
    return SessionView(
        id=id_,
        user=one.user,
        method=one.method,
        created=one.created,
        used=one.rotated,
        expires=one.expires,
        address=one.address,
        agent=one.agent,
        current=id_ == principal.token,
    )


def session_of(user: str, begun: Begun, csrf_token: str = "") -> Session:
    """What a sign-in has given, as an answer says it."""
    return Session(
        session=begun.session,
        user=user,
        access_token=begun.access,
        expires_in=begun.access_s,
        refresh_token=begun.refresh,
        refresh_expires_in=begun.refresh_s,
        csrf_token=csrf_token,
    )


def _given(parts: Parts, user: str, begun: Begun, *, cookie: bool) -> Response[Envelope[Session]]:
    signed_in = parts.signed_in
    who = Principal(user, frozenset(), token=begun.session)
    session = session_of(user, begun, signed_in.form_token(who) if cookie else "")
    answer = Response(ok(session, "keep the tokens: they are not shown again"), status_code=200)
    return _with(answer, signed_in.cookies(begun) if cookie else [])


def _with(answer: Response[Any], cookies: list[tuple[bytes, bytes]]) -> Response[Any]:
    for name, value in cookies:
        answer.headers[name.decode()] = value.decode()
    return answer


ROUTES = (
    login,
    refresh,
    logout,
    form_token,
    list_sessions,
    end_session,
    change_password,
)
