"""An MCP server as a child process: the pipes the SDK talks through, and a tail of what it says.

Everything is bounded: lines, the tail, the log file. No process of its group outlives `stop`, and
the server itself does not outlive whoever started it, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import mcp_types
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

from contracts.host import Stdio
from contracts.ids import check_host
from services.outside.mcp_message import Incoming
from services.outside.mcp_reading import McpReader, refusal
from services.outside.noise import PROGRAM, TOO_MUCH, Noise
from services.process.child import bound
from services.process.files import private
from services.process.timeouts import timeout

TAIL_BYTES = 64 * 1024
STARTED_LINES = 200
"""In so many last lines it is looked for why a program did not start."""
LOG_BYTES = 1024 * 1024
STOP_S = 1.0
LAST_WORDS_S = 0.2
_READ = 256 * 1024
_ENDLESS = 64 * 1024 * 1024
_ANSWERS = (mcp_types.JSONRPCResponse, mcp_types.JSONRPCError)
# Harmless to pass on, and needed where a proxy, own certificates or another cache are in use.
INHERITED = (
    "HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy LANG"
    " LC_ALL LC_CTYPE TZ TMPDIR SSL_CERT_FILE SSL_CERT_DIR XDG_CACHE_HOME XDG_CONFIG_HOME"
    " XDG_DATA_HOME UV_CACHE_DIR"
).split()


def log_path(folder: Path, host: str) -> Path:
    """Where the log of a host lies, whoever writes or reads it. Raises Rejected for what is no
    host's id."""
    # No token has a dot in it, so no two ids have one file.
    return folder / f"{check_host(host).replace('/', '.')}.log"


