"""How much of its disk the NATS server may have, and how much it needs to be started."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.process import ballast

MIB = 1024 * 1024
MIN_FREE = 200 * MIB
"""Bytes that must be free on the disk before a server is started on a new store, half of them kept
free after."""
MIN_AGAIN = 64 * MIB
"""The same where there is a store already: enough for operators to make room."""
LOW = 16 * MIB
"""With less than this the disk is full: no server is started on it, not even one that has run."""
SPARE = 2
"""What all streams may have is so many times what they have set aside, at least."""


class Disk(NamedTuple):
    """Bytes on the disk of a store."""

    free: int
    """What others have not taken; the ballast counts as free."""
    used: int = 0
    """Of the store."""
    reserved: int = 0
    """What its streams have set aside."""


class _Stream(msgspec.Struct):
    max_bytes: int = -1


def look(data: Path) -> Disk:
    """Look at the disk that the store of a data folder is on, or will be. Raises OSError."""
    folder, held = data / ballast.STORE, ballast.held(data)
    used, reserved = 0, 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            used += path.stat().st_size
            if path.match("*/streams/*/meta.inf"):
                reserved += _reserved(path)
    return Disk(free_now(data) + held, used - held, reserved)


def free_now(data: Path) -> int:
    """Bytes that can be written on that disk as it is. Raises OSError."""
    existing = data / ballast.STORE
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def _reserved(path: Path) -> int:
    with contextlib.suppress(msgspec.DecodeError):
        return max(0, msgspec.json.decode(path.read_bytes(), type=_Stream).max_bytes)
    return 0


def allowed(disk: Disk, most: int = 0, kept: int = MIN_FREE // 2) -> int:
    """Bytes that all streams may have: what is free but for `kept`, at most `most` if that is set.

    Never less than what has been set aside: streams could not be changed then, nor new ones made.
    The server's own rule (a share of what is free) would shrink as the log grows.
    """
    fitting = disk.used + max(disk.free - kept, disk.free // 4)
    return max(min(fitting, most or fitting), SPARE * disk.reserved)


def shortage(disk: Disk, data: Path, least: int | None = None) -> tuple[str, str] | None:
    """Why no server can be started, and what to do; None: there is room.

    `least`: bytes that are needed; None: as there is a store already or not.
    """
    needed = (MIN_AGAIN if disk.reserved else MIN_FREE) if least is None else least
    if disk.free >= needed:
        return None
    lacking = -(-(needed - disk.free) // MIB)
    return (
        f"Only {disk.free // MIB:,} MB are free on the disk of {data / ballast.STORE}, and"
        f" {needed // MIB:,} MB are needed.",
        f"Free {lacking:,} MB more there, or use a data folder elsewhere (--data, METAMCP_DATA).",
    )


def full(free: int, data: Path) -> tuple[str, str] | None:
    """Why what runs stores nothing, and what to do; None: there is room. `free`: bytes to write."""
    if free >= LOW:
        return None
    return (
        f"The disk of {data / ballast.STORE} is full: {free // MIB} MB are free.",
        "Free some space there: blobs, results, or what others have stored. All goes on by itself"
        f" then, once {LOW // MIB} MB are free.",
    )
