"""Child processes with bounds of time, memory and output; none outlives its call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio

from services.process.child import gone
from services.registry.builtin import serving
from services.registry.builtin.security.engines.base import EngineFailed

BATCH_S = 300.0
"""The longest run of one process."""
MOST_OUTPUT = 64 * 1024 * 1024
MEMORY_BYTES = 4 * 1024 * 1024 * 1024
"""Address space of one process."""
_MOST_WORDS = 16 * 1024
_LIMITED = f'ulimit -c 0; ulimit -v {MEMORY_BYTES >> 10}; exec "$0" "$@"'


class Output(NamedTuple):
    """How a process ended."""

    code: int
    stdout: bytes
    words: str
    """The end of its stderr, in one line."""
    problem: tuple[str, str] | None = None
    """Reason and words, if it had to be ended; `stdout` is what it had written by then."""


async def run(
    command: Sequence[str],
    cwd: Path,
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    limited: bool = True,
) -> Output:
    """Run a program to its end; raises EngineFailed only if it can't be started.

    `limited`: with a bound on its address space.
    """
    if limited:
        command = ["/bin/sh", "-c", _LIMITED, *command]
    with serving.folder() as folder:
        own = str(folder)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=cwd,
                env={**os.environ, "TMPDIR": own, "HOME": own, **(env or {})},
                start_new_session=True,
            )
        except OSError as error:
            words = f"{Path(command[0]).name} can't be started: {error.strerror}"
            raise EngineFailed("engine_failed", words) from None
        async with _ended(process):
            return await _output(process, stdin)


@contextlib.asynccontextmanager
async def _ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """However the caller leaves: the process and all its children are ended."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await gone(process)


async def _output(process: asyncio.subprocess.Process, stdin: bytes) -> Output:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    written: list[bytes] = []
    said = asyncio.create_task(_last(process.stderr))
    given = asyncio.create_task(_give(process.stdin, stdin))
    try:
        async with asyncio.timeout(BATCH_S):
            if not await _all(process.stdout, written):
                words = f"more than {MOST_OUTPUT >> 20} MiB of output"
                return Output(-1, b"".join(written), "", ("engine_failed", words))
            code = await process.wait()
            return Output(code, b"".join(written), await said)
    except TimeoutError:
        words = f"it took longer than {BATCH_S:g} s"
        return Output(-1, b"".join(written), "", ("timeout", words))
    finally:
        said.cancel()
        given.cancel()


async def _give(stream: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        stream.write(data)
        await stream.drain()
        stream.close()


async def _all(stream: asyncio.StreamReader, written: list[bytes]) -> bool:
    """Whether all of it was within the bound; `written` gets it as it comes."""
    size = 0
    while part := await stream.read(1 << 18):
        written.append(part)
        size += len(part)
        if size > MOST_OUTPUT:
            return False
    return True


async def _last(stream: asyncio.StreamReader) -> str:
    """The end of what the process says; all of it is read, so that it never waits for us."""
    data = b""
    while part := await stream.read(_MOST_WORDS):
        data = (data + part)[-_MOST_WORDS:]
    return " ".join(data.decode("utf-8", "replace").split())[-500:]
