"""A nats-server that may store so many bytes and no more: a disk that can be filled at once."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.bus.names import JS_API, Credentials
from services.log.jetstream import INTAKE_CONFIG
from services.process.child import bound
from services.process.files import free_port, write_private
from services.up import nats_config
from services.up.nats_server import find_server
from tests.support.system import until


class SmallStore(NamedTuple):
    """The running server."""

    url: str
    credentials: Path
    pid: int


@contextlib.asynccontextmanager
async def small_store(folder: Path, most: int) -> AsyncIterator[SmallStore]:
    """`most`: bytes of all streams besides what the intake has reserved for itself."""
    port, credentials = free_port("127.0.0.1"), folder / "credentials"
    credentials.mkdir(parents=True)
    logins = {}
    for user in nats_config.users():
        api = nats_config.AUDIT_API if user == nats_config.AUDITOR else JS_API
        logins[user] = Credentials(user, secrets.token_urlsafe(32), api)
        write_private(credentials / f"{user}.json", msgspec.json.encode(logins[user]))
    plan = nats_config.ServerPlan(
        port=port,
        store_dir=folder / "jetstream",
        credentials=logins,
        max_file_store=most + int(INTAKE_CONFIG["max_bytes"]),
    )
    write_private(folder / "nats.conf", nats_config.render(plan).encode())
    process = await asyncio.create_subprocess_exec(
        *bound(str(find_server()), "-c", str(folder / "nats.conf")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: _listens(port), seconds=20)
        yield SmallStore(f"nats://127.0.0.1:{port}", credentials, process.pid)
    finally:
        process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False
