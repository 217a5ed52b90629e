"""Why hosts are called by aiohttp: calls a second and CPU of the two clients, 32 calls at once."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx

AT_ONCE = 32
BODY = b'{"input":{"n":1}}'
# Answers whatever comes over a connection that is kept; prints its port.
SERVER = r"""
import asyncio

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"ok":true}'

async def serve(reader, writer):
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        await reader.readexactly(length)
        writer.write(ANSWER)

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


async def measure(calls: int) -> dict[str, Any]:
    """Make so many calls with each client, first some that don't count."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert server.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(await server.stdout.readline())}/execute"
        async with httpx.AsyncClient(trust_env=False) as client:

            async def by_httpx() -> None:
                (await client.post(url, content=BODY)).raise_for_status()

            found = {"httpx": await _rate(by_httpx, calls)}
        async with aiohttp.ClientSession() as session:

            async def by_aiohttp() -> None:
                async with session.post(url, data=BODY) as answer:
                    await answer.read()

            found["aiohttp"] = await _rate(by_aiohttp, calls)
    finally:
        server.kill()
        await server.wait()
    return found


async def _rate(call: Callable[[], Awaitable[None]], calls: int) -> dict[str, float]:
    async def some(count: int) -> None:
        for _ in range(count):
            await call()

    async def all_(count: int) -> None:
        await asyncio.gather(*(some(count // AT_ONCE) for _ in range(AT_ONCE)))

    await all_(AT_ONCE)
    began, cpu = time.perf_counter(), time.process_time()
    await all_(calls)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    return {"calls_per_s": calls / seconds, "cpu_us_per_call": used / calls * 1e6}
