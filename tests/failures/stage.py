"""`metamcp up` as a user starts it, on file systems that can be filled and with clocks that can be
set: a process of its own in a mount namespace of its own, so that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from contracts.facts import Record
from contracts.roles import SERVICES
from services.bus.bus import Bus
from services.log.jetstream import NatsLog
from services.up import up
from services.up.nats_config import AUDITOR
from services.up.plan import read_state
from tests.support.processes import below
from tests.support.shifted_clock import Clocks
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.system import manifest, until

ROOT = Path(__file__).resolve().parents[2]
STEADY = "steady"
SLOTS = 8
EXECUTORS = 2


class Stage:
    """A running orchestrator, and what can be done to it."""

    def __init__(
        self, folder: Path, record: Path, disk: SmallDisk | None, clocks: Clocks | None
    ) -> None:
        self.data = folder / "data"
        self.record = record
        self._disk = disk
        self._clocks = clocks
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.AsyncClient(timeout=10, trust_env=False)
        self.token = ""

    @property
    def url(self) -> str:
        """Where the gateway listens by now. Raises FileNotFoundError while none does."""
        return up.read_gateway_url(self.data)

    @property
    def nats_url(self) -> str:
        """Where nats-server listens."""
        state = read_state(self.data)
        assert state is not None, "metamcp up is gone"
        return state.nats_url

    def pids(self) -> dict[str, int]:
        """What runs by now: `nats`, `router-1`, `executor-2` ..."""
        assert self.process is not None
        found = {}
        for pid in below(self.process.pid):
            with contextlib.suppress(OSError, IndexError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if any(word.endswith(b"/nats-server") for word in words):
                    found["nats"] = pid
                elif words[1:2] == [b"-m"] and words[2].startswith(b"services."):
                    found[_variable(pid, "METAMCP_INSTANCE")] = pid
        return found

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one process, or to all of a service."""
        found = [p for own, p in self.pids().items() if name in (own, own.rpartition("-")[0])]
        assert found, f"{name} does not run"
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    @contextlib.contextmanager
    def held(self) -> Any:
        """`metamcp up` itself stands still in the block, so that it starts nothing again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @property
    def disk(self) -> SmallDisk:
        """The small disk that it was started on."""
        assert self._disk is not None
        return self._disk

    @property
    def clocks(self) -> Clocks:
        """The clocks that it was started with."""
        assert self._clocks is not None
        return self._clocks

    def view(self, instance: str) -> Path:
        """The file of a service's view."""
        return self.data / "views" / f"{instance}.sqlite"

    def calls(self) -> list[dict[str, Any]]:
        """What the hosts wrote down themselves."""
        if not self.record.exists():
            return []
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    async def health(self) -> dict[str, Any]:
        """The whole answer about health; empty while there is none."""
        with contextlib.suppress(httpx.HTTPError, OSError, ValueError):
            answer = await self.http.get(f"{self.url}/api/health")
            return answer.json()  # type: ignore[no-any-return]
        return {}

    async def doctor(self) -> list[dict[str, Any]]:
        """What `metamcp doctor` finds."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", "doctor", "--json", "--data", str(self.data)),
            cwd=ROOT,
            env=os.environ | {"METAMCP_REGISTRY_BUILTINS": "false"},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        return json.loads(out)  # type: ignore[no-any-return]

    async def metamcp(self, *words: str) -> str:
        """What a command prints; it must succeed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", *words, "--data", str(self.data)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, (words, out, err)
        return out.decode()

    async def publisher(self) -> Bus:
        """A connection of a service of others that publishes tasks."""
        folder = self.data / "credentials"
        return await up.connect(self.nats_url, "publisher", folder, name="failures-publisher")

    async def facts(self) -> list[Record]:
        """Every fact of the log, as an auditor reads it."""
        folder = self.data / "credentials"
        bus = await up.connect(self.nats_url, AUDITOR, folder, name="failures-auditor")
        try:
            async with await NatsLog.open(bus) as log:
                batches = log.scan((">",), 0, await log.head())
                return [record async for batch in batches for record in batch.records]
        finally:
            await bus.close()

    async def well(self) -> bool:
        """Ready, with nothing missing and nothing in trouble."""
        found = await self.health()
        data = found.get("data") or {}
        there = {one["service"] for one in data.get("services", ()) if one["up"]}
        return bool(data.get("ready") and not data["degraded"] and there == set(SERVICES))

    async def start(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        """Start it and wait until it is well."""
        self.process = _started(command, environ, log)
        try:
            await until(self._ready)
        except TimeoutError:
            raise AssertionError(f"{_end(log)}\n{await self.health()}") from None
        self.token = (self.data / "credentials" / "token").read_text().strip()
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    async def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "metamcp up has ended"
        return (self.data / "credentials" / "token").exists() and await self.well()

    async def stop(self) -> int:
        """End it as Ctrl-C does; the answer is its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return await asyncio.to_thread(self.process.wait, 40)
        finally:
            await self.http.aclose()
            for pid in [*below(self.process.pid), self.process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _started(
    command: Sequence[str], environ: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=out, stderr=out, start_new_session=True
        )


def _end(log: Path) -> str:
    return log.read_text()[-4000:]


def _variable(pid: int, name: str) -> str:
    """An environment variable that a process was started with."""
    for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if pair.startswith(f"{name}=".encode()):
            return pair.partition(b"=")[2].decode()
    return ""


@contextlib.asynccontextmanager
async def stage(
    folder: Path,
    *,
    small: tuple[str, int] | None = None,
    clocks: Clocks | None = None,
    hosts: Sequence[Path] = (),
    **variables: str,
) -> AsyncIterator[Stage]:
    """Start `metamcp up` with one recording host and those of the manifests `hosts`.

    `small`: a folder of the data that gets a disk of its own, and the disk's bytes. At the end of
    the block it is told to stop: its exit code must be 0.
    """
    async with contextlib.AsyncExitStack() as stack:
        disk = None
        if small is not None:
            where = folder / "data" / small[0]
            where.mkdir(parents=True, mode=0o700)
            where.parent.chmod(0o700)
            disk = await stack.enter_async_context(small_disk(where, small[1]))
        async with _on(folder, disk, clocks, hosts, variables) as one:
            yield one


@contextlib.asynccontextmanager
async def _on(
    folder: Path,
    disk: SmallDisk | None,
    clocks: Clocks | None,
    hosts: Sequence[Path],
    variables: Mapping[str, str],
) -> AsyncIterator[Stage]:
    path, record = manifest(folder, {STEADY: SLOTS})
    one = Stage(folder, record, disk, clocks)
    command: list[str] = [sys.executable, "-m", "services.cli", "up", "--port", "0"]
    command += ["--data", str(one.data), "--executors", str(EXECUTORS)]
    for each in (path, *hosts):
        command += ["--manifest", str(each)]
    if disk is not None:
        command = list(disk.command(*command))
    environ = {
        **os.environ,
        "METAMCP_REGISTRY_BUILTINS": "false",
        "METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0",
        **(clocks.environ() if clocks else {}),
        **variables,
    }
    try:
        await one.start(command, environ, folder / "up.log")
        yield one
    except BaseException:
        await one.stop()
        raise
    code = await one.stop()
    assert code == 0, _end(folder / "up.log")
