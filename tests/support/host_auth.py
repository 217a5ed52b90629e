"""A stand-in of an MCP server that asks for OAuth, with its authorization server: both speak the
protocol in full, and lie when told to. It consents by itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote, urlencode

from aiohttp import web

PRM = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"
TOOL = {"name": "whoami", "description": "Says who asks.", "inputSchema": {"type": "object"}}


class HostAuth:
    """Everything that a test may bend is a public attribute."""

    def __init__(self) -> None:
        self.url = ""
        self.registers = True
        self.documents = False
        self.rotates = True
        self.lasts_s: float | None = 3600
        self.scope = "files:read"
        """In the host's refusal."""
        self.begins = 401
        """How it answers `initialize` of whoever has not signed in: lets him begin with 200."""
        self.lacks = ""
        """A scope without which this is refused."""
        self.lacks_for = "tools/call"
        self.prm: dict[str, Any] = {}
        """Put into the host's metadata; None takes a field away."""
        self.metadata: dict[str, Any] = {}
        """Put into the server's."""
        self.iss: str | None = ""
        """In the answer to the browser; empty: the right one, None: none."""
        self.error = ""
        """What the browser is sent back with."""
        self.go = asyncio.Event()
        """Refreshes wait for it."""
        self.go.set()
        self.refreshing = asyncio.Event()
        """One has come."""
        self.secret = ""
        """Of clients that register."""
        self.clients: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, float] = {}
        self.refreshes: dict[str, str] = {}
        self.revoked: list[str] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        """Requests to the token endpoint."""
        self.called: list[tuple[str, str]] = []
        """Method and token of each message to the host."""

    @property
    def resource(self) -> str:
        """The MCP server's URL."""
        return f"{self.url}/mcp"

    def count(self, grant: str) -> int:
        """How many requests of this kind the token endpoint has had."""
        return sum(form.get("grant_type") == grant for _, form in self.asked)

    def app(self) -> web.Application:
        """Its routes."""
        made = web.Application()
        made.router.add_get(f"{PRM}/mcp", self._resource)
        made.router.add_get(SERVER, self._server)
        made.router.add_post("/register", self._register)
        made.router.add_get("/authorize", self._authorize)
        made.router.add_post("/token", self._token)
        made.router.add_post("/revoke", self._revoke)
        made.router.add_post("/mcp", self._mcp)
        return made

    async def _resource(self, request: web.Request) -> web.Response:
        said = {
            "resource": self.resource,
            "authorization_servers": [self.url],
            "scopes_supported": ["files:read", "files:write"],
        }
        return _json(said | self.prm)

    async def _server(self, request: web.Request) -> web.Response:
        said: dict[str, Any] = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": self.documents,
        }
        if self.registers:
            said["registration_endpoint"] = f"{self.url}/register"
        return _json(said | self.metadata)

    async def _register(self, request: web.Request) -> web.Response:
        wish = await request.json()
        client = f"client-{len(self.clients) + 1}"
        self.clients[client] = wish
        said = {"client_id": client, **wish}
        if self.secret:
            said |= {
                "client_secret": self.secret,
                "token_endpoint_auth_method": "client_secret_basic",
            }
        return _json(said, 201)

    async def _authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        answer = {"state": query["state"]}
        if self.iss is not None:
            answer["iss"] = self.iss or self.url
        if self.error:
            answer["error"] = self.error
        else:
            assert query["resource"] == self.resource
            assert query["code_challenge_method"] == "S256"
            answer["code"] = code = secrets.token_urlsafe(16)
            self.codes[code] = query
        raise web.HTTPFound(f"{query['redirect_uri']}?{urlencode(answer)}")

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        who = form.get("client_id", "")
        if (basic := request.headers.get("authorization", "")).startswith("Basic "):
            who, _, secret = base64.b64decode(basic[6:]).decode().partition(":")
            if unquote(secret) != self.secret:
                return _json({"error": "invalid_client"}, 401)
        elif self.secret:
            return _json({"error": "invalid_client"}, 401)
        self.asked.append((who, form))
        match form["grant_type"]:
            case "authorization_code":
                code = self.codes.pop(form["code"], None)
                if code is None or not self._fits(code, form):
                    return _json({"error": "invalid_grant"}, 400)
            case _:
                self.refreshing.set()
                await self.go.wait()
                if form["refresh_token"] not in self.refreshes:
                    return _json({"error": "invalid_grant"}, 400)
                if self.rotates:
                    del self.refreshes[form["refresh_token"]]
        return _json(self.give())

    def give(self) -> dict[str, Any]:
        """A new token, and a new refresh token."""
        access, refresh = (f"{what}-{secrets.token_urlsafe(16)}" for what in ("at", "rt"))
        self.tokens[access] = time.monotonic() + (self.lasts_s or 1e9)
        said: dict[str, Any] = {"access_token": access, "token_type": "Bearer"}
        if self.lasts_s is not None:
            said["expires_in"] = self.lasts_s
        if self.rotates or not self.refreshes:
            self.refreshes[refresh] = access
            said["refresh_token"] = refresh
        return said

    def _fits(self, code: dict[str, str], form: dict[str, str]) -> bool:
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return (
            challenge == code["code_challenge"]
            and form["redirect_uri"] == code["redirect_uri"]
            and form["resource"] == self.resource
        )

    async def _revoke(self, request: web.Request) -> web.Response:
        token = str((await request.post())["token"])
        self.revoked.append(token)
        self.tokens.pop(token, None)
        self.refreshes.pop(token, None)
        return web.Response()

    async def _mcp(self, request: web.Request) -> web.Response:
        said = await request.json()
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.called.append((said["method"], token))
        at = f'resource_metadata="{self.url}{PRM}/mcp"'
        knows = self.tokens.get(token, 0.0) >= time.monotonic()
        if not knows and said["method"] == "initialize" and self.begins not in (200, 401):
            return _json({"error": "not in this era"}, self.begins)
        if not knows and not (said["method"] == "initialize" and self.begins == 200):
            told = f'Bearer {at}, scope="{self.scope}"'
            return _json({"error": "who are you?"}, 401, {"WWW-Authenticate": told})
        if self.lacks and said["method"] == self.lacks_for:
            told = f'Bearer error="insufficient_scope", scope="{self.lacks}", {at}'
            return _json({}, 403, {"WWW-Authenticate": told})
        if "id" not in said:
            return web.Response(status=202)
        result: dict[str, Any]
        match said["method"]:
            case "initialize":
                result = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "closed", "version": "1"},
                }
            case "tools/list":
                result = {"tools": [TOOL]}
            case "tools/call":
                result = {"content": [{"type": "text", "text": "you are in"}]}
            case _:
                error = {"code": -32601, "message": "unknown"}
                return _json({"jsonrpc": "2.0", "id": said["id"], "error": error})
        return _json({"jsonrpc": "2.0", "id": said["id"], "result": result})


@contextlib.asynccontextmanager
async def host_auth() -> AsyncIterator[HostAuth]:
    """Run one on a free port of this machine."""
    one = HostAuth()
    runner = web.AppRunner(one.app(), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield one
    finally:
        one.go.set()
        await runner.cleanup()


def _json(
    said: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    kept = {name: value for name, value in said.items() if value is not None}
    return web.json_response(kept, status=status, headers=headers)
