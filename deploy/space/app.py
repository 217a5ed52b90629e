"""A Space that runs tasks of the MetaMCP Orchestrator on a wrapped MCP server.

`POST /execute` runs a task, `GET /health` says how it is, `GET /mcp.json` what it can do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import connections
import permit
import runs
import settings
import store
import tasks
import uvicorn
import wire
from server import Server
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from wire import Answer, Refused

ECHO = "metamcp-jti"
"""Header of an answer: the permit that it is the answer to."""
LEEWAY_S = 10.0
"""Clocks of orchestrator and Space may differ by this."""
DRAIN = 64 * 1024 * 1024
"""Of a body that is too large this much is read and thrown away, so that the answer is seen."""
CHUNK = 256 * 1024
STOP_S = 5
"""Runs may end within this after a request to stop."""
REASONS = {404: "not_found", 405: "bad_request"}

log = logging.getLogger("space")


class Space:
    """The parts of one Space, and its routes."""

    def __init__(self, chosen: settings.Settings, config: tasks.Config, kept: store.Store) -> None:
        self._settings = chosen
        self._config = config
        self._slots = chosen.max_concurrency or config.manifest["limits"]["max_concurrency"]
        self._work = chosen.state / "work"
        self._store = kept
        self._runs = runs.Runs(kept, self._slots, linger_s=chosen.linger_ms / 1000)
        self._server = Server(config, chosen.max_answer)
        self._fetching: asyncio.Task[None] | None = None
        self.app = Starlette(
            routes=[
                Route("/execute", self.execute, methods=["POST"]),
                Route("/health", self.health),
                Route("/mcp.json", self.manifest),
                Route("/", self.welcome),
            ],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: _http_error, Exception: _fault},
        )

    async def execute(self, request: Request) -> Response:
        """Run a task, or answer again what was answered before."""
        echo: dict[str, str] = {}
        try:
            self._check_bearer(request)
            parts = wire.split(await self._read(request))
            # Before anything else is done with it: strangers cost no more than this.
            claims = await self._verified(parts)
            echo[ECHO] = claims.jti
            body = wire.parse(parts)
            _check_same(claims, body)
            place = self._runs.enter(
                _ask(claims), body.timeout_s, lambda: self._prepare(claims, body)
            )
            if isinstance(place, runs.Seat):
                place = await _outcome(request, place)
            return _response(place, echo)
        except Refused as refusal:
            headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
            if refusal.status == 401:
                headers["WWW-Authenticate"] = "Bearer"
            return _response(refusal.answer(), headers | echo)
        except ClientDisconnect:
            return Response(status_code=400)

    async def health(self, request: Request) -> Response:
        """Say whether tasks can be run now: 503 if not."""
        reason, status = self._server.problem, "unhealthy"
        if not reason:
            jwks = self._settings.jwks
            problem = jwks.problem if isinstance(jwks, permit.RemoteKeys) else ""
            reason = f"the key set at METAMCP_JWKS_URL can't be used: {problem}" if problem else ""
            status = "warning" if reason else "healthy"
        value = {
            "status": status,
            "reason": reason,
            "kit": permit.KIT,
            "running": self._runs.count,
            "max_concurrency": self._slots,
            "server": self._server.about,
        }
        if status == "unhealthy":
            return JSONResponse(value, 503, {"Retry-After": "1"})
        return JSONResponse(value)

    async def manifest(self, request: Request) -> Response:
        """Say what can be done here: `mcp.json`, with what the environment changes in it."""
        manifest = self._config.manifest
        limits = manifest["limits"] | {"max_concurrency": self._slots}
        endpoint = {"endpoint": {"kind": "execute"}, "replay": "always"}
        return JSONResponse(manifest | {"kit": permit.KIT, "limits": limits} | endpoint)

    async def welcome(self, request: Request) -> Response:
        """Greet people who open the Space."""
        name = self._config.manifest["name"]
        return PlainTextResponse(
            f"{name}: an MCP host of the MetaMCP Orchestrator.\n"
            "What it can do: /mcp.json. How it is: /health.\n"
        )

    def _check_bearer(self, request: Request) -> None:
        if not (bearer := self._settings.bearer):
            return
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {bearer}".encode()):
            text = "the Authorization header does not carry this Space's bearer token"
            raise Refused(401, "bad_permit", text)

    async def _read(self, request: Request) -> bytes:
        """The body. Raises Refused, ClientDisconnect."""
        parts: list[bytes] = []
        size, limit = 0, self._settings.max_body
        try:
            async with asyncio.timeout(connections.BODY_S):
                async for part in request.stream():
                    size += len(part)
                    if size <= limit:
                        parts.append(part)
                    elif size > limit + DRAIN:
                        break
        except TimeoutError as error:
            text = f"the body was not there after {connections.BODY_S:g} s"
            raise wire.bad_request(text) from error
        if size > limit:
            raise Refused(413, "too_large", f"the body has more than {limit} bytes")
        return b"".join(parts)

    async def _verified(self, parts: wire.Parts) -> permit.Claims:
        """The permit, which allows a run on exactly this input. Raises Refused."""
        jwks = self._settings.jwks
        try:
            if isinstance(jwks, permit.RemoteKeys):
                await self._fetch(jwks, permit.kid_of(parts.signature))
            return self._check(parts)
        except permit.PermitError as error:
            raise Refused(401, "bad_permit", f"{error.reason}: {error}") from error
        except permit.KeysUnavailable as error:
            raise Refused(503, "starting", str(error), int(permit.REFETCH_S)) from error

    def _check(self, parts: wire.Parts) -> permit.Claims:
        """Verify the permit. White space around the input belongs to it if the permit says so."""

        def verify(data: bytes) -> permit.Claims:
            return permit.verify(
                parts.signature,
                audience=self._settings.audience,
                users=self._settings.owners,
                jwks=self._settings.jwks,
                input_bytes=data,
                leeway=LEEWAY_S,
            )

        given = parts.members["input"]
        try:
            return verify(given.raw)
        except permit.PermitError as error:
            if error.reason != "wrong_input" or given.padded == given.raw:
                raise
            return verify(given.padded)

    async def _fetch(self, jwks: permit.RemoteKeys, kid: str) -> None:
        """Fetch the key set if need be, once for all who want it, beside the event loop."""
        if jwks.wants(kid):
            if self._fetching is None or self._fetching.done():
                fetch = asyncio.to_thread(jwks.refresh, kid)
                self._fetching = asyncio.create_task(fetch, name="fetch-jwks")
            await asyncio.shield(self._fetching)

    def _prepare(self, claims: permit.Claims, body: wire.Body) -> runs.Call:
        """What a run of this would do. Raises Refused; nothing has happened then."""
        kind = self._config.types.get(claims.task_type)
        if kind is None:
            names = ", ".join(sorted(self._config.types))
            text = f"task type {claims.task_type[:80]!r} is not served here, only: {names}"
            raise Refused(404, "unknown_task_type", text)
        folder = self._work / secrets.token_hex(8)
        plan = tasks.plan(kind, claims.task_id, claims.attempt, body.input, folder)
        session = self._server.session()
        return lambda: self._server.run(session, plan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        # What runs of an earlier process have left behind.
        await asyncio.to_thread(shutil.rmtree, self._work, ignore_errors=True)
        self._server.start()
        jwks = self._settings.jwks
        if isinstance(jwks, permit.RemoteKeys):
            self._fetching = asyncio.create_task(asyncio.to_thread(jwks.refresh, ""))
        try:
            yield
        finally:
            await self._runs.close()
            await self._server.stop()
            self._store.close()


def _check_same(claims: permit.Claims, body: wire.Body) -> None:
    """The body has to name the permit's task and user. Raises Refused."""
    if (claims.task_id, claims.sub) != (body.task, body.user):
        text = f"the permit is for task {claims.task_id} of {claims.sub}"
        raise Refused(401, "bad_permit", text)


