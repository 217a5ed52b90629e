"""Where people say yes: sign in, and let a client act for them.

What is wrong with the client or its redirect a person is told; anything else goes back to the
client. Nothing is kept between the pages: the consent page sends the whole request again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from contracts.errors import Reason, Rejected
from services.gateway.access.identity import Principal
from services.gateway.errors import STATUS
from services.gateway.oauth import clients, pages, rules, web
from services.gateway.oauth.clients import Clients
from services.gateway.oauth.consents import Consents
from services.gateway.oauth.grants import Grants
from services.gateway.oauth.places import AUTHORIZE, SIGN_IN, OAuthPlaces
from services.gateway.oauth.ports import Doors
from services.gateway.oauth.rules import AuthorizationAsked, OAuthError
from services.gateway.oauth.web import WebAnswer, WebRequest
from services.gateway.people.ports import Came
from services.gateway.people.records import OAuthClient, User
from services.gateway.people.trail import Trail

PARAMETERS = (
    *("response_type", "client_id", "redirect_uri", "scope", "state", "resource", "prompt"),
    *("code_challenge", "code_challenge_method"),
)
LONGEST_NEXT = 8192

Parameters = Mapping[str, Sequence[str]]


class _Wanted(NamedTuple):
    """An authorization request of a client that is known."""

    client: OAuthClient
    redirect: str
    state: str | None
    parameters: Parameters


class Authorizing(NamedTuple):
    """The endpoints that people see. Handlers raise OAuthError, Rejected and StoreError."""

    doors: Doors
    clients: Clients
    consents: Consents
    grants: Grants
    trail: Trail
    origins: Collection[str]
    """Our own."""

    async def ask(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        """`GET /oauth/authorize`."""
        parameters = rules.single(request.query)
        user, principal = self._who(request)
        id_ = rules.first(parameters, "client_id") or ""
        if user is None or principal is None:
            if id_ and not clients.is_address(id_):
                # A description elsewhere is fetched for people only whom we know.
                self._wanted(parameters, await self._stored(id_))
            return _to_sign_in(parameters)
        wanted = self._wanted(parameters, await self._client(id_))
        try:
            asked = rules.check_asked(parameters, at.resource, wanted.client.scopes)
        except OAuthError as error:
            return _back(wanted, at, error=error.error, error_description=error.description)
        known = self.consents.covers(user.name, wanted.client, wanted.redirect, asked.scopes)
        if known and asked.prompt != "consent":
            return await self._allowed(user, wanted, asked, at)
        if asked.prompt == "none":
            return _back(wanted, at, error="consent_required")
        told = pages.ConsentAsked(
            user=user.display or user.name,
            client=wanted.client.name,
            address=clients.shown_address(wanted.client, wanted.redirect),
            redirect=wanted.redirect,
            scopes=asked.scopes,
            parameters={name: parameters[name] for name in PARAMETERS if name in parameters},
            token=self.doors.sign_ins.form_token(principal),
        )
        return web.shown(pages.consent(told))

    async def decide(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        """`POST /oauth/consent`."""
        form = request.form()
        parameters = {name: form[name] for name in PARAMETERS if name in form}
        user, principal = self._who(request)
        if user is None or principal is None:
            return _to_sign_in(parameters)
        token = rules.first(form, "form_token") or ""
        self.doors.sign_ins.check_form(request.headers, principal, token)
        wanted = self._wanted(
            parameters, await self._client(rules.first(parameters, "client_id") or "")
        )
        try:
            asked = rules.check_asked(parameters, at.resource, wanted.client.scopes)
        except OAuthError as error:
            return _back(wanted, at, error=error.error, error_description=error.description)
        if rules.first(form, "decision") != "allow":
            self._note(request, user, wanted, asked, "denied", outcome="refused")
            return _back(wanted, at, error="access_denied", error_description="the user said no")
        await self.consents.give(user.name, wanted.client, asked.scopes)
        self._note(request, user, wanted, asked, "consent.given")
        return await self._allowed(user, wanted, asked, at)

    async def show_sign_in(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        """`GET /signin`."""
        next_ = local(rules.first(rules.single(request.query), "next"))
        return web.shown(pages.sign_in(next_, self.doors.buttons()))

    async def sign_in(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        """`POST /signin`."""
        form = request.form()
        next_, name = local(rules.first(form, "next")), rules.first(form, "user") or ""
        self._check_origin(request)
        agent = request.headers.get("user-agent", "")[:200]
        came = Came("password", request.address, agent, request.request_id)
        try:
            password = rules.first(form, "password") or ""
            _, begun = await self.doors.passwords.sign_in(name, password, came)
        except Rejected as error:
            page = pages.sign_in(
                next_,
                self.doors.buttons(),
                name=name[:64],
                error=error.message,
                status=STATUS[error.reason],
            )
            return web.shown(page)
        return web.shown(pages.signed_in(next_), *self.doors.sign_ins.cookies(begun))

    def _check_origin(self, request: WebRequest) -> None:
        """Refuse a form of another site, which would sign somebody in as somebody else."""
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        if origin not in (None, *self.origins) or site not in ("same-origin", "none"):
            raise Rejected(Reason.FORBIDDEN, "sign in on our own page, not on another site's")

    def _who(self, request: WebRequest) -> tuple[User | None, Principal | None]:
        principal = self.doors.sign_ins.browser(request.headers)
        user = None if principal is None else self.doors.people.get(principal.user)
        return user, principal

    async def _client(self, id_: str) -> OAuthClient:
        try:
            return await self.clients.find(id_)
        except OAuthError as error:
            raise _plain(error) from None

    async def _stored(self, id_: str) -> OAuthClient:
        try:
            return await self.clients.stored(id_)
        except OAuthError as error:
            raise _plain(error) from None

    def _wanted(self, parameters: Parameters, client: OAuthClient) -> _Wanted:
        """Raises OAuthError for what must not be answered to anybody's redirect."""
        redirect = rules.redirect_of(rules.first(parameters, "redirect_uri"), client.redirects)
        state = rules.first(parameters, "state")
        if state is not None and len(state) > rules.LONGEST_STATE:
            raise OAuthError("invalid_request", f"state is longer than {rules.LONGEST_STATE}")
        return _Wanted(client, redirect, state, parameters)

    async def _allowed(
        self, user: User, wanted: _Wanted, asked: AuthorizationAsked, at: OAuthPlaces
    ) -> WebAnswer:
        code = await self.grants.code(user, wanted.client, asked, wanted.redirect, at)
        return _back(wanted, at, code=code)

    def _note(
        self,
        request: WebRequest,
        user: User,
        wanted: _Wanted,
        asked: AuthorizationAsked,
        kind: str,
        outcome: str = "ok",
    ) -> None:
        self.trail.note(
            kind,
            outcome=outcome,
            user=user.name,
            asked_by=f"user:{user.name}",
            subject=wanted.client.id,
            address=request.address,
            method="oauth",
            reason="" if outcome == "ok" else "access_denied",
            request_id=request.request_id,
            details={"client": wanted.client.name, "scopes": " ".join(asked.scopes)},
        )


