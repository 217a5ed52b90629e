"""A file beside the NATS store that is given up when the disk is full.

What it has held is room for operators, who need some to make more; users get none of it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

BALLAST = 64 * 1024 * 1024
"""Bytes of it."""
STORE = Path("nats/jetstream")
"""Where the store of the embedded NATS server lies in a data folder."""


def ballast_file(data: Path) -> Path:
    """It lies on the disk that the store is on, and is none of the server's files."""
    return data / STORE / "ballast"


def held(data: Path) -> int:
    """How many bytes of the disk it holds now."""
    try:
        return ballast_file(data).stat().st_size
    except OSError:
        return 0


def missing(data: Path) -> int:
    """How many bytes of what is free belong to it."""
    return BALLAST - min(held(data), BALLAST) if (data / STORE).is_dir() else 0


def give_up(data: Path) -> None:
    """Give what it holds back to the disk. Raises OSError."""
    ballast_file(data).unlink(missing_ok=True)


def take(data: Path) -> None:
    """Hold the bytes, all or none; where the system can't set some aside, none. Raises OSError."""
    if not hasattr(os, "posix_fallocate"):
        return
    path = ballast_file(data)
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, BALLAST)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise
