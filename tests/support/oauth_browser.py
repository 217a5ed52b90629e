"""A person with a browser, and what a client of OAuth does by hand."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import ssl
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

CALLBACK = "http://127.0.0.1:33418/callback"
VERIFIER = "v" * 64


def challenge(verifier: str = VERIFIER) -> str:
    made = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def query(url: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


PASSWORD = "seven horses in a boat"


class ReadForm(HTMLParser):
    """The fields of a page's form, and where its links and refreshes lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.action = ""
        self.goes = ""
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        match tag:
            case "form":
                self.action = given.get("action", "")
            case "input":
                self.fields[given["name"]] = given.get("value", "")
            case "a":
                self.links.append(given["href"])
            case "meta" if given.get("http-equiv") == "refresh":
                self.goes = given["content"].partition("url=")[2]


class Browser:
    """One person's browser."""

    def __init__(self, http: httpx.AsyncClient, user: str, gateway: str) -> None:
        self.http = http
        self.user = user
        self.gateway = gateway
        self.asked = 0
        """How often the person was asked for consent."""

    async def post(self, form: ReadForm, **fields: str) -> httpx.Response:
        """Send a form as a browser does."""
        headers = {"Origin": self.gateway, "Sec-Fetch-Site": "same-origin"}
        data = form.fields | fields
        return await self.http.post(self.gateway + form.action, data=data, headers=headers)

    async def sign_in(self, page: httpx.Response, password: str | None = None) -> httpx.Response:
        """Fill in the page of the sign-in, and go on as it says."""
        form = ReadForm(page.text)
        done = await self.post(form, user=self.user, password=password or PASSWORD)
        if done.status_code != 200:
            return done
        return await self.http.get(self.gateway + ReadForm(done.text).goes)

    async def visit(self, url: str, decision: str = "allow") -> str:
        """Go where a client sends somebody; the answer is where the browser is sent in the end."""
        answer = await self.http.get(url)
        if answer.is_redirect and answer.headers["location"].startswith("/signin"):
            page = await self.http.get(self.gateway + answer.headers["location"])
            answer = await self.sign_in(page)
        if answer.status_code == 200:
            self.asked += 1
            answer = await self.post(ReadForm(answer.text), decision=decision)
        assert answer.is_redirect, answer.text
        return answer.headers["location"]


class HandMade:
    """A client that makes its requests itself, so that a test can make them wrong."""

    def __init__(self, http: httpx.AsyncClient, gateway: str, issuer: str | None = None) -> None:
        self.http = http
        self.gateway = gateway
        self.issuer = issuer or gateway
        self.id = ""
        self.secret: str | None = None

    async def register(self, **fields: Any) -> httpx.Response:
        body = {
            "client_name": "A test",
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
        }
        answer = await self.http.post(f"{self.gateway}/oauth/register", json=body | fields)
        if answer.status_code == 201:
            self.id = answer.json()["client_id"]
            self.secret = answer.json().get("client_secret")
        return answer

    def asks(self, **fields: str | None) -> str:
        """The address a person is sent to; None takes a parameter away."""
        given: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": CALLBACK,
            "state": secrets.token_hex(8),
            "code_challenge": challenge(),
            "code_challenge_method": "S256",
            "resource": f"{self.issuer}/mcp",
            "scope": "mcp:call",
        }
        kept = {name: value for name, value in (given | fields).items() if value is not None}
        return str(httpx.URL(f"{self.gateway}/oauth/authorize", params=kept))

    async def fetches(self, code: str, **fields: str | None) -> httpx.Response:
        """Give a code for tokens."""
        given = {"code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return await self.token("authorization_code", **given | fields)

    async def refreshes(self, token: str, **fields: str | None) -> httpx.Response:
        return await self.token("refresh_token", refresh_token=token, **fields)

    async def token(self, kind: str, **fields: str | None) -> httpx.Response:
        given: dict[str, str | None] = {"grant_type": kind, "client_id": self.id}
        if self.secret:
            given["client_secret"] = self.secret
        kept = {name: value for name, value in (given | fields).items() if value is not None}
        return await self.http.post(f"{self.gateway}/oauth/token", data=kept)

    async def granted(self, browser: Browser, **fields: str | None) -> dict[str, Any]:
        """The whole way; the answer is the tokens."""
        back = query(await browser.visit(self.asks(**fields)))
        answer = await self.fetches(back["code"])
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def browsing(user: str, gateway: str) -> AsyncIterator[Browser]:
    # To load the machine's CAs takes a tenth of a second, and here is no TLS.
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx.AsyncClient(trust_env=False, timeout=30, verify=plain) as http:

        async def keep(response: httpx.Response) -> None:
            # A gateway that is reached by https gives cookies for that alone; here is no proxy.
            for cookie in http.cookies.jar:
                cookie.secure = False

        http.event_hooks["response"].append(keep)
        yield Browser(http, user, gateway)
