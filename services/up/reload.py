"""Has a running nats-server read its configuration again, twice.

What a new account imports reaches it from the second time on (nats-server 2.12 to 2.15).
"""

from __future__ import annotations

import asyncio

import msgspec

from services.bus.bus import Bus, BusError
from services.bus.names import inbox_prefix
from services.process.timeouts import timeout
from services.up.nats_config import SYSTEM
from services.up.nats_server import Embedded

TIMES = 2
RELOAD_S = 10.0
_POLL_S = 0.05


class _Loaded(msgspec.Struct):
    config_load_time: str


class _Answer(msgspec.Struct):
    data: _Loaded


async def reload(server: Embedded) -> None:
    """Return once the server works by what its file says now; nobody else's connection ends.

    Raises BusError, TimeoutError.
    """
    bus = await Bus.connect(
        server.url,
        name="metamcp-reload",
        credentials=server.credentials(SYSTEM),
        inbox_prefix=inbox_prefix(SYSTEM),
        wait=RELOAD_S,
    )
    try:
        for _ in range(TIMES):
            before = await _loaded_at(bus)
            server.hang_up()
            async with timeout(RELOAD_S):
                while await _loaded_at(bus) == before:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(_POLL_S)
    finally:
        await bus.close()


async def _loaded_at(bus: Bus) -> str:
    answer = await bus.request("$SYS.REQ.SERVER.PING.VARZ")
    try:
        return msgspec.json.decode(answer, type=_Answer).data.config_load_time
    except msgspec.DecodeError as error:
        raise BusError(f"The server does not say when it read its configuration: {error}") from None
