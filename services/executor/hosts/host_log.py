"""What hosts have written on stderr, as `outside/mcp_child.py` keeps it: the end of two files.

It is for the operator alone: one process of a host works for all users.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from contracts.errors import Reason, Rejected
from contracts.ids import check_host
from contracts.wire import HostLog, HostLogRequest
from services.outside.mcp_child import log_path
from services.process.visible import visible

MOST_LINES = 1000
MOST_BYTES = 256 * 1024


class HostLogServer:
    """Serves `cmd.executor.host_log` from the folder of one executor."""

    def __init__(self, folder: Path, instance: str) -> None:
        """`folder`: where `<host>.log` and `<host>.log.1` lie, see `log_path`."""
        self._folder = folder
        self._instance = instance

    async def answer(self, payload: bytes) -> bytes:
        """Return a `HostLog`, without lines if this executor has none of that host.

        Raises Rejected.
        """
        try:
            request = msgspec.json.decode(payload, type=HostLogRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejected(Reason.BAD_REQUEST, f"this is no HostLogRequest: {error}") from None
        host = check_host(request.host)
        if not 1 <= request.lines <= MOST_LINES:
            raise Rejected(Reason.BAD_REQUEST, f"`lines` must be from 1 to {MOST_LINES}")
        lines = await asyncio.to_thread(read, log_path(self._folder, host), request.lines)
        return msgspec.json.encode(HostLog(host, self._instance, lines))


def read(path: Path, count: int) -> tuple[str, ...]:
    """Return the last lines of a log and of the older file beside it, fit for any terminal.

    At most MOST_BYTES of them; files that can't be read have none. Raises nothing.
    """
    newer, older = _open(path), _open(path.with_suffix(".log.1"))
    try:
        # Between the two the newer may have become the older one: then it is read once.
        same = newer and older and os.path.sameopenfile(newer.fileno(), older.fileno())
        data = _end(newer, MOST_BYTES)
        if not same and (newer is None or newer.tell() == len(data)):
            data = _end(older, MOST_BYTES - len(data)) + data
    except OSError:
        return ()
    finally:
        for file in (newer, older):
            if file is not None:
                file.close()
    return lines_of(data, count)


def lines_of(data: bytes, count: int) -> tuple[str, ...]:
    """Return the last lines in this text, decoded, with control characters made visible."""
    *whole, rest = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    lines = [*whole, rest] if rest else whole
    shown = [visible(line) for line in lines[-count:]]
    room = MOST_BYTES
    for n, line in enumerate(reversed(shown)):
        room -= len(line.encode())
        if room < 0:
            # What is made visible takes more room than what it stands for.
            return tuple(shown[len(shown) - n :]) or (shown[-1][: MOST_BYTES // 4],)
    return tuple(shown)


def _open(path: Path) -> BinaryIO | None:
    # A host runs with our rights: what it may have put there must not hold us up.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(path, flags), "rb")
    except OSError:
        return None


def _end(file: BinaryIO | None, most: int) -> bytes:
    """The end of a file, from the first line that is there as a whole."""
    if file is None or most <= 0:
        return b""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - most))
    data = file.read(most)
    return data if size <= most else data.partition(b"\n")[2] or data
