"""A hundred thousand accounts, put where gateways look for them, and one more gateway."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from contracts.subjects import ACCOUNTS_BUCKET
from services.bus.bus import Bus
from services.bus.client import Message, Outgoing
from services.bus.room import room
from services.gateway.people.passwords import HASHER, prepared
from services.gateway.people.records import User
from services.keys.vault import key_path
from services.store.kv import accounts_config
from services.store.stream import ensure_stream
from services.up import up
from services.up.nats_config import OPERATOR
from services.up.plan import environment
from tests.bench import measure as machine
from tests.support.system import until

PASSWORD = "none of the usual ones"
BATCH = 500
POLL_S = 0.02
START_S = 300.0
"""A gateway that is not ready by then has failed, also on a machine that is busy."""


class Gateway(NamedTuple):
    """One gateway process."""

    url: str
    pid: int
    ready_s: float = 0.0
    """From the start of the process until it said that it is ready."""
    cpu_s: float = 0.0
    """What it used until then."""


def name(number: int) -> str:
    """The user of this number."""
    return f"person{number:06}"


async def settle(running: up.Running, count: int) -> None:
    """Make so many accounts, all with one password: hashed once, as the gateway hashes."""
    hash_ = HASHER.hash(prepared(PASSWORD))
    async with _connected(running, OPERATOR) as operator:
        config = accounts_config((await room(operator)).limit)
        # Many in one batch cost the server one sync to the disk, as facts of the log do.
        await ensure_stream(operator, config | {"allow_atomic": True})
        async with _connected(running, "gateway") as bus:
            for start in range(0, count, BATCH):
                await _put(
                    bus, [_account(n, hash_) for n in range(start, min(start + BATCH, count))]
                )
        await ensure_stream(operator, config | {"allow_atomic": False})


@contextlib.asynccontextmanager
async def another(running: up.Running, data: Path) -> AsyncIterator[Gateway]:
    """One more gateway, with a data folder of its own, from its start until it is ready."""
    environ = environment(running.plan) | {
        "METAMCP_NATS_URL": running.nats_url,
        "METAMCP_DATA": str(data),
        "METAMCP_CREDENTIALS": str(running.credentials_file("gateway")),
        "METAMCP_MASTER_KEY": str(key_path(running.data, None)),
        "METAMCP_INSTANCE": f"gateway-{data.name}",
        "METAMCP_LOG_DIR": str(running.logs),
        "METAMCP_ENABLE_METRICS": "false",
        "METAMCP_GATEWAY_PORT": "0",
    }
    began = time.perf_counter()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway"), env=environ
    )
    try:
        async with httpx.AsyncClient(trust_env=False) as http:

            async def ready() -> bool:
                with contextlib.suppress(OSError, msgspec.DecodeError, httpx.TransportError):
                    url = up.read_gateway_url(data)
                    return (await http.get(f"{url}/api/health/ready")).status_code == 200
                assert child.returncode is None
                return False

            await until(ready, seconds=START_S, every=POLL_S)
        took = time.perf_counter() - began
        yield Gateway(up.read_gateway_url(data), child.pid, took, machine.cpu_us(child.pid) / 1e6)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


async def knows(gateway: Gateway, user: str, token: str) -> None:
    """Wait until a gateway has heard of a user."""
    async with httpx.AsyncClient(trust_env=False, base_url=gateway.url) as http:

        async def so() -> bool:
            answer = await http.get(f"/api/users/{user}", headers=bearer(token))
            return answer.status_code == 200

        await until(so, seconds=START_S, every=POLL_S)


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def address(number: int) -> tuple[str, int]:
    """Where the person of this number comes from: the loopback network has room for all."""
    return f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}", 0


def _account(number: int, hash_: str) -> tuple[str, bytes]:
    user, now = name(number), time.time()
    made = User(
        name=user,
        email=f"{user}@example.com",
        password=hash_,
        password_set=now,
        created=now,
        changed=now,
    )
    return f"$KV.{ACCOUNTS_BUCKET}.user.{user}", msgspec.json.encode(made)


async def _put(bus: Bus, values: list[tuple[str, bytes]]) -> None:
    """One atomic batch."""
    inbox, last = bus.nc.new_inbox(), len(values)
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def take(message: Message) -> None:
        if message.data and not ended.done():
            ended.set_result(message.data)

    listening = await bus.listen(inbox, take)
    messages: list[Outgoing] = []
    for number, (subject, data) in enumerate(values, 1):
        end = b"Nats-Batch-Commit: 1\r\n" if number == last else b""
        head = b"NATS/1.0\r\nNats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n%b\r\n"
        reply = inbox if number in (1, last) else ""
        messages.append((subject, reply, head % (inbox[-9:].encode(), number, end), data))
    async with asyncio.timeout(machine.PATIENCE_S):
        await bus.nc.publish_all(messages)
        answer = await ended
    await listening.unsubscribe()
    assert b'"error"' not in answer, answer


@contextlib.asynccontextmanager
async def _connected(running: up.Running, role: str) -> AsyncIterator[Bus]:
    bus = await up.connect(running.nats_url, role, running.credentials, name=f"bench-{role}")
    try:
        yield bus
    finally:
        await bus.close()
