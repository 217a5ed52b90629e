"""A gateway with which people sign in with others, and the browser of one of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from contracts.access import AccessEvent
from services.bus.bus import Bus
from services.gateway.people.ports import Came
from services.gateway.people.providers.door import SignInDoor
from services.gateway.people.providers.settings import OidcProvider
from services.gateway.people.records import User
from services.gateway.people.users import Users
from services.process.files import write_private
from tests.support import github_sign_in, oidc
from tests.support.github_sign_in import GitHubOAuth
from tests.support.oidc import OidcServer
from tests.unit.gateway.peopled import peopled
from tests.unit.gateway.world import NO_TLS, SETTINGS, World

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
COOKIE = "metamcp"
ADDRESS = "http://gateway.example:8080"
"""Under which all gateways are reached; the browser of the tests goes to one of them."""
NAME = "company"
"""The OpenID Connect provider."""


class Signing(World):
    """One running gateway."""

    @property
    def door(self) -> SignInDoor:
        """Where people come in by a provider."""
        return self.site.sign_in_door

    @property
    def users(self) -> Users:
        """The accounts."""
        return self.site.parts.users

    async def put(self, user: User) -> User:
        """Put an account in the place of what is there."""
        await self.site.parts.state.refresh()
        held = self.users._table.get(user.name)
        put = await self.users._table.put(user.name, user, 0 if held is None else held.revision)
        assert put is not None
        return user

    async def cookie(self, user: User) -> str:
        """The cookie of a new session."""
        begun = await self.site.parts.signed_in.begin(user, Came("password"))
        ((_, text),) = self.site.parts.signed_in.cookies(begun)
        return text.decode().partition("=")[2].partition(";")[0]

    @property
    def trail(self) -> list[AccessEvent]:
        """What it has noted."""
        return list(self.site.parts.trail.waiting)

    def last(self, kind: str = "sign_in") -> AccessEvent:
        """The newest event of a kind."""
        return [one for one in self.trail if one.kind == kind][-1]


class Browser:
    """Follows redirects, also to another gateway than that of the address; keeps cookies."""

    def __init__(self, client: httpx.AsyncClient, gateway: Signing) -> None:
        self.client = client
        self.gateway = gateway
        self.visited: list[str] = []

    @property
    def session(self) -> str:
        """The cookie that it is signed in with."""
        return self.client.cookies.get(COOKIE, "")

    @property
    def user(self) -> str:
        """As whom it is signed in."""
        headers = {"cookie": f"{COOKIE}={self.session}"}
        found = self.gateway.site.parts.signed_in.browser(headers)
        return "" if found is None else found.user

    async def get(self, url: str, **given: Any) -> httpx.Response:
        """One request; a path is one of the gateway's."""
        self.visited.append(url)
        whole = url if url.startswith("http") else self.gateway.url + url
        return await self.client.get(whole, **{"headers": HTML, **given})

    async def start(self, provider: str, **params: Any) -> httpx.Response:
        """Ask the gateway to be sent away."""
        return await self.get(f"/api/auth/{provider}/start", params=params)

    async def away(self, provider: str, **params: Any) -> str:
        """Go to the provider and consent; the answer is where it sends back to, a path."""
        started = await self.start(provider, **params)
        assert started.status_code == 303, started.text
        return await self.consent(started.headers["location"])

    async def consent(self, url: str) -> str:
        """The same from the provider's address on."""
        sent = await self.get(url)
        assert sent.status_code == 302, sent.text
        parts = urlsplit(sent.headers["location"])
        assert f"{parts.scheme}://{parts.netloc}" == self.gateway.site.settings.public_url
        return f"{parts.path}?{parts.query}"

    async def sign_in(self, provider: str, **params: Any) -> httpx.Response:
        """The whole way; the answer is the gateway's to the callback."""
        return await self.get(await self.away(provider, **params))


async def refused(gateway: Signing, back: str, ann: Any, word: str, status: int) -> str:
    """Come back, be refused for this reason, and be nobody afterwards."""
    answer = await ann.get(back)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert ann.session == ""
    event = gateway.last()
    assert (event.reason, event.outcome) == (word, "failed" if status == 503 else "refused")
    assert event.request_id == answer.headers["x-request-id"]
    return str(answer.text)


def value(path: str, name: str) -> str:
    """A parameter of an address."""
    return parse_qs(urlsplit(path).query)[name][0]


def replaced(path: str, name: str, text: str | None) -> str:
    """An address with another value of a parameter; None: without it."""
    parts = urlsplit(path)
    query = {k: v[0] for k, v in parse_qs(parts.query).items() if k != name}
    if text is not None:
        query[name] = text
    return f"{parts.path}?{httpx.QueryParams(query)}"


def of_github(github: GitHubOAuth, **more: Any) -> dict[str, Any]:
    """Settings by which people sign in with GitHub."""
    return {
        "github_client_id": github_sign_in.CLIENT,
        "github_client_secret": github_sign_in.SECRET,
        "github_web_url": github.url,
        "github_url": github.url,
        **more,
    }


def of_hub(hub: OidcServer, **more: Any) -> dict[str, Any]:
    """The same with Hugging Face."""
    return {
        "hf_client_id": oidc.CLIENT,
        "hf_client_secret": oidc.SECRET,
        "hf_url": hub.issuer,
        **more,
    }


def of_company(provider: OidcServer, folder: Path, **more: Any) -> dict[str, Any]:
    """The same with an OpenID Connect provider."""
    secret = folder / "company-secret"
    write_private(secret, oidc.SECRET.encode() + b"\n")
    one = OidcProvider(
        name=NAME, issuer=provider.issuer, client_id=oidc.CLIENT, client_secret_file=secret
    )
    return {"oidc_providers": (one,), **more}


@contextlib.asynccontextmanager
async def signing(folder: Path, bus: Bus, chosen: dict[str, Any]) -> AsyncIterator[Signing]:
    """Run a gateway; several at one server share their people."""
    settings = msgspec.structs.replace(SETTINGS, **{"public_url": ADDRESS, **chosen})
    async with peopled(folder, bus, settings) as one:
        yield Signing(one.site, one.log, one.url, bus)


@contextlib.asynccontextmanager
async def browser(gateway: Signing) -> AsyncIterator[Browser]:
    """A browser of its own."""
    async with httpx.AsyncClient(trust_env=False, timeout=30, verify=NO_TLS) as client:
        yield Browser(client, gateway)
