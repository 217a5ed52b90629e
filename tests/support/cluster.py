"""Three real nats-servers that are one cluster, each with its store, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from contracts import subjects
from services.bus.bus import Bus
from services.bus.errors import BusError
from services.bus.names import Credentials, inbox_prefix
from services.log import jetstream
from services.store import blobs
from services.up.nats_config import OPERATOR, ServerPlan, render, users
from services.up.nats_server import find_server
from tests.support.system import until

SERVERS = 3
HOST = "127.0.0.1"


class Cluster:
    """The servers by number; each can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = _free_ports(2 * SERVERS)
        self._logins = {name: Credentials(name, secrets.token_hex(8)) for name in users()}
        self._running: list[subprocess.Popen[bytes] | None] = [None] * SERVERS

    def url(self, *numbers: int) -> str:
        return ",".join(f"nats://{HOST}:{self._ports[number]}" for number in numbers)

    def start(self, number: int) -> None:
        own = self._folder / f"n{number}"
        own.mkdir(exist_ok=True)
        plan = ServerPlan(
            port=self._ports[number],
            store_dir=own / "jetstream",
            credentials=self._logins,
            log_file=own / "server.log",
            max_file_store=2**30,
        )
        links = self._ports[SERVERS:]
        routes = ", ".join(f'"nats://{HOST}:{port}"' for port in links)
        link = f'"{HOST}:{links[number]}"'
        block = (
            f"server_name: n{number}\ncluster {{ name: c, listen: {link}, routes: [{routes}] }}\n"
        )
        config = own / "nats.conf"
        config.write_text(render(plan) + block)
        self._running[number] = subprocess.Popen([find_server(), "-c", config])

    def kill(self, number: int) -> None:
        process = self._process(number)
        process.kill()
        process.wait()

    def _process(self, number: int) -> subprocess.Popen[bytes]:
        process = self._running[number]
        assert process is not None
        return process

    def stop(self) -> None:
        for process in self._running:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    @contextlib.asynccontextmanager
    async def connected(self, role: str, *numbers: int) -> AsyncIterator[Bus]:
        """A connection to one of these servers, all if none is named."""
        bus = await Bus.connect(
            self.url(*(numbers or range(SERVERS))),
            name=f"test-{role}",
            credentials=self._logins[role],
            inbox_prefix=inbox_prefix(role),
        )
        try:
            yield bus
        finally:
            await bus.close()

    async def leader(self, bus: Bus) -> int:
        """The number of the server that leads the log."""
        found = -1

        async def led() -> bool:
            nonlocal found
            with contextlib.suppress(BusError):
                answer = await asked(bus, f"STREAM.INFO.{subjects.STREAM}")
                found = int((answer.get("cluster") or {}).get("leader", "n-1")[1:])
            return found >= 0

        await until(led)
        return found


async def asked(bus: Bus, what: str, body: object = None) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    answer: dict[str, Any] = json.loads(await bus.request(f"{bus.api}.{what}", payload))
    return answer


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Three servers that hold the log and all buckets three times."""
    one = Cluster(folder)
    try:
        for number in range(SERVERS):
            one.start(number)
        async with one.connected(OPERATOR) as bus:

            async def meets() -> bool:
                with contextlib.suppress(BusError):
                    return "error" not in await asked(bus, "INFO")
                return False

            await until(meets)
            await jetstream.provision(bus)
            await blobs.provision(bus)
            for name in (await asked(bus, "STREAM.NAMES"))["streams"]:
                config = (await asked(bus, f"STREAM.INFO.{name}"))["config"]
                if config.get("persist_mode") == "async":
                    continue  # Counts worth nothing a minute later: the server replicates none.
                answer = await asked(bus, f"STREAM.UPDATE.{name}", config | {"num_replicas": 3})
                assert "error" not in answer, answer

            async def in_step() -> bool:
                with contextlib.suppress(BusError):
                    found = await asked(bus, f"STREAM.INFO.{subjects.STREAM}")
                    replicas = found["cluster"].get("replicas", ())
                    return len(replicas) == SERVERS - 1 and all(r["current"] for r in replicas)
                return False

            await until(in_step)
        yield one
    finally:
        await asyncio.to_thread(one.stop)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in sockets]
