"""A stand-in of an OpenID Connect provider that speaks the protocol in full, and lies when told to.

It consents by itself, as whoever is set as `who`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from urllib.parse import unquote, urlencode

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "metamcp client", "s3cr%t:+/"
"""With characters that a client has to write otherwise in a header."""
LASTS_S = 3600


@functools.cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same number."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


class IssuedCode(NamedTuple):
    """What a code was given for."""

    subject: str
    client: str
    redirect: str
    challenge: str
    nonce: str
    scope: str


class OidcServer:
    """The provider. Everything that a test may bend is a public attribute."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.issuer = ""
        self.people: dict[str, dict[str, Any]] = {}
        self.who = ""
        """Subject of whoever sits at the browser."""
        self.keys: dict[str, rsa.RSAPrivateKey] = {"one": rsa_key()}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.claims: dict[str, Any] = {}
        """Put into each ID token; None takes one away."""
        self.shown: dict[str, Any] = {}
        """Put into the answer of userinfo."""
        self.more: dict[str, Any] = {}
        """Put into the metadata."""
        self.iss: str | None = ""
        """In the answer to the browser; empty: the right one."""
        self.error = ""
        """What the browser is sent back with."""
        self.hangs: set[str] = set()
        """Endpoints that never answer."""
        self.instead: dict[str, Callable[[], web.Response]] = {}
        """Answers of endpoints in the place of the right ones."""
        self.codes: dict[str, IssuedCode] = {}
        self.tokens: dict[str, str] = {}
        self.refreshing: dict[str, str] = {}
        self.revoked: list[str] = []
        self.asked: list[str] = []
        self.queries: list[dict[str, str]] = []

    def app(self) -> web.Application:
        """Its routes."""
        made = web.Application()
        routes = {
            "/.well-known/openid-configuration": self._metadata,
            f"{self.prefix}/authorize": self._authorize,
            f"{self.prefix}/token": self._token,
            f"{self.prefix}/userinfo": self._userinfo,
            f"{self.prefix}/jwks": self._jwks,
            f"{self.prefix}/revoke": self._revoke,
        }
        for path, handler in routes.items():
            made.router.add_route("*", path, functools.partial(self._answer, handler))
        return made

    def metadata(self) -> dict[str, Any]:
        """As OpenID Connect Discovery has it."""
        base = self.issuer.rstrip("/") + self.prefix
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "userinfo_endpoint": f"{base}/userinfo",
            "jwks_uri": f"{base}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        } | self.more

    def signed(self, claims: dict[str, Any], kid: str = "one", **header: Any) -> str:
        """An ID token with the right signature."""
        return jwt.encode(claims, self.keys[kid], "RS256", headers={"kid": kid, **header})

    async def _answer(
        self, handler: Callable[[web.Request], Any], request: web.Request
    ) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        self.asked.append(name)
        if name in self.hangs:
            await asyncio.Event().wait()
        if name in self.instead:
            return self.instead[name]()
        found: web.StreamResponse = await handler(request)
        return found

    async def _metadata(self, request: web.Request) -> web.Response:
        return web.json_response(self.metadata())

    async def _jwks(self, request: web.Request) -> web.Response:
        made = [
            json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
            | {"kid": kid, "use": "sig", "alg": "RS256"}
            for kid, key in self.keys.items()
        ]
        return web.json_response({"keys": made})

    async def _authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.queries.append(query)
        if query.get("client_id") != CLIENT or query.get("response_type") != "code":
            return web.Response(status=400, text="no such client")
        answer: dict[str, str] = {"state": query["state"]}
        if self.error:
            answer |= {"error": self.error, "error_description": "<script>alert(1)</script>"}
        else:
            code = secrets.token_urlsafe(16)
            assert query.get("code_challenge_method") in ("S256", None)
            self.codes[code] = IssuedCode(
                self.who,
                query["client_id"],
                query["redirect_uri"],
                query.get("code_challenge", ""),
                query.get("nonce", ""),
                query.get("scope", ""),
            )
            answer["code"] = code
        if self.iss is not None:
            answer["iss"] = self.iss or self.issuer
        where = query["redirect_uri"]
        where += ("&" if "?" in where else "?") + urlencode(answer)
        return web.Response(status=302, headers={"Location": where})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if not self._is_client(request, form):
            return web.json_response({"error": "invalid_client"}, status=401)
        if form.get("grant_type") == "refresh_token":
            subject = self.refreshing.pop(form["refresh_token"], None)
            if subject is None:
                return web.json_response({"error": "invalid_grant"}, status=400)
            return web.json_response(self._given(subject, ""))
        given = self.codes.pop(form.get("code", ""), None)
        if given is None or given.redirect != form.get("redirect_uri"):
            return web.json_response({"error": "invalid_grant"}, status=400)
        verifier = form.get("code_verifier", "")
        if given.challenge and _challenge(verifier) != given.challenge:
            return web.json_response({"error": "invalid_grant"}, status=400)
        answer = self._given(given.subject, given.scope)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": given.subject,
            "aud": CLIENT,
            "iat": now,
            "exp": now + LASTS_S,
            "at_hash": _half_hash(answer["access_token"]),
        }
        if given.nonce:
            claims["nonce"] = given.nonce
        claims |= self.claims
        answer["id_token"] = self.sign({k: v for k, v in claims.items() if v is not None})
        return web.json_response(answer)

    def _given(self, subject: str, scope: str) -> dict[str, Any]:
        access, refresh = (secrets.token_urlsafe(16) for _ in "12")
        self.tokens[access] = subject
        self.refreshing[refresh] = subject
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": LASTS_S,
            "refresh_token": refresh,
            "scope": scope,
        }

    async def _userinfo(self, request: web.Request) -> web.Response:
        subject = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if subject is None:
            return web.Response(status=401)
        return web.json_response({"sub": subject} | self.people[subject] | self.shown)

    async def _revoke(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if not self._is_client(request, form):
            return web.json_response({"error": "invalid_client"}, status=401)
        self.revoked.append(form["token"])
        self.tokens.pop(form["token"], None)
        return web.Response()

    def _is_client(self, request: web.Request, form: dict[str, str]) -> bool:
        header = request.headers.get("Authorization", "")
        if "client_secret_basic" in self.metadata()["token_endpoint_auth_methods_supported"]:
            pair = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            return (unquote(pair[0]), unquote(pair[2])) == (CLIENT, SECRET)
        return (form.get("client_id"), form.get("client_secret"), header) == (CLIENT, SECRET, "")


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _half_hash(access: str) -> str:
    digest = hashlib.sha256(access.encode()).digest()[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@contextlib.asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Serve it on a free port; the answer is its address."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def oidc_server() -> AsyncIterator[OidcServer]:
    """A provider with Ann and Ben."""
    one = OidcServer()
    one.people = {
        "id-ann": {
            "name": "Ann Example",
            "preferred_username": "ann",
            "email": "ann@example.com",
            "email_verified": True,
        },
        "id-ben": {"name": "Ben", "email": "ben@other.example", "email_verified": False},
    }
    one.who = "id-ann"
    async with listening(one.app()) as one.issuer:
        yield one


@contextlib.asynccontextmanager
async def hugging_face() -> AsyncIterator[OidcServer]:
    """Hugging Face: its paths, its claims, and no address at which a token is revoked."""
    one = OidcServer("/oauth")
    one.more = {"authorization_response_iss_parameter_supported": False}
    one.iss = None
    one.people = {
        "5f1": {
            "name": "Ann",
            "preferred_username": "Ann.Example",
            "email": "ann@example.com",
            "email_verified": True,
            "orgs": [{"sub": "7a", "name": "Acme Inc.", "preferred_username": "acme"}],
        }
    }
    one.who = "5f1"
    async with listening(one.app()) as one.issuer:
        yield one
