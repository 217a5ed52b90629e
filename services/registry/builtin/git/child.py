"""One run of git as a child process: without any configuration of the machine, and bounded.

Whoever leaves early, for whatever reason, ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from services.process.child import begun, ended

MOST_OUTPUT = 8 * 1024 * 1024
_MOST_WORDS = 16 * 1024
_READ = 256 * 1024
_ALWAYS = {
    # git runs by its full path, and is to find nothing else.
    **dict.fromkeys(("PATH", "HOME", "XDG_CONFIG_HOME"), os.devnull),
    "LC_ALL": "C",
    "TZ": "UTC",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    # Names no protocol: this one wins over every configuration.
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_PAGER": "",
    "GIT_EDITOR": "false",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "GIT_FLUSH": "0",
}


class GitRun(NamedTuple):
    """How a run ended; `cut`: git had more to say than may be kept, and was stopped."""

    code: int
    out: bytes
    said: str
    cut: bool


class Records:
    """Keeps of NUL-terminated records only those that are wanted."""

    def __init__(self, wanted: bytes) -> None:
        """`wanted`: a regular expression for a whole record."""
        self._wanted = re.compile(rb"(?:\A|(?<=\0))(?:" + wanted + rb")\0", re.DOTALL)
        self._rest = b""

    def __call__(self, part: bytes) -> bytes:
        """The wanted records that end in this part of the output, each with its NUL."""
        data = self._rest + part
        end = data.rfind(b"\0") + 1
        self._rest = data[end:]
        return b"".join(match[0] for match in self._wanted.finditer(data[:end]))


async def run(
    program: str,
    arguments: Sequence[str],
    *,
    cwd: Path,
    more: Mapping[str, str],
    stdin: bytes = b"",
    most: int = MOST_OUTPUT,
    sift: Records | None = None,
) -> GitRun:
    """Run git; `more` joins the environment, which has nothing else of ours. Raises OSError."""
    process = await begun(
        program,
        *arguments,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env={**_ALWAYS, **more},
        limit=_READ,
    )
    async with ended(process):
        return await _answer(process, stdin, most, sift)


async def _answer(
    process: asyncio.subprocess.Process, stdin: bytes, most: int, sift: Records | None
) -> GitRun:
    assert process.stdout is not None
    assert process.stderr is not None
    words = asyncio.create_task(_first(process.stderr))
    try:
        if process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(stdin)
                await process.stdin.drain()
            process.stdin.close()
        out, cut = await _limited(process.stdout, most, sift)
        if cut:
            return GitRun(0, out, "", cut=True)
        said = await words
        return GitRun(await process.wait(), out, said, cut=False)
    finally:
        words.cancel()


async def _limited(
    stream: asyncio.StreamReader, most: int, sift: Records | None
) -> tuple[bytes, bool]:
    kept = bytearray()
    while part := await stream.read(_READ):
        kept += part if sift is None else sift(part)
        if len(kept) > most:
            return bytes(kept[:most]), True
    return bytes(kept), False


async def _first(stream: asyncio.StreamReader) -> str:
    """The beginning of what git says; all of it is read, so that it never waits for us."""
    data = b""
    while part := await stream.read(_MOST_WORDS):
        data += part[: _MOST_WORDS - len(data)]
    return data.decode("utf-8", "replace").strip()
