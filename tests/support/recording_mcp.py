"""A real MCP server over stdio that writes down every call, so that a kill can't hide one.

One JSON line when a call begins and one when it ends, appended to the file RECORDING_FILE names.
Task and attempt are the executor's own stamp (`_meta`), or else the arguments.
RECORDING_MISBEHAVE makes it a sick server; see `Sickness`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    Annotations,
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)

FILE = "RECORDING_FILE"
MISBEHAVE = "RECORDING_MISBEHAVE"
READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True)
WRITES = ToolAnnotations(read_only_hint=False, idempotent_hint=False)


def picture(width: int = 64, height: int = 48) -> bytes:
    """A PNG of bright stripes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        size, check = struct.pack(">I", len(data)), struct.pack(">I", zlib.crc32(kind + data))
        return size + kind + data + check

    line = b"\0" + b"".join(STRIPES[x * len(STRIPES) // width] for x in range(width))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(line * height)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


STRIPES = tuple(map(bytes.fromhex, ("e63946", "f77f00", "ffb703", "80b918", "00b4d8", "8338ec")))
PICTURE = base64.b64encode(picture()).decode()


class Sickness:
    """How this server misbehaves: a JSON object of shares from 0 to 1, all by the same `seed`.

    `hang`, `exit` and `fail` are for calls of `work`, decided by task and attempt. `refuse` is for
    starts; a server that starts lives for `life_s` seconds, a pair of bounds.
    """

    def __init__(self, text: str) -> None:
        known: dict[str, Any] = json.loads(text or "{}")
        self._seed = known.get("seed", 0)
        self._shares = {name: float(known.get(name, 0)) for name in ("hang", "exit", "fail")}
        self._refuse = float(known.get("refuse", 0))
        self._life_s = known.get("life_s")

    def of_call(self, task: object, attempt: object) -> str:
        """What becomes of this call: hang, exit, fail, or nothing."""
        roll = random.Random(f"{self._seed}.{task}.{attempt}").random()
        for name, share in self._shares.items():
            if roll < share:
                return name
            roll -= share
        return ""

    def life_s(self, starts: int) -> float | None:
        """Seconds until the server ends after so many starts before; 0: at once, None: never."""
        dice = random.Random(f"{self._seed}.{starts}")
        if dice.random() < self._refuse:
            return 0.0
        return None if self._life_s is None else dice.uniform(*self._life_s)


sickness = Sickness(os.environ.get(MISBEHAVE, ""))
server = MCPServer("recorder", version="1.0.0", log_level="WARNING")


def write(**fields: Any) -> None:
    """Append one line; a single write to an O_APPEND file is never mixed with another's."""
    path = os.environ.get(FILE)
    if path:
        line = json.dumps({"pid": os.getpid(), "at": time.time(), **fields}) + "\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def recorded(tool: str, context: Context[Any], **arguments: Any) -> Iterator[None]:
    """Write down the call before and after; `end` names what ended it."""
    stamp: dict[str, Any] = dict(context.request_context.meta or {})
    who = {
        "tool": tool,
        "task": stamp.get("metamcp/task", arguments.get("task", "")),
        "attempt": stamp.get("metamcp/attempt", arguments.get("attempt", 0)),
    }
    trace = {name: stamp[name] for name in ("traceparent",) if name in stamp}
    write(event="start", arguments=arguments, **who, **trace)
    try:
        yield
    except asyncio.CancelledError:
        write(event="end", how="cancelled", **who)
        raise
    except BaseException as error:
        write(event="end", how=type(error).__name__, **who)
        raise
    write(event="end", how="returned", **who)


async def passed(seconds: float) -> None:
    """Return after this time."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


@server.tool(annotations=WRITES)
async def work(
    context: Context[Any], task: str = "", attempt: int | str = 0, ms: float = 0.0
) -> dict[str, Any]:
    """Take `ms` milliseconds and say who called."""
    with recorded("work", context, task=task, attempt=attempt, ms=ms):
        match sickness.of_call(task, attempt):
            case "hang":
                await asyncio.Event().wait()
            case "exit":
                os._exit(3)
            case "fail":
                raise ToolError("it is not well")
        await passed(ms / 1000)
    return {"task": task, "attempt": attempt, "pid": os.getpid()}


@server.tool(annotations=READ_ONLY)
async def echo(context: Context[Any], text: str = "") -> str:
    """Return the text."""
    with recorded("echo", context, text=text):
        return text


@server.tool(annotations=READ_ONLY)
async def fail(context: Context[Any], message: str = "it did not work") -> str:
    """Answer with an error of the tool."""
    with recorded("fail", context, message=message):
        raise ToolError(message)


@server.tool(annotations=WRITES)
async def hang(context: Context[Any]) -> str:
    """Never answer."""
    with recorded("hang", context):
        await asyncio.Event().wait()
    return ""


@server.tool(annotations=WRITES)
async def die(context: Context[Any], code: int = 3) -> str:
    """End the whole process in the middle of the call."""
    with recorded("die", context, code=code):
        os.write(2, b"last words of the recorder\n")
        os._exit(code)


@server.tool(annotations=READ_ONLY)
async def big(context: Context[Any], bytes: int = 100_000) -> str:
    """Return a text of this size."""
    with recorded("big", context, bytes=bytes):
        return "x" * bytes


@server.tool(annotations=READ_ONLY, structured_output=False)
async def media(context: Context[Any]) -> list[ContentBlock]:
    """Return one item of every kind."""
    with recorded("media", context):
        return [
            TextContent(type="text", text="ä", annotations=Annotations(priority=0.5)),
            ImageContent(type="image", data=PICTURE, mime_type="image/png"),
            AudioContent(type="audio", data="UklGRg==", mime_type="audio/wav"),
            ResourceLink(type="resource_link", name="a", uri="file:///a.txt", size=3),
            EmbeddedResource(
                type="resource",
                resource=TextResourceContents(uri="mem://t", text="t", mime_type="text/plain"),
            ),
            EmbeddedResource(
                type="resource", resource=BlobResourceContents(uri="mem://b", blob="AAE=")
            ),
        ]


@server.tool(annotations=READ_ONLY)
async def read(context: Context[Any], path: str) -> str:
    """Return what a file holds."""
    with recorded("read", context, path=path):
        return await asyncio.to_thread(Path(path).read_text, encoding="utf-8")


@server.tool(annotations=READ_ONLY)
async def progress(
    context: Context[Any], steps: int = 3, ms: float = 0.0, done: bool = False
) -> int:
    """Report progress at each step, `ms` milliseconds apart; `done`: each calls itself the last."""
    with recorded("progress", context, steps=steps, ms=ms):
        for step in range(steps):
            total = step + 1 if done else steps
            await context.report_progress(step + 1, total, f"step {step + 1}")
            await passed(ms / 1000)
    return steps


def starts() -> int:
    """Servers that have written to this file so far."""
    try:
        return Path(os.environ.get(FILE, "")).read_text().count('"event": "server"')
    except OSError:
        return 0


def live() -> None:
    """Serve, for as long as it lives."""
    life_s = sickness.life_s(starts())
    write(event="server", tool="", task="", attempt=0, life_s=life_s)
    if life_s == 0:
        sys.exit("it does not feel like starting")
    if life_s is not None:
        dying = threading.Timer(life_s, os._exit, [4])
        dying.daemon = True
        dying.start()
    server.run("stdio")


if __name__ == "__main__":
    live()
