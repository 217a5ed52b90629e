"""A gateway in this process, on a free port, over a log in memory; clients are real ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
from argon2 import PasswordHasher
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from contracts.budget import DEFAULT, Budget
from contracts.facts import AnyFact
from contracts.subjects import ACCOUNTS_BUCKET
from contracts.wire import HttpError
from services.bus.bus import Bus
from services.gateway import projection as tables
from services.gateway.access.identity import FileIdentity, digest, tokens_file
from services.gateway.access.reserve import Reserve
from services.gateway.connections import Connections
from services.gateway.guarded import Waits
from services.gateway.listener import Listener
from services.gateway.people.load import ProjectGate
from services.gateway.people.passwords import Passwords
from services.gateway.people.projects import Projects
from services.gateway.people.state import PeopleState
from services.gateway.settings import Settings
from services.gateway.site import Site
from services.huggingface.hub import Hub, Patience
from services.keys.vault import KeyFile, key_path
from services.log.memory import MemoryLog
from services.log.port import Log
from services.log.projection import Projection
from services.process.files import write_private
from services.process.in_force import in_force
from services.store.kv import Bucket

KEY = b"5a" * 32
"""The master key that all gateways of these tests share, as those of one installation do."""
TOKENS = {
    "alice-token": {"user": "alice"},
    "bob-token": {"user": "bob"},
    "admin-token": {"user": "root", "roles": ["auditor", "admin"]},
}
TASK: dict[str, Any] = {"type": "t.x", "input": {"b": 1, "a": [2]}}
SETTINGS = Settings(port=0, rate_limit_requests=0)
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP: reading the certificates that they don't need takes 30 ms each."""
QUICK = Patience(attempts=3, seconds=20.0, first_s=0.01)
QUICK_HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""The real one takes 0.1 s of a core, by intention."""


def gate(bus: Bus) -> ProjectGate:
    """What lets tasks into the projects of a deployment."""
    return ProjectGate(Projects(PeopleState(Bucket(bus, ACCOUNTS_BUCKET))))


class World:
    """One running gateway."""

    connections: Connections

    def __init__(self, site: Site, log: Log, url: str, bus: Bus) -> None:
        self.site = site
        self.log = log
        self.url = url
        self.bus = bus

    async def append(self, *facts: AnyFact) -> list[int]:
        """Append facts of any service."""
        return [await self.log.append(fact) for fact in facts]

    async def settled(self) -> None:
        """Wait until the gateway has handed out the whole log."""
        head = await self.log.head()
        async with asyncio.timeout(30):
            while not self.site.feed.live or self.site.feed.position < head:
                await self.site.feed.moved()

    @contextlib.asynccontextmanager
    async def http(self, token: str | None = "alice-token") -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(
            base_url=self.url, headers=headers, trust_env=False, timeout=20, verify=NO_TLS
        ) as client:
            yield client

    @contextlib.asynccontextmanager
    async def stream(
        self, token: str | None = "alice-token", *, path: str = "/api/stream", **options: Any
    ) -> AsyncIterator[Stream]:
        """A websocket client that has read the greeting."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        settings: dict[str, Any] = {
            "subprotocols": ["metamcp.v1"],
            "additional_headers": headers,
            "max_size": None,
            "proxy": None,
        }
        address = "ws" + self.url.removeprefix("http") + path
        async with connect(address, **settings | options) as socket:
            yield Stream(socket)


