"""A stand-in of GitHub's OAuth and of what its API says of people; one address for both.

It consents by itself, as whoever is set as `who`. Beside the stand-in of repositories, whose API
is that of both then, its tokens are good there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from tests.support.github.server import GitHubServer, GitHubToken
from tests.support.oidc import listening

CLIENT, SECRET = "Iv1.metamcp", "github-secret"


class GitHubOAuth:
    """Everything that a test may bend is a public attribute."""

    def __init__(self, api: GitHubServer | None = None) -> None:
        self.api = api
        self.url = ""
        self.people: dict[int, dict[str, Any]] = {}
        self.emails: dict[int, list[dict[str, Any]]] = {}
        self.orgs: dict[int, list[str]] = {}
        self.who = 1
        self.error = ""
        self.token_error = ""
        self.iss: str | None = None
        self.lasts_s: int | None = None
        """How long a token is good, as those of GitHub Apps; None: for ever, as of OAuth apps."""
        self.status: dict[str, int] = {}
        """Statuses of paths of the API in the place of 200."""
        self.pauses = asyncio.Event()
        """Cleared: a refresh waits."""
        self.pauses.set()
        self.codes: dict[str, tuple[int, str, str, str]] = {}
        self.tokens: dict[str, tuple[int, str]] = {}
        self.refreshing: dict[str, int] = {}
        self.refreshed = 0
        self.revoked: list[str] = []
        self.queries: list[dict[str, str]] = []

    def app(self) -> web.Application:
        """Its routes."""
        made = web.Application()
        made.router.add_get("/login/oauth/authorize", self._authorize)
        made.router.add_post("/login/oauth/access_token", self._token)
        made.router.add_get("/user", self._user)
        made.router.add_get("/user/emails", self._emails)
        made.router.add_get("/user/orgs", self._orgs)
        made.router.add_delete("/applications/{client}/grant", self._revoke)
        return made

    async def _authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.queries.append(query)
        if query.get("client_id") != CLIENT:
            return web.Response(status=404)
        answer = {"state": query["state"]}
        if self.error:
            answer |= {"error": self.error, "error_description": "The user has denied it."}
        else:
            code = secrets.token_hex(10)
            redirect, challenge = query["redirect_uri"], query.get("code_challenge", "")
            self.codes[code] = (self.who, redirect, challenge, query.get("scope", ""))
            answer["code"] = code
        if self.iss is not None:
            answer["iss"] = self.iss
        where = f"{query['redirect_uri']}?{urlencode(answer)}"
        return web.Response(status=302, headers={"Location": where})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        assert request.headers["Accept"] == "application/json"
        if (form["client_id"], form["client_secret"]) != (CLIENT, SECRET):
            return web.json_response({"error": "incorrect_client_credentials"})
        if self.token_error:
            return web.json_response({"error": self.token_error, "error_description": "No."})
        if form.get("grant_type") == "refresh_token":
            self.refreshed += 1
            who = self.refreshing.pop(form["refresh_token"], None)
            await self.pauses.wait()
            if who is None:
                return web.json_response({"error": "bad_refresh_token"})
            return web.json_response(self._given(who, ""))
        found = self.codes.pop(form["code"], None)
        made = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        verified = base64.urlsafe_b64encode(made).rstrip(b"=").decode()
        if found is None or (found[2] and verified != found[2]):
            return web.json_response({"error": "bad_verification_code"})
        if found[1] != form.get("redirect_uri"):
            return web.json_response({"error": "redirect_uri_mismatch"})
        return web.json_response(self._given(found[0], found[3]))

    def _given(self, who: int, scope: str) -> dict[str, Any]:
        token = f"gho_{secrets.token_hex(18)}"
        self.tokens[token] = (who, scope)
        if self.api is not None:
            self.api.tokens[token] = GitHubToken(
                self.people[who]["login"], ", ".join(scope.split())
            )
        made = {"access_token": token, "scope": ",".join(scope.split()), "token_type": "bearer"}
        if self.lasts_s is None:
            return made
        refresh = f"ghr_{secrets.token_hex(18)}"
        self.refreshing[refresh] = who
        return made | {"expires_in": self.lasts_s, "refresh_token": refresh}

    def _known(self, request: web.Request) -> tuple[int, str]:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise web.HTTPUnauthorized
        if request.path in self.status:
            raise _of(self.status[request.path])
        return self.tokens[token]

    async def _user(self, request: web.Request) -> web.Response:
        who, scope = self._known(request)
        headers = {"X-OAuth-Scopes": ", ".join(scope.split())}
        return web.json_response({"id": who, **self.people[who]}, headers=headers)

    async def _emails(self, request: web.Request) -> web.Response:
        who, scope = self._known(request)
        if "user:email" not in scope.split():
            raise web.HTTPNotFound
        return web.json_response(self.emails.get(who, []))

    async def _orgs(self, request: web.Request) -> web.Response:
        who, scope = self._known(request)
        if "read:org" not in scope.split():
            raise web.HTTPForbidden
        count, number = int(request.query["per_page"]), int(request.query["page"])
        names = self.orgs.get(who, [])[(number - 1) * count : number * count]
        return web.json_response([{"login": name, "id": 1} for name in names])

    async def _revoke(self, request: web.Request) -> web.Response:
        pair = base64.b64decode(request.headers["Authorization"].removeprefix("Basic "))
        if pair.decode() != f"{CLIENT}:{SECRET}":
            raise web.HTTPUnauthorized
        token = (await request.json())["access_token"]
        if self.tokens.pop(token, None) is None:
            raise web.HTTPUnprocessableEntity
        self.revoked.append(token)
        return web.Response(status=204)


def _of(status: int) -> web.HTTPException:
    kinds = {401: web.HTTPUnauthorized, 403: web.HTTPForbidden, 500: web.HTTPInternalServerError}
    return kinds[status]()


@contextlib.asynccontextmanager
async def github_oauth(api: GitHubServer | None = None) -> AsyncIterator[GitHubOAuth]:
    """GitHub with Ann and Ben."""
    one = GitHubOAuth(api)
    one.people = {
        1: {"login": "Ann-Example", "name": "Ann"},
        2: {"login": "ben", "name": None},
    }
    one.emails = {
        1: [
            {"email": "ann@old.example", "verified": True, "primary": False},
            {"email": "ann@example.com", "verified": True, "primary": True},
            {"email": "ann@evil.example", "verified": False, "primary": False},
        ]
    }
    async with listening(one.app()) as one.url:
        yield one
