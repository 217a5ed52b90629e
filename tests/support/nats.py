"""Real nats-servers with the real accounts, for every test that talks to NATS; a pytest plugin."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType

import pytest

from contracts.publisher import Publisher
from services.bus.bus import Bus
from services.bus.names import inbox_prefix
from services.log import jetstream
from services.process.tls import NOTHING, ClientFiles
from services.store import blobs
from services.up.nats_config import OPERATOR
from services.up.nats_server import Embedded


class NatsServer:
    """One server in a folder of its own, with streams and buckets, that can be mistreated."""

    files: ClientFiles = NOTHING
    """What its clients have for TLS."""

    def __init__(
        self, data: Path, publishers: tuple[str, ...] = ("publisher",), *, most: int = 0
    ) -> None:
        """`most`: bytes that all streams may have; 0: what is free."""
        named = tuple(Publisher(name, name) for name in publishers)
        self.embedded = Embedded(data, publishers=named, most=most)

    @property
    def url(self) -> str:
        return self.embedded.url

    @property
    def data(self) -> Path:
        return self.embedded.data

    async def start(self, *, provision: bool = True) -> None:
        """Start on the same port and store as before; streams and buckets exist afterwards."""
        await self.embedded.start()
        if provision:
            async with self.connected(OPERATOR) as bus:
                await jetstream.provision(bus)
                await blobs.provision(bus)

    async def stop(self) -> None:
        """End it the gentle way."""
        self.resume()
        await self.embedded.stop()

    async def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self._signal(signal.SIGKILL)
        await self.embedded.wait()

    async def restart(self, *buses: Bus) -> None:
        """Crash it and start it again; return once these buses are connected again."""
        again = [asyncio.Event() for _ in buses]
        for bus, event in zip(buses, again, strict=True):
            bus.on_reconnected.append(event.set)
        await self.kill()
        await self.embedded.start()
        async with asyncio.timeout(30):
            for bus, event in zip(buses, again, strict=True):
                await event.wait()
                bus.on_reconnected.remove(event.set)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers once this has returned."""
        self._signal(signal.SIGSTOP)
        assert self.embedded.pid is not None
        # Its threads stop one after the other; until the last has, one of them may still answer.
        os.waitid(os.P_PID, self.embedded.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a frozen server run on."""
        self._signal(signal.SIGCONT)

    async def connect(self, user: str, *, name: str = "") -> Bus:
        """Connect as one of the users of the accounts; close the bus yourself."""
        return await Bus.connect(
            self.url,
            name=name or f"test-{user}",
            credentials=self.embedded.credentials(user),
            inbox_prefix=inbox_prefix(user),
            tls=self.files,
        )

    @contextlib.asynccontextmanager
    async def connected(self, user: str) -> AsyncIterator[Bus]:
        """A connection as one of the users, closed at the end."""
        bus = await self.connect(user)
        try:
            yield bus
        finally:
            await bus.close()

    async def __aenter__(self) -> NatsServer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _signal(self, number: signal.Signals) -> None:
        if (pid := self.embedded.pid) is not None:
            os.kill(pid, number)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """One server for all tests: leave it running, and use ids of your own in subjects."""
    with tempfile.TemporaryDirectory(prefix="nats-") as folder:
        server = NatsServer(Path(folder) / "data")
        asyncio.run(server.start())
        yield server
        asyncio.run(server.stop())


@pytest.fixture(scope="session")
def fresh_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that was started once: its streams and buckets are empty."""
    server = NatsServer(tmp_path_factory.mktemp("fresh") / "data")

    async def once() -> None:
        async with server:
            pass

    asyncio.run(once())
    # Each copy chooses a port of its own.
    (server.embedded.folder / "port").unlink()
    return server.data


@pytest.fixture
async def fresh_nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A server of this test alone, with an empty log: kill it, freeze it, fill it."""
    async with NatsServer(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def copied_nats(tmp_path: Path, fresh_data: Path) -> AsyncIterator[NatsServer]:
    """The same from a copy of `fresh_data`, in less time: for what asks no stream how old it is."""
    shutil.copytree(fresh_data, tmp_path / "data")
    server = NatsServer(tmp_path / "data")
    await server.start(provision=False)
    yield server
    await server.stop()
