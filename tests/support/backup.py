"""A backup of a nats-server's streams, made and put back while everybody else lives on."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.nats import NatsServer


class Backup:
    """The streams of a server, put aside while it is down and put back later."""

    def __init__(self, server: NatsServer, aside: Path) -> None:
        self._server = server
        self._streams = server.embedded.folder / "jetstream"
        self._aside = aside

    async def make(self) -> None:
        await self._server.stop()
        shutil.copytree(self._streams, self._aside)
        await self._server.embedded.start()

    async def put_back(self) -> None:
        await self._server.stop()
        shutil.rmtree(self._streams)
        shutil.copytree(self._aside, self._streams)
        await self._server.embedded.start()
