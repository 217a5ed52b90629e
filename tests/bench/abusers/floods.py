"""What abusing clients run, each in a niced process of its own (`tests.support.aside`).

All go on until they are ended, and say what they have got so far.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import nats
import websockets

from tests.bench.others import INITIALIZE, MCP, pause
from tests.support.aside import Say

TELL_S = 0.25
PAUSE_S = 0.5
HELLO_S = 0.01
AGAIN_S = 5.0
"""Of silent connections: coming back at once would be another attack, a flood of connections."""
IN_A_ROW = 5
"""So many refusals one after the other, and a door is taken to be shut."""
HALVES = (
    b"",
    b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-More: ",
    b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
    b"PUT /api/blobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    b"GET /api/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
)
"""How far a silent connection gets: nowhere, half a head, a body, a chunk, a handshake."""


async def telling(say: Say, found: dict[str, Any]) -> None:
    """Say what was found, again and again."""
    while True:
        say(**found)
        await pause(TELL_S)


async def frames(arguments: dict[str, Any], say: Say) -> None:
    """Submit a task `count` times as fast as a websocket takes it, over `sockets` of them."""
    found: dict[str, Any] = {"accepted": 0, "refused": 0, "over": False, "last": ""}
    left = iter(range(arguments["count"]))

    async def one() -> None:
        for number in left:
            try:
                await _socket(arguments, number, left, found)
            except (OSError, websockets.WebSocketException) as error:
                found["last"] = f"{type(error).__name__} {error}"[:200]
                found["cut"] = found.get("cut", 0) + 1
                await pause(PAUSE_S)

    async with asyncio.TaskGroup() as group:
        group.create_task(telling(say, found))
        await asyncio.gather(*(one() for _ in range(arguments.get("sockets", 1))))
        found["over"] = True


async def _socket(arguments: dict[str, Any], first: int, left: Any, found: dict[str, Any]) -> None:
    task = json.dumps(arguments["task"])
    async with websockets.connect(
        arguments["url"].replace("http", "ws", 1) + "/api/stream",
        subprotocols=[websockets.Subprotocol("metamcp.v1")],
        additional_headers={"Authorization": f"Bearer {arguments['token']}"},
        compression=None,
    ) as socket:
        told = asyncio.Event()
        open_ = 0

        async def listen() -> None:
            nonlocal open_
            async for text in socket:
                frame = json.loads(text)
                if frame["op"] in ("ack", "error"):
                    open_ -= 1
                    found["accepted" if frame["op"] == "ack" else "refused"] += 1
                    if frame["op"] == "error":
                        found["last"] = frame["message"][:200]
                    told.set()

        listening = asyncio.create_task(listen())
        try:
            for number in itertools.chain((first,), left):
                while open_ >= 512 and not listening.done():
                    told.clear()
                    await told.wait()
                open_ += 1
                await socket.send(f'{{"op":"submit","ref":{number},"task":{task}}}')
            until = time.monotonic() + 10
            while open_ > 0 and not listening.done() and time.monotonic() < until:
                await pause(0.05)
        finally:
            listening.cancel()


async def uploads(arguments: dict[str, Any], say: Say) -> None:
    """Store random bytes, `size` at a time, up to `most` in all; then only try."""
    found: dict[str, Any] = {"stored": 0, "refused": 0, "last": "", "blobs": [], "full": False}

    async def one(http: aiohttp.ClientSession) -> None:
        while True:
            if found["stored"] >= arguments["most"]:
                found["full"] = True
                await pause(PAUSE_S)
                continue
            body = os.urandom(arguments["size"])
            try:
                async with http.put(arguments["url"] + "/api/blobs", data=body) as answer:
                    said = await answer.json(content_type=None)
                    if answer.status == 201:
                        found["stored"] += len(body)
                        found["blobs"] = [*found["blobs"][:2], said["data"]["sha256"]]
                        continue
                    found["last"] = f"{answer.status} {str(said)[:200]}"
            except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
                found["last"] = type(error).__name__
            found["refused"] += 1
            found["full"] = found["full"] or found["refused"] >= IN_A_ROW
            await pause(PAUSE_S)

    async with _session(arguments["token"]) as http, asyncio.TaskGroup() as group:
        group.create_task(telling(say, found))
        for _ in range(4):
            group.create_task(one(http))


async def publish(arguments: dict[str, Any], say: Say) -> None:
    """Publish tasks of `size` bytes, `per_s` a second, `most` in all, as an outside publisher."""
    found: dict[str, Any] = {"published": 0, "last": ""}
    filler = "x" * arguments["size"]

    async def broken(error: Exception) -> None:
        found["last"] = f"{type(error).__name__} {error}"[:200]

    who = arguments["credentials"]
    client = await nats.connect(
        arguments["url"], user=who["user"], password=who["password"], error_cb=broken
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(telling(say, found))
        began = time.monotonic()
        for number in range(arguments["most"]):
            if (early := began + number / arguments["per_s"] - time.monotonic()) > 0:
                await pause(early)
            task = {"type": "noop", "input": {"n": number, "by": os.getpid(), "x": filler}}
            await client.publish("task.created", json.dumps(task).encode())
            if number % 8 == 7:
                with contextlib.suppress(nats.errors.TimeoutError):
                    await client.flush(5)
            found["published"] += 1


async def idle(arguments: dict[str, Any], say: Say) -> None:
    """Hold `count` connections that ask for nothing whole; one that is closed is opened again.

    Half of them come from one address, the others from fifty.
    """
    found: dict[str, Any] = {"open": 0, "closed": 0, "opened": 0, "last": ""}

    async def one(number: int) -> None:
        source = "127.0.1.1" if number % 2 else f"127.0.2.{1 + number // 2 % 50}"
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    arguments["host"], arguments["port"], local_addr=(source, 0)
                )
            except OSError as error:
                found["last"] = str(error)[:200]
                await pause(AGAIN_S)
                continue
            found["open"] += 1
            found["opened"] += 1
            try:
                writer.write(HALVES[number % len(HALVES)])
                while await reader.read(4096):
                    pass
            except OSError as error:
                found["last"] = str(error)[:200]
            finally:
                writer.close()
                found["open"] -= 1
                found["closed"] += 1
            await pause(AGAIN_S)

    async with asyncio.TaskGroup() as group:
        group.create_task(telling(say, found))
        for number in range(arguments["count"]):
            group.create_task(one(number))


async def sessions(arguments: dict[str, Any], say: Say) -> None:
    """Hold what can be held: `/mcp` sessions, event streams, websockets, each until refused."""
    found: dict[str, Any] = {"mcp": 0, "events": 0, "websockets": 0, "shut": []}
    held: list[Any] = []
    url = arguments["url"]

    async def mcp(http: aiohttp.ClientSession) -> str:
        async with http.post(url + "/mcp", json=INITIALIZE, headers=MCP) as answer:
            return "" if answer.status == 200 else f"{answer.status} {await answer.text()}"

    async def events(http: aiohttp.ClientSession) -> str:
        answer = await http.get(url + "/api/events")
        if answer.status == 200:
            held.append(answer)
            return ""
        return f"{answer.status} {await answer.text()}"

    async def websocket(http: aiohttp.ClientSession) -> str:
        socket = await http.ws_connect(url + "/api/stream", protocols=["metamcp.v1"])
        held.append(socket)
        if (first := await socket.receive()).type is not aiohttp.WSMsgType.TEXT:
            return f"{first.type} {first.data} {first.extra}"
        # One that is too much is greeted, and closed at once.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HELLO_S):
                first = await socket.receive()
                return f"{first.type} {first.data} {first.extra}"
        return ""

    async with _session(arguments["token"]) as http, asyncio.TaskGroup() as group:
        group.create_task(telling(say, found))
        for name, ask in (("mcp", mcp), ("events", events), ("websockets", websocket)):
            group.create_task(_hold(name, lambda ask=ask: ask(http), arguments["most"], found))  # type: ignore[misc]


async def _hold(
    name: str, ask: Callable[[], Awaitable[str]], most: int, found: dict[str, Any]
) -> None:
    refusals = 0
    while found[name] < most:
        try:
            problem = await ask()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            problem = f"{type(error).__name__} {error}"
        if not problem:
            found[name] += 1
            refusals = 0
            continue
        refusals += 1
        found[f"{name}_said"] = problem[:200]
        if refusals == IN_A_ROW:
            found["shut"] = sorted({*found["shut"], name})
        if refusals >= IN_A_ROW:
            await pause(PAUSE_S)
    found["shut"] = sorted({*found["shut"], name})


def _session(token: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
    )
