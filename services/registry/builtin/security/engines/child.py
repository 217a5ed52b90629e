"""Child processes with bounds of time, memory and output; none outlives its call."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from services.process.child import begun, ended
from services.registry.builtin import serving
from services.registry.builtin.security.engines.base import EngineFailed

BATCH_S = 300.0
"""The longest run of one process."""
MOST_OUTPUT = 64 * 1024 * 1024
MEMORY_BYTES = 4 * 1024 * 1024 * 1024
"""Most address space of one process; less where the machine is small."""
LEAST_BYTES = 2 * 1024 * 1024 * 1024
"""With less of it each, fewer run at once."""
_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_MOST_WORDS = 16 * 1024


class Share(NamedTuple):
    """What the engines of one server may take of its machine."""

    at_once: int
    """Processes."""
    memory: int
    """Bytes of address space of each."""

    @classmethod
    def of(cls, memory: int, processors: int) -> Share:
        """Three quarters of the memory in all, whatever a task's rules make of it."""
        whole = memory * 3 // 4
        at_once = max(1, min(processors, whole // LEAST_BYTES))
        return cls(at_once, min(MEMORY_BYTES, whole // at_once))


def machine_memory() -> int:
    """Bytes that this machine or container has."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP:
        with contextlib.suppress(OSError, ValueError):
            found.append(int(path.read_text()))
    return min(found)


SHARE = Share.of(machine_memory(), os.cpu_count() or 1)
_LIMITED = f'ulimit -c 0; ulimit -v {SHARE.memory >> 10}; exec "$0" "$@"'


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
            process = await begun(
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
        async with ended(process, group=True):
            return await _output(process, stdin)


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
