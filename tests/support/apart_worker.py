"""A worker for the tests of worker processes: it does what an order says, also what is bad."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import signal
import time
from pathlib import Path

import msgspec

from services.outside.apart import zygote
from services.outside.apart.worker import Done, Errand


class Obedient:
    """Carries out orders by their verbs."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder or Path()
        self.hoard: list[bytes] = []

    async def handle(self, errand: Errand) -> Done:
        match errand.verb:
            case "echo":
                return Done(errand.body)
            case "who":
                return Done(msgspec.json.encode(facts()))
            case "ask":
                return Done(await errand.ask(errand.body))
            case "file":
                (self.folder / "a").write_bytes(errand.body)
                return Done(b"", "a")
            case "elsewhere":
                return Done(b"", errand.body.decode())
            case "link":
                (self.folder / "b").symlink_to("/etc/hostname")
                return Done(b"", "b")
            case "wait":
                errand.tell(b"waiting")
                try:
                    await asyncio.Event().wait()
                finally:
                    errand.tell(b"left")
        await self.harm(errand.verb)
        raise AssertionError(errand.verb)

    async def harm(self, how: str) -> None:
        match how:
            case "spin":
                while True:
                    pass
            case "burn":
                while True:
                    until = time.monotonic() + 0.05
                    while time.monotonic() < until:
                        pass
                    await turn()
            case "hoard":
                while True:
                    self.hoard.append(bytes(16 * 1024 * 1024))
                    await turn()
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "break":
                raise ValueError("it broke")
            case "flood":
                for number in itertools.count():
                    with (self.folder / f"big-{number}").open("wb") as file:
                        file.truncate(64 * 1024 * 1024)
                    await turn()

    async def close(self) -> None:
        """Nothing is held."""


async def turn() -> None:
    """Let the loop do something else."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()


def facts() -> dict[str, object]:
    """What this process is, and what it has."""
    names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "nice": os.nice(0),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "files": sorted(os.readlink(name) for name in names if os.path.lexists(name)),
        "environment": sorted(os.environ),
    }


if __name__ == "__main__":
    zygote.main("tests", Obedient)
