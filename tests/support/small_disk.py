"""A disk of a few bytes at a folder, for those alone who are started on it.

The disk is a tmpfs in a mount namespace of its own, so nothing of it is seen, or left, elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

from services.process.child import bound

FILLER = "filler"
BLOCK = 64 * 1024


class SmallDisk:
    """The disk while it is there."""

    def __init__(self, path: Path, keeper: int) -> None:
        self.path = path
        self.keeper = keeper

    @property
    def seen(self) -> Path:
        """Where the disk is for those who are not on it."""
        return Path(f"/proc/{self.keeper}/root") / self.path.relative_to("/")

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.seen).free

    def command(self, *command: str) -> tuple[str, ...]:
        """How a program is started on the disk; it is the same process, by its id too."""
        return (*_enter(self.keeper), f"--wdns={os.getcwd()}", "--", *command)

    def fill(self, leave: int = 0) -> int:
        """Take what is free, but for `leave` bytes, as somebody else's file; how much that was."""
        # What comes free meanwhile stays free.
        before = self.free
        left = before - leave
        with (self.seen / FILLER).open("ab", buffering=0) as file, contextlib.suppress(OSError):
            with contextlib.suppress(OSError):
                # Quick, but all or nothing: others write at the same time.
                os.posix_fallocate(file.fileno(), file.tell(), most := max(left - BLOCK, 1))
                left -= most
            file.seek(0, os.SEEK_END)
            while left > 0:
                left -= file.write(bytes(min(left, BLOCK)))
        return before - self.free

    def empty(self) -> None:
        """Take that file away."""
        (self.seen / FILLER).unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def small_disk(path: Path, size: int) -> AsyncIterator[SmallDisk]:
    """`path`: a folder, which is empty for those on the disk; `size`: bytes of it.

    Start with `disk.command(...)` what is to live on it.
    """
    where = shlex.quote(str(path))
    mount = f"mkdir -p {where} && mount -t tmpfs -o size={size} tmpfs {where}"
    keeper = await asyncio.create_subprocess_exec(
        *bound(*_leave(), "sh", "-c", f"{mount} && echo there && exec cat"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert keeper.stdout is not None
        assert await keeper.stdout.readline() == b"there\n"
        yield SmallDisk(path, keeper.pid)
    finally:
        keeper.kill()
        await keeper.wait()


@cache
def forbidden() -> str:
    """Why there can be no small disk on this machine; empty: there can."""
    try:
        tried = subprocess.run(
            [*_leave(), "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /tmp"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except OSError as error:
        return str(error)
    return "" if tried.returncode == 0 else tried.stderr.strip() or "no mount namespace"


def _leave() -> tuple[str, ...]:
    """Run what follows in a mount namespace of its own; of a user's own, for who is not root."""
    unshare = shutil.which("unshare") or "/usr/bin/unshare"
    return (unshare, "--mount") if os.geteuid() == 0 else (unshare, "--map-root-user", "--mount")


def _enter(keeper: int) -> tuple[str, ...]:
    nsenter = shutil.which("nsenter") or "/usr/bin/nsenter"
    whose = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
    return (nsenter, "--target", str(keeper), "--mount", *whose)