class Tail:
    """The last 64 KiB of a server's stderr, also kept in a file of limited size if there is one."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._data = b""
        self.hide: Callable[[str], str] = str
        """Takes out of its words what nobody is to read."""

    def add(self, data: bytes) -> None:
        """Keep what the server said; a file that can't be written is not worth a failure."""
        self._data = (self._data + data)[-TAIL_BYTES:]
        with contextlib.suppress(OSError):
            self._write(data[-LOG_BYTES:])

    def mark(self, text: str) -> None:
        """Note in the file, and there only, what happened to the server."""
        with contextlib.suppress(OSError):
            self._write(f"--- {datetime.now(UTC).isoformat(timespec='seconds')} {text}\n".encode())

    def lines(self, count: int = 5) -> str:
        """The last lines that are not empty."""
        text = self._data.decode("utf-8", "replace")
        last = [line for line in text.splitlines() if line.strip()][-count:]
        return self.hide("\n".join(last))

    def clear(self) -> None:
        """Forget what an earlier process said."""
        self._data = b""

    def _write(self, data: bytes) -> None:
        if (path := self._path) is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size + len(data) > LOG_BYTES:
                path.replace(path.with_suffix(".log.1"))
        with open(path, "ab", opener=private) as file:
            file.write(data)


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Tells the end of the process at once: `wait` waits for its pipes, which others may hold."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=_READ, loop=loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class McpChild:
    """One run of the server; see `mcp_session.Line`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        ended: asyncio.Event,
        tail: Tail,
        lines: Lines,
    ) -> None:
        self._process = process
        self._ended = ended
        self._tail = tail
        self._lines = lines
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()
        self.pid = process.pid

    @classmethod
    async def start(
        cls, endpoint: Stdio, tail: Tail, max_line: int, reader: McpReader | None = None
    ) -> McpChild:
        """Start the server. Raises OSError if it can't be: its words are for everybody, and the
        tail has the rest.

        `max_line`: bytes of its longest message.
        """
        try:
            return await cls._start(endpoint, tail, Lines(max_line, reader))
        except OSError as error:
            where = f" in {endpoint.cwd}" if endpoint.cwd else ""
            tail.mark(f"can't start {endpoint.command}{where}: {error}")
            raise type(error)(error.strerror or str(error)) from error

    @classmethod
    async def _start(cls, endpoint: Stdio, tail: Tail, lines: Lines) -> McpChild:
        environment = environment_for(endpoint)
        command = find(endpoint, environment)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: _Protocol(loop),
            *bound(command, *endpoint.args),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd=endpoint.cwd,
            start_new_session=True,
        )
        process = asyncio.subprocess.Process(transport, protocol, loop)
        tail.clear()
        tail.mark(f"started {endpoint.command}, process {process.pid}")
        return cls(process, protocol.exited, tail, lines)

    @property
    def fault(self) -> str:
        """How it has broken the protocol."""
        return self._lines.fault

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """The SDK's transport: streams of messages from and to the server."""
        to_sdk, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, from_sdk = anyio.create_memory_object_stream[SessionMessage](0)
        self._tasks = [
            asyncio.create_task(work, name=f"host-{self.pid}")
            for work in (
                self._receive(to_sdk),
                self._send(from_sdk, to_sdk),
                self._watch(to_sdk),
                self._listen(),
            )
        ]
        self._listening = self._tasks[-1]
        try:
            yield read, write
        finally:
            for stream in (read, write, to_sdk, from_sdk):
                stream.close()

    async def stop(self, *, kindly: bool = True) -> str:
        """Close the server's input, kindly give it a second to leave, then kill its whole group."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with timeout(STOP_S if kindly else 0.0):
                await self._ended.wait()
        self._kill()
        # Before its transport closes: that looks for the end too, and who is second knows no code.
        with contextlib.suppress(TimeoutError):
            async with timeout(STOP_S):
                await self._ended.wait()
        if self._listening is not None:
            # Its last words are still to be read, unless whoever left the group holds the pipe.
            await asyncio.wait([self._listening], timeout=LAST_WORDS_S)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # Whoever has left the group may hold the pipes open, and nothing public closes our ends.
        if (transport := getattr(self._process, "_transport", None)) is not None:
            transport.close()
        self._tail.mark(f"process {self.pid} ended with {self._process.returncode}")
        return self.ended()

    def last_words(self, count: int = 5) -> str:
        """The last lines of its stderr."""
        return self._tail.lines(count)

    def ended(self) -> str:
        """How the process ended, in words; empty while it runs."""
        code = self._process.returncode
        if code is None:
            return ""
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with code {code}"

    def _kill(self) -> None:
        # Members of the group can outlive its leader, so this is done also after it has left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _receive(self, to_sdk: Any) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while data := await self._process.stdout.read(_READ):
                async for message in self._lines.feed(data):
                    await to_sdk.send(message)
                if why := self._lines.fault or (TOO_MUCH if self._lines.too_much() else ""):
                    self._tail.add(f"(ended: {why})\n".encode())
                    break
                # What waits already would be gone through without a turn for anybody else.
                await asyncio.sleep(0)
        self._lines.close()
        self._over(to_sdk)

    def _over(self, to_sdk: Any) -> None:
        """For the SDK the connection is over from now on: known here before it is there."""
        self.gone.set()
        to_sdk.close()

    async def _watch(self, to_sdk: Any) -> None:
        """Notice the end of the server also while one of its children holds its output open."""
        await self._ended.wait()
        # What it wrote before may still be on its way.
        await asyncio.wait(self._tasks[:1], timeout=LAST_WORDS_S)
        self._over(to_sdk)

    async def _send(self, from_sdk: Any, to_sdk: Any) -> None:
        assert self._process.stdin is not None
        try:
            async for message in from_sdk:
                self._lines.sent(message.message)
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._process.stdin.write(text.encode() + b"\n")
                await self._process.stdin.drain()
        except (OSError, RuntimeError):
            # The server no longer reads.
            self._over(to_sdk)
        except anyio.ClosedResourceError:
            pass

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(_READ):
            self._tail.add(data)


class Lines:
    """Splits a server's output into messages; one that is over the limit is skipped, not stored."""

    def __init__(self, limit: int, reader: McpReader | None = None) -> None:
        self._reader = reader or McpReader()
        self._incoming = Incoming(limit, self._reader.big)
        self._most = 2 * limit + _ENDLESS
        self._noise = Noise(time.monotonic(), PROGRAM)

    def sent(self, message: mcp_types.JSONRPCMessage) -> None:
        """A message goes to the server."""
        match message:
            case mcp_types.JSONRPCRequest(id=id_, method=method):
                self._reader.sent(id_, method)
            case mcp_types.JSONRPCNotification(
                method="notifications/cancelled", params={"requestId": int() | str() as id_}
            ):
                self._reader.given_up(id_)

    @property
    def fault(self) -> str:
        """How the server has broken the protocol: nothing that it says is taken any more."""
        return self._reader.fault

    async def feed(self, data: bytes) -> AsyncIterator[SessionMessage | Exception]:
        """Take what was read, give the messages that are complete now."""
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._incoming.add(part)
            for message in await self._complete():
                yield message
            if self.fault:
                return
        self._incoming.add(rest)

    def too_much(self) -> bool:
        """Whether the server says too much that answers nothing."""
        endless = self._incoming.size > self._most
        return endless or self._noise.over(time.monotonic())

    def close(self) -> None:
        """Forget a line that will not be completed."""
        self._incoming.close()

    async def _complete(self) -> list[SessionMessage | Exception]:
        size = self._incoming.size
        if self._incoming.blank():
            self._noise.line(size)
            return []
        try:
            found = [_message(text) for text in await self._reader.read(self._incoming)]
        except ValueError as error:
            self._noise.message(size)
            return [error]
        return [SessionMessage(message) for message in found if self._fits(message, size)]

    def _fits(self, message: mcp_types.JSONRPCMessage, size: int) -> bool:
        """Whether it is handed on: with the first request too many, the server is soon ended."""
        if not isinstance(message, _ANSWERS):
            self._noise.message(size)
        if not isinstance(message, mcp_types.JSONRPCRequest):
            return True
        return self._noise.request(time.monotonic())


def _message(text: bytes) -> mcp_types.JSONRPCMessage:
    """A message that was read, for the SDK. Raises ValueError for one that nobody waits for."""
    try:
        return mcp_types.jsonrpc_message_adapter.validate_json(text, by_name=False)
    except ValueError:
        if (refused := refusal(text, "it is nested too deep")) is None:
            raise
        return mcp_types.jsonrpc_message_adapter.validate_json(refused, by_name=False)


def environment_for(endpoint: Stdio, own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a server sees of our environment: little, plus what its manifest names.

    Our own `bin` folder comes last in PATH, so that `uvx` is found wherever we are installed.
    """
    chosen = get_default_environment()
    chosen |= {name: own[name] for name in (*INHERITED, *endpoint.env_from) if name in own}
    chosen |= endpoint.env
    chosen["PATH"] = os.pathsep.join(
        part for part in (chosen.get("PATH", ""), os.path.dirname(sys.executable)) if part
    )
    return chosen


def find(endpoint: Stdio, environment: Mapping[str, str]) -> str:
    """The command's full path. Raises FileNotFoundError that says what to do, without names."""
    cwd = endpoint.cwd
    if cwd is not None and not os.path.isdir(cwd):
        raise FileNotFoundError("the folder that its server should run in does not exist")
    command = endpoint.command
    if cwd is not None and os.sep in command:
        command = os.path.join(cwd, command)
    found = shutil.which(command, path=environment.get("PATH"))
    if found is None:
        raise FileNotFoundError("its command was not found. Install it, or correct the manifest")
    return os.path.abspath(found)
