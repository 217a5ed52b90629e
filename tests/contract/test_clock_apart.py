"""A machine whose clock is wrong is named in the health."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec
import pytest

from contracts.health import ServiceHealth
from contracts.subjects import command
from services.bus.all import ask_all
from services.gateway.settings import Settings
from services.join import join
from services.log.clock import ServerClock
from services.process import run
from services.process.child import bound
from services.process.run import Process
from services.process.settings import Common
from tests.support.nats import NatsServer
from tests.support.shifted_clock import build, shifted
from tests.unit.executor.world import moment

DAY_S = 86_400


@pytest.mark.parametrize("seconds", [DAY_S, -3600])
async def test_a_process_with_a_wrong_clock_says_so(
    tmp_path: Path, nats_server: NatsServer, seconds: int
) -> None:
    environ = (
        os.environ
        | shifted(build(tmp_path), seconds)
        | {
            "METAMCP_NATS_URL": nats_server.url,
            "METAMCP_DATA": str(tmp_path),
            "METAMCP_CREDENTIALS": str(nats_server.embedded.credentials_file("router")),
            "METAMCP_INSTANCE": tmp_path.name,
        }
    )
    router = await asyncio.create_subprocess_exec(
        *bound(sys.executable, "-m", "services.router"),
        env=environ,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30), nats_server.connected("gateway") as bus:
            trouble = ""
            while not trouble:
                trouble = await clock_trouble(bus, tmp_path.name)
        way = "ahead of" if seconds > 0 else "behind"
        assert trouble == f"its clock is {abs(seconds):,} s {way} the log's"
    finally:
        router.kill()
        await router.wait()


async def clock_trouble(bus, instance: str) -> str:  # type: ignore[no-untyped-def]
    """What the health of this process says of its clock."""
    try:
        answers = await ask_all(bus, command("router", "health"))
    except Exception:
        return ""
    found = (msgspec.json.decode(answer, type=ServiceHealth) for answer in answers)
    mine = (one for one in found if one.instance == instance)
    return "".join(one.text for each in mine for one in each.troubles if one.kind == "clock")


async def test_a_clock_that_is_set_right_is_no_trouble_any_more(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.join.CLOCK_S", 0.05)
    read, shift = ServerClock.read, 3600.0

    def wrong(self: ServerClock, at: float, sent: float, got: float, wall: float) -> None:
        read(self, at, sent, got, wall + shift)

    monkeypatch.setattr(ServerClock, "read", wrong)
    one, seen = Process("gateway", "gateway-1"), list[str]()

    async def main(own: Process) -> None:
        nonlocal shift
        common = Common(nats_url=nats_server.url, data=nats_server.data)
        _, log = await join(own, common, Settings())
        assert log.now() == pytest.approx(time.time(), abs=1.0)
        while not own.troubles.all():
            await moment()
        seen.extend(trouble.text for trouble in own.troubles.all())
        shift = 0.0
        while own.troubles.all():
            await moment()
        own.stopping.set()

    async with asyncio.timeout(20):
        await run.serve(main, one)
    assert seen == ["its clock is 3,600 s ahead of the log's"]
