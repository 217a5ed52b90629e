"""Runs semgrep's command line on a folder. Needs no network, and sends nothing anywhere.

Each scan is a process of its own: one that hangs or is cancelled is ended, and holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import anyio
import msgspec

from services.registry.builtin.security import report

SCAN_S = 300.0
"""The longest scan."""
MOST_FILES = 2000
MOST_OUTPUT = 64 * 1024 * 1024
MOST_FILE_BYTES = 5_000_000
"""A bigger file is not scanned, and the report says so."""
RULE_S = 10
"""Seconds that one rule may take for one file."""
EXPERIMENTAL = "--experimental"
"""The engine alone, in 0.2 s: without it a start of Python comes before, for 3 s."""
_MOST_WORDS = 16 * 1024
_QUIET = {
    "SEMGREP_SEND_METRICS": "off",
    "SEMGREP_ENABLE_VERSION_CHECK": "0",
    "SEMGREP_MCP_DISABLE_TRACING": "true",
}


class ScanFailed(Exception):
    """There is no result; the message says why, and what to do."""


class Engine:
    """The semgrep of one environment."""

    def __init__(self, bin_: Path) -> None:
        """`bin_`: the environment's folder of programs."""
        self._bin = bin_

    async def scan(self, folder: Path, files: Iterable[str], rules: Path) -> dict[str, Any]:
        """Scan these files of the folder and return semgrep's own report. Raises ScanFailed.

        The files are named one by one: of a whole folder semgrep would leave out what a
        `.gitignore`, a `.semgrepignore` or its own list names, such as tests.
        """
        options = ["--quiet", "--json", "--no-rewrite-rule-ids", "--novcs", "--oss-only"]
        options += ["--jobs", "1", "--timeout", str(RULE_S)]
        options += ["--max-target-bytes", str(MOST_FILE_BYTES), "--config", str(rules)]
        targets = [f"./{name}" for name in files]
        output = await self._run("scan", EXPERIMENTAL, *options, "--", *targets, folder=folder)
        try:
            raw = msgspec.json.decode(output, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise ScanFailed(f"semgrep answered with something else than JSON: {error}") from None
        if wrong := report.broken_rule(raw):
            raise ScanFailed(f"the rule can't be used: {wrong}")
        return raw

    async def languages(self) -> list[str]:
        """The languages that rules can be for. Raises ScanFailed."""
        output = await self._run("show", "supported-languages", EXPERIMENTAL)
        _, _, names = output.decode("utf-8", "replace").partition(":")
        return [name.strip() for name in names.split(",")]

    async def _run(self, *arguments: str, folder: Path | None = None) -> bytes:
        with tempfile.TemporaryDirectory(prefix="semgrep-") as own:
            environment = {**os.environ, **_QUIET, "SEMGREP_SETTINGS_FILE": f"{own}/settings.yml"}
            environment |= {
                "PATH": f"{self._bin}{os.pathsep}{os.environ.get('PATH', '')}",
                "SEMGREP_LOG_FILE": f"{own}/semgrep.log",
                "TMPDIR": own,
            }
            process = await asyncio.create_subprocess_exec(
                *(str(self._bin / "semgrep"), *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=folder or own,
                env=environment,
            )
            async with _ended(process):
                return await _answer(process)


@contextlib.asynccontextmanager
async def _ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """However the caller leaves: no scan goes on for nobody."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.wait()


async def _answer(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    assert process.stderr is not None
    words = asyncio.create_task(_last(process.stderr))
    try:
        async with asyncio.timeout(SCAN_S):
            output = await _all(process.stdout)
            code = await process.wait()
            said = await words
    except TimeoutError:
        raise ScanFailed(f"the scan took longer than {SCAN_S:g} s: give it fewer files") from None
    finally:
        words.cancel()
    # An answer tells what went wrong by itself: 7 stands for a rule that is no YAML, say.
    if code != 0 and not output.startswith(b"{"):
        raise ScanFailed(f"semgrep ended with {code}: {said or 'it said nothing'}")
    return output


async def _all(stream: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await stream.read(1 << 18):
        parts.append(part)
        size += len(part)
        if size > MOST_OUTPUT:
            raise ScanFailed(f"more than {MOST_OUTPUT >> 20} MiB of findings: narrow the rule down")
    return b"".join(parts)


async def _last(stream: asyncio.StreamReader) -> str:
    """The end of what the process says; all of it is read, so that it never waits for us."""
    data = b""
    while part := await stream.read(_MOST_WORDS):
        data = (data + part)[-_MOST_WORDS:]
    return " ".join(data.decode("utf-8", "replace").split())[-500:]
