"""The whole orchestrator as processes, and its users: HTTP, websocket, NATS, the log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from contracts.facts import JobDone, Record
from services.bus.bus import Bus
from services.log.jetstream import NatsLog
from services.log.port import START
from services.process.child import bound
from services.up import children, up
from services.up.children import ChildProcess
from services.up.nats_config import AUDITOR
from services.up.plan import environment
from tests.support import forked

PATIENCE_S = 60.0
RECORDER = """
[hosts.{name}]
name = "Recorder {name}"
endpoint.kind = "stdio"
{start}
endpoint.cwd = "{root}"
endpoint.env = {{ RECORDING_FILE = "{record}" }}
sessions = "shared"
limits = {{ max_concurrency = {slots}, start_s = 60.0 }}
probe = {{ interval_s = 5.0 }}

[hosts.{name}.task_types.work]
summary = "Write down who called"
[[hosts.{name}.task_types.work.steps]]
tool = "work"
arguments = {{ task = "$task", attempt = "$attempt", ms = "$input.ms" }}
"""


class System:
    """A running orchestrator and a client that imports nothing of it."""

    def __init__(
        self, running: up.Running, record: Path, trust: ssl.SSLContext | None = None
    ) -> None:
        self.running = running
        self.record = record
        self.trust = trust
        self.http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {running.token}"},
            timeout=30,
            trust_env=False,
            verify=trust or True,
        )

    @property
    def url(self) -> str:
        return self.running.url

    async def submit(self, type_: str = "mcp.call", **fields: Any) -> str:
        """Create a task and return its id; repeats an id that got no answer, like a good client."""
        body = {"type": type_, **fields}
        while True:
            with contextlib.suppress(httpx.TransportError, OSError):
                answer = await self.http.post(f"{self.url}/api/tasks", json=body)
                if answer.status_code < 300:
                    return str(answer.json()["data"]["id"])
                if answer.status_code != 503:
                    raise AssertionError(answer.text)
            await until(self.alive)

    async def alive(self) -> bool:
        """Whether the gateway answers, wherever it listens by now."""
        with contextlib.suppress(httpx.TransportError, OSError, ValueError):
            self.running.url = up.read_gateway_url(self.running.data)
            return (await self.http.get(f"{self.url}/api/health")).status_code == 200
        return False

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(f"{self.url}{path}")

    async def task(self, task: str) -> dict[str, Any]:
        return (await self.get(f"/api/tasks/{task}")).json()["data"]  # type: ignore[no-any-return]

    async def finished(self, task: str) -> dict[str, Any]:
        """Wait for the task's outcome."""
        found: dict[str, Any] = {}

        async def over() -> bool:
            nonlocal found
            with contextlib.suppress(httpx.TransportError, ValueError):
                found = await self.task(task)
                return "done_at" in found
            return False

        await until(over)
        return found

    def calls(self) -> list[dict[str, Any]]:
        """What the recording servers wrote down, one entry per event of a call."""
        if not self.record.exists():
            return []
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    @contextlib.asynccontextmanager
    async def log(self) -> AsyncIterator[NatsLog]:
        """The log, read with the auditor's credentials."""
        folder = self.running.credentials
        bus = await up.connect(self.running.nats_url, AUDITOR, folder, name="test-auditor")
        try:
            async with await NatsLog.open(bus) as log:
                yield log
        finally:
            await bus.close()

    async def facts(self) -> list[Record]:
        """Every fact of the log."""
        async with self.log() as log:
            head = await log.head()
            return [record async for batch in log.scan((">",), 0, head) for record in batch.records]

    async def told(
        self, filter_: str, enough: Callable[[list[Record]], bool], *, seconds: float = PATIENCE_S
    ) -> None:
        """Follow the log until the facts of the filter are enough."""
        records: list[Record] = []
        async with (
            asyncio.timeout(seconds),
            self.log() as log,
            contextlib.aclosing(log.follow((filter_,), START)) as batches,
        ):
            while not enough(records):
                records += (await anext(batches)).records

    async def all_done(self, tasks: list[str]) -> list[Record]:
        """Wait until each of the tasks has its outcome; the whole log by then."""
        wanted = set(tasks)

        def done(records: list[Record]) -> bool:
            return wanted <= {r.fact.task for r in records if isinstance(r.fact, JobDone)}

        await self.told("job.done.>", done, seconds=120)
        return await self.facts()

    def socket(self) -> Any:
        """A websocket to the gateway, as a foreign client opens it."""
        return websockets.connect(
            self.url.replace("http", "ws", 1) + "/api/stream",
            subprotocols=["metamcp.v1"],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {self.running.token}"},
            max_size=None,
            ssl=self.trust,
        )

    async def publisher(self, name: str = "publisher") -> Bus:
        """A connection of the outside publisher."""
        folder = self.running.credentials
        return await up.connect(self.running.nats_url, name, folder, name=f"test-{name}")