def local(next_: str | None) -> str:
    """A path of ours to go on to; whatever else was meant, `/`."""
    text = next_ or "/"
    parts = urlsplit(text)
    ours = text.startswith("/") and not text.startswith(("//", "/\\"))
    fine = len(text) <= LONGEST_NEXT and text.isascii() and text.isprintable() and " " not in text
    return text if ours and fine and not parts.netloc and not parts.scheme else "/"


def _to_sign_in(parameters: Parameters) -> WebAnswer:
    if rules.first(parameters, "prompt") == "none":
        raise OAuthError("login_required", "nobody is signed in")
    kept = {name: parameters[name] for name in PARAMETERS if name in parameters}
    next_ = f"{AUTHORIZE}?{urlencode(kept, doseq=True)}"
    return web.redirect(f"{SIGN_IN}?next={quote(next_, safe='')}")


def _back(wanted: _Wanted, at: OAuthPlaces, **parameters: str) -> WebAnswer:
    """Send the answer to the client, with who gives it (RFC 9207)."""
    where = rules.answered(wanted.redirect, **parameters, state=wanted.state, iss=at.issuer)
    return web.redirect(where)


def _plain(error: OAuthError) -> OAuthError:
    """The same for a person's page: there is no client that could show who it is."""
    return OAuthError(error.error, error.description, error.status if error.status > 401 else 400)
