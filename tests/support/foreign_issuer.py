"""An authorization server that is not ours, as far as a resource sees it: metadata and keys."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


class ForeignIssuer:
    """Signs what a test wants."""

    def __init__(self) -> None:
        self.url = ""
        self.private: dict[str, tuple[Any, str]] = {}
        self.asked = 0
        self.issuer: str | None = None
        """What its metadata says; None: the truth."""
        self.down = False
        self.add("rsa", rsa.generate_private_key(65537, 2048), "RS256")
        self.add("ec", ec.generate_private_key(ec.SECP256R1()), "ES256")
        self.add("ed", ed25519.Ed25519PrivateKey.generate(), "EdDSA")

    def add(self, kid: str, private: Any, algorithm: str) -> None:
        self.private[kid] = private, algorithm

    def claims(self, audience: str, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": audience,
            "sub": "u-1",
            "exp": now + 600,
            "iat": now,
            "client_id": "editor",
            "scope": "mcp:call openid",
        }
        return {name: value for name, value in (claims | changed).items() if value is not None}

    def token(self, audience: str, kid: str = "rsa", **changed: Any) -> str:
        private, algorithm = self.private[kid]
        headers = {"kid": kid, "typ": "at+jwt"}
        return jwt.encode(self.claims(audience, **changed), private, algorithm, headers)

    async def metadata(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=503)
        body = {"issuer": self.issuer or self.url, "jwks_uri": f"{self.url}/keys"}
        return web.json_response(body)

    async def keys(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.down:
            return web.Response(status=503)
        found = [self.public(kid) for kid in self.private]
        odd = [{"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}, {"kty": "RSA", "kid": "bad"}]
        return web.json_response({"keys": [*odd, *found]})

    def public(self, kid: str) -> dict[str, Any]:
        private, algorithm = self.private[kid]
        kinds: dict[str, Any] = {
            "RS256": jwt.algorithms.RSAAlgorithm,
            "ES256": jwt.algorithms.ECAlgorithm,
            "EdDSA": jwt.algorithms.OKPAlgorithm,
        }
        made: dict[str, Any] = kinds[algorithm].to_jwk(private.public_key(), as_dict=True)
        return made | {"kid": kid, "use": "sig", "alg": algorithm}


@contextlib.asynccontextmanager
async def foreign_issuer(path: str = "") -> AsyncIterator[ForeignIssuer]:
    """Serve one; with a path its metadata is where OpenID Connect has it."""
    one = ForeignIssuer()
    app = web.Application()
    well_known = f"{path}/.well-known/openid-configuration" if path else ""
    app.router.add_get(well_known or "/.well-known/oauth-authorization-server", one.metadata)
    app.router.add_get(f"{path}/keys", one.keys)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
    try:
        yield one
    finally:
        await runner.cleanup()
