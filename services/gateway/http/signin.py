"""Routes of sign-in with GitHub, Hugging Face and OpenID Connect providers, and of identities."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter, RawBody
from litestar.response.base import ASGIResponse

from contracts import scopes
from contracts.errors import Reason, Rejected
from services.gateway import errors, webpages
from services.gateway.access.address import counted
from services.gateway.http.parts import Asking, Envelope, Wired, ok
from services.gateway.oauth.places import SIGN_IN
from services.gateway.openapi.document import described
from services.gateway.people.ports import Came
from services.gateway.people.providers.admission import path_of_ours
from services.gateway.people.providers.door import Onward, SignInDoor, SignInWish
from services.gateway.people.providers.page import confirm
from services.gateway.people.records import User

MOST_AGENT = 256
Door = NamedDependency[SignInDoor]
Next = Annotated[
    str, QueryParameter(name="next", description="Where to go then: a path of this server.")
]
Link = Annotated[
    bool, QueryParameter(description="Link the account there to the one you are signed in with.")
]
Invite = Annotated[str, QueryParameter(description="An invitation to come in for the first time.")]
GOING = {303: "Go on to `Location`."}
AnyRequest = Request[Any, Any, Any]
PROBLEMS = webpages.problems(SIGN_IN, "Go to the sign-in")


class SignInWay(msgspec.Struct, frozen=True):
    """A provider that people sign in with here."""

    name: str
    title: str
    """For people."""
    start: str
    """Path to send a browser to."""
    url: str
    """The same as a whole address; only the path, where the gateway does not know its own."""


class IdentityView(msgspec.Struct, frozen=True):
    """An account elsewhere with which you sign in."""

    key: str
    """Names it here."""
    provider: str
    """`github`, `huggingface`, or an issuer."""
    login: str
    """How you were called there when you last signed in."""
    linked: float
    """Seconds since the epoch."""


class IdentityUnlinked(msgspec.Struct, frozen=True):
    """An identity with which you sign in no more."""

    key: str
    provider: str
    revoked: bool
    """Whether the token it came with was ended at the provider."""


EXAMPLES: tuple[msgspec.Struct, ...] = (
    SignInWay(
        *("github", "GitHub", "/api/auth/github/start"),
        url="https://tasks.example.com/api/auth/github/start",
    ),
    IdentityView("3f" * 32, "github", "ann", 1_767_225_600.0),
    IdentityUnlinked("3f" * 32, "github", True),
)


class _Going(Response[None]):
    """An answer with headers of which several have one name."""

    def __init__(self, onward: Onward) -> None:
        super().__init__(None, status_code=303, headers={"Location": onward.url})
        self._more = onward.headers

    def to_asgi_response(self, *given: Any, **more: Any) -> ASGIResponse:
        """Add them."""
        made = super().to_asgi_response(*given, **more)
        for name, value in self._more:
            made.headers.add(name.decode(), value.decode())
        return made


class _Form(NamedTuple):
    token: str
    next: str


@get("/api/auth/providers", sync_to_thread=False)
def list_providers(door: Door) -> Envelope[list[SignInWay]]:
    """List with whom people sign in here, and where that begins."""
    every = [(p, f"/api/auth/{p.name}/start") for p in door.providers.values()]
    return ok([SignInWay(p.name, p.title, path, door.address(path)) for p, path in every])


@get(
    "/api/auth/{way:str}/start",
    status_code=303,
    opt=described(bare=GOING, errors=(403, 503)),
    exception_handlers=PROBLEMS,
)
async def start_sign_in(
    request: AnyRequest,
    way: FromPath[str],
    door: Door,
    next_: Next = "/",
    link: Link = False,
    invite: Invite = "",
) -> Response[Any]:
    """Send a browser to a provider. With `link` a page asks first whether that is meant."""
    if link and webpages.for_people(request) and door.sign_ins.browser(_headers(request)) is None:
        again = f"{request.url.path}?{urlencode({'link': 'true', 'next': path_of_ours(next_)})}"
        return _Going(Onward(f"{SIGN_IN}?{urlencode({'next': again})}", []))
    if not link:
        return _Going(await door.begin(way, SignInWish(next_, None, invite), _headers(request)))
    return await _confirm(request, way, door, next_)


@post(
    "/api/auth/{way:str}/start",
    status_code=303,
    opt=described(bare=GOING, errors=(400, 403, 413, 503)),
    exception_handlers=PROBLEMS,
)
async def start_linking(
    request: AnyRequest, way: FromPath[str], door: Door, body: RawBody
) -> Response[Any]:
    """Begin to link an account: what the page of `GET` with `link` sends."""
    headers, form = _headers(request), _form(body)
    principal = door.sign_ins.browser(headers)
    if principal is None:
        raise _nobody()
    door.sign_ins.check_form(headers, principal, form.token)
    return _Going(await door.begin(way, SignInWish(form.next, principal), headers))


@get(
    "/api/auth/{way:str}/callback",
    status_code=303,
    opt=described(bare=GOING, errors=(400, 403, 409, 503)) | {"any_query": True},
    exception_handlers=PROBLEMS,
)
async def finish_sign_in(request: AnyRequest, way: FromPath[str], door: Door) -> Response[Any]:
    """Take a browser back from a provider: sign in, or link."""
    answer = parse_qs(
        request.scope["query_string"].decode("ascii", "replace"), keep_blank_values=True
    )
    return _Going(await door.finish(way, answer, _headers(request), came(request)))


@get("/api/auth/identities", opt=described(scope=scopes.ADMIN, errors=(403, 503)))
async def list_identities(principal: Asking, door: Door) -> Envelope[list[IdentityView]]:
    """List the accounts elsewhere with which you sign in."""
    held = door.identities.of(principal.user).items()
    return ok([IdentityView(key, one.provider, one.login, one.linked) for key, one in held])


@delete(
    "/api/auth/identities/{key:str}",
    status_code=200,
    opt=described(scope=scopes.ADMIN, errors=(403, 409, 503)),
)
async def unlink_identity(
    request: AnyRequest, key: FromPath[str], principal: Asking, parts: Wired, door: Door
) -> Envelope[IdentityUnlinked]:
    """Sign in with an identity no more; the last way in stays, unless there is a password."""
    user = door.people.get(principal.user) or User(name=principal.user)
    gone, revoked = await door.unlink(user, key, came(request))
    done = IdentityUnlinked(key, gone.provider, revoked)
    if revoked:
        return ok(done, "unlinked, and its token was ended at the provider")
    return ok(done, "unlinked; take this server from the list of applications there, too")


def came(request: AnyRequest) -> Came:
    """How a request has come; `method` is to be set."""
    client = request.client
    address = counted(client.host) if client is not None else ""
    agent = request.headers.get("user-agent", "")[:MOST_AGENT]
    return Came("", address, agent, errors.request_id(request))


async def _confirm(request: AnyRequest, way: str, door: SignInDoor, next_: str) -> Response[str]:
    provider, headers = door.provider(way), _headers(request)
    principal = door.sign_ins.browser(headers)
    if principal is None:
        raise _nobody()
    away = await provider.address()
    form = door.sign_ins.form_token(principal)
    parts = urlsplit(away)
    title, action = f"Link {provider.title}", request.url.path
    body = confirm(provider.title, principal.user, action, form, next_)
    return webpages.shown(title, body, "'self'", f"{parts.scheme}://{parts.netloc}")


def _form(body: bytes) -> _Form:
    found = parse_qs(body.decode("ascii", "replace"), max_num_fields=8)
    if any(len(values) > 1 for values in found.values()):
        raise Rejected(Reason.BAD_REQUEST, "expected `form` and `next`, each once")
    return _Form(found.get("form", [""])[0], found.get("next", ["/"])[0])


def _nobody() -> Rejected:
    return Rejected(Reason.FORBIDDEN, "sign in with this browser first, then link")


def _headers(request: AnyRequest) -> dict[str, str]:
    pairs = request.scope["headers"]
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


ROUTES = (
    *(list_providers, start_sign_in, start_linking, finish_sign_in),
    *(list_identities, unlink_identity),
)