def _ask(claims: permit.Claims) -> store.Ask:
    work = store.Work(claims.sub, claims.task_id, claims.task_type, claims.input_sha256)
    return store.Ask(work, claims.jti, claims.exp)


async def _outcome(request: Request, seat: runs.Seat) -> Answer:
    """Wait for the answer, or until the client has gone. Raises ClientDisconnect."""
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((seat.answer, gone), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        # Only a stop of the whole Space does this, and the client is still to be told.
        return seat.cut()
    finally:
        gone.cancel()
    seat.leave()
    if not seat.answer.done():
        raise ClientDisconnect
    return seat.answer.result()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _response(answer: Answer, headers: dict[str, str] | None = None) -> Response:
    if isinstance(answer.body, bytes):
        return Response(answer.body, answer.status, headers, "application/json")
    try:
        file = answer.body.open("rb")
    except FileNotFoundError:
        # Dropped in this very moment, to make room.
        return _response(wire.OUTCOME_UNKNOWN, headers)
    size = (headers or {}) | {"Content-Length": str(os.fstat(file.fileno()).st_size)}

    def chunks() -> Iterator[bytes]:
        with file:
            while chunk := file.read(CHUNK):
                yield chunk

    return StreamingResponse(chunks(), answer.status, size, "application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = REASONS.get(error.status_code, "bad_request")
    answer = wire.failure(error.status_code, reason, f"{error.detail}: {request.url.path}")
    return _response(answer, dict(error.headers or {}))


async def _fault(request: Request, error: Exception) -> Response:
    return _response(wire.failure(500, "internal", "the Space has a fault; its log says which"))


def create() -> Starlette:
    """Make the app from the environment. Raises BadSettings, BadConfig, StoreError."""
    chosen = settings.load()
    config = tasks.load(chosen.config)
    limits = store.Limits(chosen.keep_s, chosen.keep_answers, chosen.keep_bytes)
    return Space(chosen, config, store.Store(chosen.state, limits)).app


def main(arguments: list[str]) -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="app.py", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="address to listen at")
    parser.add_argument("--port", type=int, default=7860, help="port to listen at; 0: a free one")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    try:
        app: Any = create()
    except (settings.BadSettings, tasks.BadConfig, store.StoreError) as error:
        sys.exit(f"the Space can't start: {error}.")
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        http=connections.Connection,
        lifespan="on",
        ws="none",
        access_log=False,
        server_header=False,
        # One more than there may be: the one that has just come, and for which one goes.
        limit_concurrency=connections.MOST + 1,
        timeout_keep_alive=round(connections.REST_S),
        timeout_graceful_shutdown=STOP_S,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
