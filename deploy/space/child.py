"""The wrapped server's process, and the pipes through which the MCP SDK talks to it.

Not the SDK's own pipes: those take 10 s for an answer of 20 MB and have no limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import ErrorData, JSONRPCError, jsonrpc_message_adapter

TOO_LARGE = -32019
"""JSON-RPC code put in the place of an answer that is over the limit."""
STOP_S = 1.0
LAST_WORDS_S = 0.2
_EDGE = 200
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{1,100}")')


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Tells the end of the process at once: `wait` waits for its pipes, which others may hold."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=limit, loop=loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class Child:
    """One run of the server. `streams` is for the SDK's client; its stderr is ours."""

    def __init__(
        self, process: asyncio.subprocess.Process, ended: asyncio.Event, max_line: int
    ) -> None:
        assert process.stdout is not None
        self._process = process
        self._ended = ended
        self._lines = Lines(process.stdout, max_line)
        self._tasks: list[asyncio.Task[None]] = []
        self.exited = asyncio.Event()

    @classmethod
    async def start(
        cls,
        command: str,
        args: tuple[str, ...],
        environment: Mapping[str, str],
        cwd: str | None,
        max_line: int,
    ) -> Child:
        """Start the server. Raises OSError, with words for people, if it can't be."""
        found = shutil.which(command, path=environment.get("PATH"))
        if found is None:
            raise FileNotFoundError(
                f"the command {command!r} was not found: install it, or correct server.toml"
            )
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: _Protocol(max_line, loop),
            *(found, *args),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
        process = asyncio.subprocess.Process(transport, protocol, loop)
        return cls(process, protocol.exited, max_line)

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """The SDK's transport: streams of messages from and to the server."""
        to_sdk, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, from_sdk = anyio.create_memory_object_stream[SessionMessage](0)
        self._tasks = [
            asyncio.create_task(self._receive(to_sdk)),
            asyncio.create_task(self._send(from_sdk, to_sdk)),
            asyncio.create_task(self._watch(to_sdk)),
        ]
        try:
            yield read, write
        finally:
            for stream in (read, write, to_sdk, from_sdk):
                stream.close()

    async def stop(self) -> None:
        """Close the server's input, give it a moment to leave, then kill its whole group."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._ended.wait()
        # Members of the group can outlive its leader, so this is done also after it has left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # Whoever has left the group may hold the pipes open, and nothing public closes our ends.
        if (transport := getattr(self._process, "_transport", None)) is not None:
            transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._ended.wait()

    def ended(self) -> str:
        """How the process ended, in words; empty while it runs."""
        code = self._process.returncode
        if code is None:
            return ""
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"

    async def _receive(self, to_sdk: Any) -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with to_sdk:
                while (message := await self._lines.next()) is not None:
                    await to_sdk.send(message)
        self.exited.set()

    async def _watch(self, to_sdk: Any) -> None:
        """Notice the end of the server also while one of its children holds its output open."""
        await self._ended.wait()
        # What it wrote before may still be on its way.
        await asyncio.wait(self._tasks[:1], timeout=LAST_WORDS_S)
        to_sdk.close()
        self.exited.set()

    async def _send(self, from_sdk: Any, to_sdk: Any) -> None:
        assert self._process.stdin is not None
        try:
            async for message in from_sdk:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._process.stdin.write(text.encode() + b"\n")
                await self._process.stdin.drain()
        except (OSError, RuntimeError):
            # The server no longer reads: for the SDK the connection is over.
            to_sdk.close()
            self.exited.set()
        except anyio.ClosedResourceError:
            pass


class Lines:
    """A server's output as messages; of one that is over the limit only the ends are looked at."""

    def __init__(self, output: asyncio.StreamReader, limit: int) -> None:
        """`limit`: bytes of the longest message, and the limit of `output`."""
        self._output = output
        self._limit = limit

    async def next(self) -> SessionMessage | Exception | None:
        """The next message; None once the server has closed its output."""
        try:
            while not (line := await self._output.readuntil()).strip():
                pass
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as error:
            return await self._skip(error.consumed)
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as error:
            return error

    async def _skip(self, waiting: int) -> SessionMessage | Exception | None:
        """Throw away a line that is over the limit, and put an error in its place."""
        head = end = await self._output.readexactly(waiting)
        size = waiting
        while not end.endswith(b"\n"):
            try:
                part = await self._output.readuntil()
            except asyncio.LimitOverrunError as error:
                part = await self._output.readexactly(error.consumed)
            except asyncio.IncompleteReadError:
                return None
            size += len(part)
            end = end[-_EDGE:] + part
        text = f"the answer has {size - 1} bytes, more than {self._limit}"
        return _refusal(head[:_EDGE], end[:-1][-_EDGE:], text)


def _refusal(head: bytes, end: bytes, text: str) -> SessionMessage | Exception:
    """An error for the request whose answer was thrown away; its id stands at one of the ends."""
    ids = _ID.findall(head) or _ID.findall(end)
    if not ids:
        return ValueError(text)
    error = ErrorData(code=TOO_LARGE, message=text)
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=json.loads(ids[-1]), error=error))


def environment_for(
    env: Mapping[str, str], env_from: tuple[str, ...], own: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What the server sees of our environment: little, plus what `server.toml` names."""
    named = {name: own[name] for name in env_from if name in own}
    return get_default_environment() | named | dict(env)
