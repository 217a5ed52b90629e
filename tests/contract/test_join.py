"""A service whose connection or writer is gone for good ends, so that it is started again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.bus.bus import Disconnected
from services.gateway.settings import Settings
from services.join import Joined, join
from services.log.commit import Committer
from services.process import run
from services.process.run import Process
from services.process.settings import Common
from tests.support import facts
from tests.support.nats import NatsServer


async def serve(server: NatsServer, during: Callable[[Joined], Awaitable[None]]) -> Process:
    """Run a gateway that does nothing but join."""
    one = Process("gateway", "gateway-1")
    common = Common(nats_url=server.url, data=server.data)

    async def main(own: Process) -> None:
        await during(await join(own, common, Settings()))
        await own.stopping.wait()

    async with asyncio.timeout(20):
        await run.serve(main, one)
    return one


async def test_a_service_joins_with_the_credentials_of_its_data_folder(
    nats_server: NatsServer,
) -> None:
    async def append(joined: Joined) -> None:
        assert await joined.log.append(facts.created()) > 0
        one.stopping.set()

    one = Process("gateway", "gateway-1")
    common = Common(nats_url=nats_server.url, data=nats_server.data)

    async def main(own: Process) -> None:
        await append(await join(own, common, Settings()))

    await run.serve(main, one)
    assert one.failure is None


async def test_a_connection_gone_for_good_ends_the_service(nats_server: NatsServer) -> None:
    async def cut(joined: Joined) -> None:
        await joined.bus.nc.close()

    with pytest.raises(Disconnected, match="gone"):
        await serve(nats_server, cut)


async def test_a_broken_writer_ends_the_service(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Committer) -> None:
        raise RuntimeError("a bug in the writer")

    monkeypatch.setattr(Committer, "run", broken)

    async def nothing(joined: Joined) -> None:
        """The writer breaks by itself."""

    with pytest.raises(RuntimeError, match="bug in the writer"):
        await serve(nats_server, nothing)