class Stream:
    """What a client of the protocol does, in the words of the tests."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.hello: dict[str, Any] = {}
        self.frames: list[dict[str, Any]] = []
        self._ref = 0

    async def receive(self) -> dict[str, Any]:
        """The next frame."""
        async with asyncio.timeout(30):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.frames.append(frame)
        return frame

    async def until(self, **fields: Any) -> dict[str, Any]:
        """Read up to a frame that has these fields."""
        while True:
            frame = await self.receive()
            if fields.items() <= frame.items():
                return frame

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a frame and return its answer."""
        self._ref += 1
        await self.socket.send(json.dumps({"op": op, "ref": self._ref} | fields))
        return await self.until(ref=self._ref)

    async def follow(self, sub: str = "s", to: str = "tasks", **fields: Any) -> dict[str, Any]:
        """Subscribe, and read until everything up to now has come; the answer is the ack."""
        ack = await self.ask("subscribe", sub=sub, to=to, **fields)
        if ack["op"] == "ack":
            await self.until(op="caught_up", sub=sub)
        return ack

    def events(self, sub: str = "s") -> list[dict[str, Any]]:
        """The facts that have come for a subscription."""
        frames = [f for f in self.frames if f["op"] == "events" and f["sub"] == sub]
        return [event for frame in frames for event in frame["events"]]

    def seqs(self, sub: str = "s") -> list[int]:
        """Their sequences."""
        return [event["seq"] for event in self.events(sub)]

    async def through(self, seq: int, sub: str = "s") -> list[int]:
        """Read until the fact at `seq` has come; the answer is all sequences so far."""
        while seq not in self.seqs(sub):
            await self.receive()
        return self.seqs(sub)

    async def closed(self) -> int:
        """Read until the server closes; the answer is the code."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.receive()
        assert self.socket.close_code is not None
        return self.socket.close_code


async def made(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/api/tasks", json=TASK | fields)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["data"]  # type: ignore[no-any-return]


def assert_is(view: dict[str, Any], told: dict[str, Any]) -> None:
    """That a task is as its submitter was told: the times were then by the gateway's clock, and
    what it waits for was not looked up yet."""
    told = told | {name: view[name] for name in ("waiting",) if name in view}
    times = ("created_at", "updated_at")
    for name in times:
        assert abs(view[name] - told[name]) < 10
    assert view == told | {name: view[name] for name in times}


def error_of(answer: httpx.Response) -> HttpError:
    body = answer.json()
    assert body["success"] is False
    error = msgspec.convert(body["error"], HttpError)
    assert error.code == answer.status_code
    assert error.message
    assert error.request_id == answer.headers["x-request-id"]
    assert error.path == answer.request.url.path
    return error


def write_tokens(data: Path, tokens: dict[str, dict[str, Any]]) -> None:
    """Make these tokens known, as the file of digests."""
    tokens_file(data).parent.mkdir(parents=True, exist_ok=True)
    entries = {digest(token): entry for token, entry in tokens.items()}
    tokens_file(data).write_bytes(msgspec.json.encode(entries))


async def use_quick_passwords(site: Site) -> None:
    """Hash as tests do that are about something else."""
    await site.parts.entrance.passwords.close()
    site.parts.entrance.passwords = Passwords(QUICK_HASHER)


@contextlib.asynccontextmanager
async def world(
    folder: Path,
    bus: Bus,
    settings: Settings = SETTINGS,
    log: Log | None = None,
    waits: Waits = Waits(),  # noqa: B008
    *,
    budget: Budget = DEFAULT,
    reserve: Reserve | None = None,
    key_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[World]:
    """Run a gateway; what is no log is on `bus`. `environ`: what its settings come from."""
    write_tokens(folder, TOKENS)
    used = log or MemoryLog()
    async with contextlib.AsyncExitStack() as stack:
        view = await Projection.open(folder / "view.sqlite", tables.SCHEMA, tables.VERSION)
        stack.push_async_callback(view.close)
        path = key_path(folder, key_file)
        if not path.exists():
            write_private(path, KEY)
        key = KeyFile(path)
        hub = Hub(patience=QUICK)
        identity = FileIdentity(folder)
        site = Site(
            *(bus, used, view, identity, key, hub, settings),
            budget=budget,
            reserve=reserve,
            told=in_force({"gateway": settings}, environ or {}, folder),
            data=folder,
        )
        await use_quick_passwords(site)
        stack.push_async_callback(site.parts.entrance.passwords.close)
        following = asyncio.create_task(site.follow())
        stack.push_async_callback(asyncio.wait, (following,))
        stack.callback(following.cancel)
        telling = asyncio.create_task(site.parts.waits.run())
        stack.push_async_callback(asyncio.wait, (telling,))
        stack.callback(telling.cancel)
        operating = asyncio.create_task(site.operations.run())
        stack.push_async_callback(asyncio.wait, (operating,))
        stack.callback(operating.cancel)
        listener = await Listener.start(site, waits)
        stack.push_async_callback(listener.stop)
        one = World(site, used, listener.url, bus)
        one.connections = listener.connections
        await one.settled()
        yield one
