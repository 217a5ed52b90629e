"""Routes of links that sign a browser in, once: made with a token, exchanged by the console."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.params import RawBody

from contracts.scopes import ADMIN
from services.gateway.access.identity import Principal, bearer
from services.gateway.http.auth import came
from services.gateway.http.parts import Asking, Envelope, Wired, ok, read
from services.gateway.openapi.document import described
from services.gateway.people.console_links import LINK_S

CONSOLE = "/console"
METHOD = "link"


class ConsoleLinkMade(msgspec.Struct, frozen=True):
    """A link into the console; this answer alone has its code."""

    code: str
    path: str
    """Below the gateway's address, the code in its fragment, which no server is sent."""
    expires_in: float
    """Seconds."""

    def __repr__(self) -> str:
        return "ConsoleLinkMade(code=…)"


class ConsoleCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of a link."""

    code: Annotated[str, msgspec.Meta(max_length=200)]

    def __repr__(self) -> str:
        return "ConsoleCode(code=…)"


class ConsoleSession(msgspec.Struct, frozen=True):
    """Who has signed in by a link; the session itself is in the cookie."""

    session: str
    """Its id."""
    user: str
    csrf_token: str
    """To be sent as `X-CSRF-Token` with every change."""


EXAMPLES = (
    ConsoleLinkMade("mtl_…", "/console#code=mtl_…", float(LINK_S)),
    ConsoleCode("mtl_…"),
    ConsoleSession("0199a2b4-6c1e-7d10-8f3a-5b1c2d3e4f50", "local", "…"),
)


@post("/api/auth/console-links", status_code=201, opt=described(scope=ADMIN, errors=(403, 503)))
async def make_link(
    request: Request[Any, Any, Any], parts: Wired, principal: Asking
) -> Envelope[ConsoleLinkMade]:
    """Make a link that signs a browser in as oneself, once, within ten minutes."""
    shown = bearer(request.headers.get("authorization"))
    made = await parts.console_links.add(principal, shown)
    link = ConsoleLinkMade(made.code, f"{CONSOLE}#code={made.code}", made.expires_s)
    return ok(link, "open it within ten minutes; it is good once")


@post(
    "/api/auth/console",
    status_code=200,
    opt=described(body=ConsoleCode, errors=(403, 404, 503)),
)
async def take_link(
    request: Request[Any, Any, Any], body: RawBody, parts: Wired
) -> Response[Envelope[ConsoleSession]]:
    """Sign the browser in that has opened a link. It must come from a page of this gateway."""
    # Else another site could have a browser sign in as somebody else.
    parts.signed_in.check_origin(request.headers)
    code = read(body, ConsoleCode).code
    before: Principal | None = request.scope["state"].get("browser")
    user, begun = await parts.console_links.take(code, came(request, METHOD))
    if before is not None and before.user == user and before.token is not None:
        # The browser has one cookie: nothing could show the session before any more.
        await parts.signed_in.end(before.token, user, reason="replaced", asked_by="")
    token = parts.signed_in.form_token(Principal(user, frozenset(), token=begun.session))
    answer = Response(ok(ConsoleSession(begun.session, user, token), "signed in"))
    for name, value in parts.signed_in.cookies(begun):
        answer.headers[name.decode()] = value.decode()
    return answer


ROUTES = (make_link, take_link)
