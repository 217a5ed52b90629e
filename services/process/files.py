"""Files written whole or not at all, private ones, locks, ports: what processes share a machine by.

What stands here is on disk when it is there, and no half of it is ever seen under its name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

_PRIVATE, _SHARED = 0o600, 0o666
LOCK_FILE = "lock"


NO_WRITING = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""What a disk says that can't be written now: it may pass, and no setting is wrong."""


class FolderInUse(Exception):
    """Another process has the data folder; `owner` is its id, empty if it is not known."""

    def __init__(self, owner: str) -> None:
        super().__init__(f"in use by process {owner or 'unknown'}")
        self.owner = owner


def write_private(path: Path, data: bytes) -> None:
    """Replace a file; never readable by others, not even for a moment. Raises OSError."""
    with _draft(path, data, _PRIVATE) as draft:
        draft.replace(path)


def write_shared(path: Path, data: bytes) -> None:
    """Replace a file that others may read, as the umask says. Raises OSError."""
    with _draft(path, data, _SHARED) as draft:
        draft.replace(path)


def create_private(path: Path, data: bytes) -> None:
    """Make a file that only its owner can read, unless it is there, and its folder with it.

    Of those who do this at once, all find the file of the first. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _draft(path, data, _PRIVATE) as draft, contextlib.suppress(FileExistsError):
        # A link appears whole or not at all, and never replaces what is there.
        os.link(draft, path)
    sync(path.parent)


def private(path: str, flags: int) -> int:
    """For `open(…, opener=private)`: a file that this makes can be read by its owner only."""
    return os.open(path, flags, _PRIVATE)


def is_private(file: int | Path) -> bool:
    """Whether nobody but its owner can reach the file or folder. Raises OSError."""
    return not stat.S_IMODE(os.stat(file).st_mode) & 0o077


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner can reach, and those above it; one that is there and ours
    is closed to others. Raises OSError."""
    for parent in reversed([one for one in folder.parents if not one.exists()]):
        with contextlib.suppress(FileExistsError):
            parent.mkdir(mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    if not is_private(folder) and folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)


def drafts(path: Path) -> Iterator[Path]:
    """What was to become this file when its writer died; or is just being written."""
    return path.parent.glob(f".{path.name}.*")


def sync(folder: Path) -> None:
    """Have the folder's entries on disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(path: Path) -> int | None:
    """Open and lock a file, which is made if need be; None while somebody else has it.

    Waits for nobody. Whoever closes the descriptor gives it free. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def lock_folder(data: Path) -> int:
    """Lock a data folder, and say in it who has it; see `lock`. Raises FolderInUse, OSError."""
    private_folder(data)
    path = data / LOCK_FILE
    descriptor = lock(path)
    if descriptor is None:
        raise FolderInUse(path.read_text(errors="replace")[:32].strip())
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def port_is_free(host: str, port: int) -> bool:
    """Whether a server may listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    """A port on which a server may listen now, though somebody else may be faster."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _draft(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """The data in a file beside `path`, on disk; gone at the end if it was not moved."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)
