"""Users apart: an orchestrator with an operator's no-op host, an abuser, another user, and the
operator's way out. Nobody here imports anything of the orchestrator but what starts it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

from services.up import up
from tests.support.hostile import Hostile, hostile
from tests.support.processes import Alive, few_files, started
from tests.support.small_store import small_store
from tests.support.system import until

MANIFEST = """
[hosts.noop]
name = "No-op"
endpoint.kind = "noop"
limits = { max_concurrency = 1024 }

[hosts.noop.task_types.noop]
summary = "Nothing"
steps = [{ tool = "noop" }]
"""
VARIABLES = {
    "METAMCP_REGISTRY_BUILTINS": "false",
    "METAMCP_REGISTRY_ALLOW_NOOP": "true",
    "METAMCP_EXECUTOR_ALLOW_NOOP": "true",
    "METAMCP_ALLOW_PRIVATE_HOSTS": "true",
    "METAMCP_ENABLE_METRICS": "false",
}
"""Besides these everything is as it comes: the limits are those that users have."""
ROOT = Path(__file__).resolve().parents[2]
ABUSER, OTHER = "mallory", "bob"
SERVED_S = 20.0
"""By then a no-op task of another user is long over, also on a machine that does much else."""
ACT_S = 4.0
"""What the operator does has failed by then."""
ASK_S = 12.0
STILL_S = 20.0
DRAIN_S = 2.0


class User(NamedTuple):
    """Somebody with a token."""

    name: str
    token: str
    id: str
    """Of the token."""


class World:
    """The orchestrator, its operator, and the hostile server."""

    def __init__(
        self, running: up.Running, hosts: Hostile, stack: contextlib.AsyncExitStack
    ) -> None:
        self.running = running
        self.hosts = hosts
        self._stack = stack
        self.admin = self.client(running.token)

    @property
    def url(self) -> str:
        return self.running.url

    def client(self, token: str, *, timeout_s: float = 30.0) -> httpx.AsyncClient:
        """Somebody's HTTP client, closed at the end."""
        one = httpx.AsyncClient(
            base_url=self.running.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_s,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=2.0),
        )
        self._stack.push_async_callback(one.aclose)
        return one

    async def user(self, name: str) -> User:
        """Issue a token without roles."""
        answer = await self.admin.post("/api/tokens", json={"user": name})
        assert answer.status_code == 201, answer.text
        made = answer.json()["data"]
        return User(name, made["token"], made["id"])

    def processes(self) -> dict[str, Alive]:
        """The services and nats as they run now, by name."""
        return {name: Alive(pid, started(pid)) for name, pid in self.running.pids.items()}

    def executable(self, *words: str) -> tuple[str, ...]:
        """The command line of `metamcp` with these words, as the operator of this folder."""
        data = str(self.running.data)
        return (sys.executable, "-m", "services.cli", *words, "--data", data, "--json")


class Guest:
    """Somebody with a plain token who uses the HTTP API, and notes how he is refused."""

    def __init__(self, world: World, user: User) -> None:
        self.world = world
        self.user = user
        self.http = world.client(user.token, timeout_s=ASK_S)
        self.refusals: list[str] = []

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """The answer; None: there was none, which is noted like a refusal."""
        try:
            answer = await self.http.request(method, path, **more)
        except (httpx.HTTPError, OSError) as error:
            self.refusals.append(f"{method} {path}: {type(error).__name__}")
            return None
        if answer.status_code >= 400:
            self.refusals.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    async def host(self, name: str, *entries: Mapping[str, Any]) -> str | None:
        """Register a host by the first of these entries that is taken; its id, None if none is."""
        for entry in entries:
            answer = await self.ask("POST", "/api/mcps", json={"id": name, **entry})
            if answer is None or answer.status_code == 503:
                break
            if answer.status_code < 300:
                return str(answer.json()["data"]["id"])
        return None

    async def task(self, *bodies: Mapping[str, Any]) -> str | None:
        """Submit the first of these tasks that is taken; its id, None if none is."""
        for body in bodies:
            answer = await self.ask("POST", "/api/tasks", json=dict(body))
            if answer is None or answer.status_code == 503:
                break
            if answer.status_code < 300:
                return str(answer.json()["data"]["id"])
        return None

    async def healthy(self, host: str, seconds: float = 10.0) -> bool:
        """Wait until the orchestrator thinks that the host is well; False: it does not so soon."""

        async def well() -> bool:
            answer = await self.world.admin.get(f"/api/mcps/{host}")
            return (
                answer.status_code == 200 and answer.json()["data"]["health"]["status"] == "healthy"
            )

        with contextlib.suppress(TimeoutError, httpx.HTTPError):
            await until(well, seconds=seconds, every=0.1)
            return True
        return False


def at(url: str, kind: str = "http", **more: Any) -> dict[str, Any]:
    """A host's description: where it is, and what else."""
    return {"endpoint": {"kind": kind, "url": url}, **more}


def call(host: str, **more: Any) -> dict[str, Any]:
    """A task that calls `work` of this host."""
    return {"type": "mcp.call", "host": host, "input": {"tool": "work", "arguments": {}}, **more}


@contextlib.asynccontextmanager
async def world(
    folder: Path, *, files: int | None = None, store: int | None = None, **variables: str
) -> AsyncIterator[World]:
    """Everything running. `files`: how many open files a process may begin with (soft limit).
    `store`: bytes that may be stored, but for the intake; None: what the disk has."""
    manifest = folder / "noop.toml"
    manifest.write_text(MANIFEST)
    plan = up.Plan(
        data=folder / "data",
        manifests=(manifest,),
        port=0,
        variables={**VARIABLES, **known(variables)},
        settings=up.Settings(restarts=1_000, drain_s=DRAIN_S),
    )
    async with contextlib.AsyncExitStack() as stack:
        hosts = await stack.enter_async_context(hostile())
        if store is not None:
            server = await stack.enter_async_context(small_store(folder / "store", store))
            plan = msgspec.structs.replace(plan, nats=server.url, credentials=server.credentials)
        with few_files(files):
            running = await stack.enter_async_context(up.start(plan))
        clients = await stack.enter_async_context(contextlib.AsyncExitStack())
        yield World(running, hosts, clients)


def known(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of these settings that this release has, as its page of settings says."""
    page = (ROOT / "docs/settings.md").read_text()
    return {name: value for name, value in variables.items() if f"`{name}`" in page}


async def served(guest: Guest, times: int = 3) -> None:
    """Another user's no-op tasks succeed, one after the other. Raises AssertionError."""
    for _ in range(times):
        body = {"type": "noop", "input": {"n": 1}}
        answer = await guest.http.post(f"/api/tasks?wait={SERVED_S:g}", json=body, timeout=30)
        assert answer.status_code == 201, answer.text
        task = answer.json()["data"]
        assert task["status"] == "succeeded", task


async def still(world: World) -> None:
    """Wait until no host is asked anything any more, for two seconds. Raises TimeoutError."""
    last: dict[str, int] = {}
    since = time.perf_counter()

    async def quiet() -> bool:
        nonlocal last, since
        seen = await world.hosts.seen()
        if seen != last:
            last, since = seen, time.perf_counter()
        return time.perf_counter() - since > 2

    await until(quiet, seconds=STILL_S, every=0.2)