async def add_gateway(
    running: up.Running, data: Path, instance: str = "gateway-2", **variables: str
) -> str:
    """Start one more gateway, with a data folder of its own, and keep it running; its address."""
    environ = environment(running.plan) | {
        "METAMCP_NATS_URL": running.nats_url,
        "METAMCP_DATA": str(data),
        "METAMCP_CREDENTIALS": str(running.credentials_file("gateway")),
        "METAMCP_INSTANCE": instance,
        "METAMCP_LOG_DIR": str(running.logs),
        "METAMCP_ENABLE_METRICS": "false",
        "METAMCP_GATEWAY_PORT": "0",
        **variables,
    }
    child = ChildProcess(instance, (sys.executable, "-m", "services.gateway"), environ)
    running.supervise(child)
    url = ""

    async def listening() -> bool:
        nonlocal url
        with contextlib.suppress(FileNotFoundError):
            url = up.read_gateway_url(data)
        return bool(url)

    await until(listening)
    # Started again, it listens where its clients know it.
    child.environ["METAMCP_GATEWAY_PORT"] = str(httpx.URL(url).port)
    return url


async def until(
    condition: Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE_S, every: float = 0.05
) -> None:
    """Ask again until the condition holds; fails after `seconds`."""
    never = asyncio.Event()
    async with asyncio.timeout(seconds):
        while not await condition():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), every)


def recorder() -> str:
    """How a manifest has the recording server start."""
    program, *words = forked.command("tests.support.recording_mcp")
    return f"endpoint.command = {json.dumps(program)}\nendpoint.args = {json.dumps(words)}"


def manifest(folder: Path, hosts: dict[str, int]) -> tuple[Path, Path]:
    """Write a manifest of recording servers (name to slots); the answer is it and their record."""
    record, path = folder / "calls.jsonl", folder / "hosts.toml"
    root = Path(__file__).resolve().parents[2]
    tables = [
        RECORDER.format(name=name, start=recorder(), root=root, record=record, slots=slots)
        for name, slots in hosts.items()
    ]
    path.write_text("\n".join(tables))
    return path, record


@contextlib.contextmanager
def forked_services(*, real: bool = False) -> Iterator[None]:
    """Services that this process starts are forked: for who harms none of them."""

    def stand_in(program: str, *words: str) -> tuple[str, ...]:
        dash_m, module = words
        assert (program, dash_m) == (sys.executable, "-m")
        return bound(*forked.command(module))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "bound", bound if real else stand_in)
        yield


@contextlib.asynccontextmanager
async def system(
    folder: Path,
    hosts: dict[str, int],
    *,
    extra: Path | None = None,
    executors: int = 1,
    nats: str | None = None,
    credentials: Path | None = None,
    trust: ssl.SSLContext | None = None,
    real: bool = True,
    **variables: str,
) -> AsyncIterator[System]:
    """Start everything with these recording hosts, `extra` ones, and none of the built-in ones.

    `nats` with its `credentials` is a server in place of the embedded one; `trust` is what the
    client believes. `real`: services are started and not forked, for whoever harms one.
    """
    path, record = manifest(folder, hosts)
    plan = up.Plan(
        data=folder / "data",
        manifests=(path, extra) if extra else (path,),
        nats=nats,
        credentials=credentials,
        port=0,
        variables={"METAMCP_REGISTRY_BUILTINS": "false", **variables},
        settings=up.Settings(restarts=50, executors=executors),
    )
    with forked_services(real=real):
        async with up.start(plan) as running:
            one = System(running, record, trust)
            try:
                yield one
            finally:
                await one.http.aclose()
