"""The results service as `metamcp up` runs it: own credentials, commands on NATS."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from contracts.errors import Reason, Rejected
from contracts.result import ResultFound, ResultPage, inline
from contracts.subjects import command
from services.bus.bus import NoResponders
from services.log.jetstream import NatsLog
from services.process.run import Process
from services.process.run import serve as serve_process
from services.process.settings import Common
from services.results.service import NAME, serve
from services.results.settings import Settings
from services.store.blobs import Blobs
from tests.support.facts import done, name
from tests.support.nats import NatsServer


async def test_results_are_served_on_nats(nats_server: NatsServer, tmp_path: Path) -> None:
    user, small, big = name("u"), name(), name()
    credentials = nats_server.embedded.credentials_file(NAME)
    common = Common(nats_url=nats_server.url, data=tmp_path, credentials=credentials)
    process = Process(NAME)
    running = asyncio.create_task(
        serve_process(lambda one: serve(one, common, Settings()), process)
    )
    async with (
        asyncio.timeout(30),
        nats_server.connected("executor") as executor,
        nats_server.connected("gateway") as gateway,
        await NatsLog.open(executor) as log,
    ):
        await log.append(done(user, small, result=inline(b'{"a":1}')))
        pointer = await Blobs(executor).put(user, b"x" * 100_000)
        await log.append(done(user, big, result=pointer))

        async def ask(verb: str, **fields: object) -> bytes:
            payload = msgspec.json.encode({"user": user, **fields})
            while True:
                try:
                    return await gateway.request(command(NAME, verb), payload)
                except NoResponders:
                    assert not running.done()

        page = ResultPage((), None, 0, 0)
        while len(page.results) < 2:
            page = msgspec.json.decode(await ask("list"), type=ResultPage)
        assert [kept.task for kept in page.results] == [big, small]
        found = msgspec.json.decode(await ask("get", task=small), type=ResultFound)
        assert bytes(found.value) == b'{"a":1}'
        assert b"100000" in await ask("verify", task=big)
        with pytest.raises(Rejected) as refusal:
            await ask("get", task="nothing")
        assert refusal.value.reason is Reason.NOT_FOUND
        process.stopping.set()
        await running
