"""Two gateways as processes on one nats-server: one that stays, and one that dies at a step."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from services.gateway.access.identity import ensure_local_token
from services.process.child import bound
from tests.support import mortal
from tests.support.facts import name
from tests.support.mortal import NEVER
from tests.support.nats import NatsServer
from tests.support.oauth_browser import PASSWORD

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = "http://gateway.example:8080"
"""Under which clients reach whichever gateway is there for them."""
MOST_STEPS = 60
PATIENCE_S = 120.0


class Way(httpx.AsyncBaseTransport):
    """The way of clients to the gateways: to the one that will die once they take that risk, and
    to the one that stays from its death on. What got no answer is sent again, as clients do."""

    def __init__(self, two: TwoProcesses, last: int) -> None:
        self.two = two
        self.last = last
        self.step = ""
        """At which it has died; empty: it lives."""
        self.lost = ""
        """The body of the answer that got lost with it."""
        self._pid = 0
        self._to = httpx.URL(two.url)
        self.own = httpx.AsyncHTTPTransport()

    @contextlib.asynccontextmanager
    async def client(self, token: str = "", **more: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client that knows one address alone."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(
            transport=self, base_url=PUBLIC, headers=headers, timeout=PATIENCE_S, **more
        ) as one:
            yield one

    async def risk(self) -> None:
        """Go to the gateway that will die, from now on."""
        self._pid, url = await self.two.born("mortal", self.last)
        self._to = httpx.URL(url)

    async def over(self) -> None:
        """What was at risk is done: go to the gateway that stays, which has heard of all of it."""
        await self.end()
        self._to = httpx.URL(self.two.url)
        async with self.two.direct(self.two.operator) as admin:
            assert (await admin.get("/api/users", params={"limit": 1})).status_code == 200

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it where it has to go now."""
        if request.url.host != httpx.URL(PUBLIC).host:
            return await self.own.handle_async_request(request)
        body = await request.aread()
        try:
            return await self._send(request, body)
        except httpx.TransportError:
            if not self._pid or self.step:
                raise
            self._pid, found = 0, await self.two.said("step")
            self.step, self.lost = found["step"], found["lost"]
            self._to = httpx.URL(self.two.url)
            return await self._send(request, body)

    async def _send(self, request: httpx.Request, body: bytes) -> httpx.Response:
        url = request.url.copy_with(host=self._to.host, port=self._to.port)
        again = httpx.Request(request.method, url, headers=request.headers, content=body)
        # None of it is used again: a connection may be of a gateway that has died since.
        again.headers.update({"connection": "close", "accept-encoding": "identity"})
        found = await self.own.handle_async_request(again)
        return httpx.Response(found.status_code, headers=found.headers, content=await _all(found))

    async def aclose(self) -> None:
        """Clients end; the way stays."""

    async def end(self) -> None:
        """End the gateway, if it lives."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._pid = 0


async def _all(response: httpx.Response) -> bytes:
    return await response.aread()


class Deaths:
    """A gateway's death at each step of what the block asks of it, one after the other."""

    def __init__(self, two: TwoProcesses) -> None:
        self._two = two
        self.steps: list[str] = []

    async def __aiter__(self) -> AsyncIterator[Way]:
        for last in range(MOST_STEPS):
            way = Way(self._two, last)
            try:
                yield way
            finally:
                await way.end()
                await way.own.aclose()
            if not way.step:
                return
            self.steps.append(way.step)
        raise AssertionError("it never came to its end")


class TwoProcesses:
    """Where gateways are born, and the one that stays."""

    def __init__(
        self, process: asyncio.subprocess.Process, folder: Path, environ: Mapping[str, str]
    ) -> None:
        self._process = process
        self._folder = folder
        self._environ = environ
        self.url = ""
        """Of the one that stays."""

    @property
    def operator(self) -> str:
        """The token of the operator, at the gateway that stays."""
        return ensure_local_token(self._folder / "lasting")

    async def born(self, instance: str, last: int = NEVER) -> tuple[int, str]:
        """Start a gateway that dies at its `last` step; its process and its address."""
        data = self._folder / instance
        data.mkdir(exist_ok=True)
        own = {"METAMCP_DATA": str(data), "METAMCP_INSTANCE": instance}
        asked = {"environ": {**self._environ, **own}, "last": last}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        return (await self.said("pid"))["pid"], (await self.said("url"))["url"]

    async def said(self, what: str) -> dict[str, Any]:
        """The next that a gateway says, which is this."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line)
        assert what in found, found
        return found

    def deaths(self) -> Deaths:
        return Deaths(self)

    def direct(self, token: str = "") -> httpx.AsyncClient:
        """A client of the gateway that stays."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(
            base_url=self.url, headers=headers, trust_env=False, timeout=PATIENCE_S
        )

    async def person(self, **fields: Any) -> str:
        """Make an account with the password; the answer is its name."""
        made = name("u")
        async with self.direct(self.operator) as admin:
            body = {"name": made, "password": PASSWORD} | fields
            answer = await admin.post("/api/users", json=body)
        assert answer.status_code == 201, answer.text
        return made


@contextlib.asynccontextmanager
async def two_processes(
    folder: Path, nats: NatsServer, variables: Mapping[str, str]
) -> AsyncIterator[TwoProcesses]:
    """Start the gateway that stays; the other one is born when somebody takes the risk."""
    environ = {
        "METAMCP_NATS_URL": nats.url,
        "METAMCP_CREDENTIALS": str(nats.embedded.credentials_file("gateway")),
        "METAMCP_ENABLE_METRICS": "false",
        "METAMCP_LOG_LEVEL": "error",
        "METAMCP_GATEWAY_PORT": "0",
        "METAMCP_GATEWAY_PUBLIC_URL": PUBLIC,
        "METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0",
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        *bound(sys.executable, "-m", mortal.__name__),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        one = TwoProcesses(process, folder, environ)
        _, one.url = await one.born("lasting")
        yield one
    finally:
        process.kill()
        await process.wait()
