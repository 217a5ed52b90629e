"""A second wall around the server and every git it runs: Landlock, where the kernel has it.

Nothing outside the roots can be read, nothing can be written but temporary files, no program run
but git, no connection made; whatever the rest of this package may have overlooked.
"""

from __future__ import annotations

import ctypes
import glob
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""Numbers of the system calls, the same on every machine."""
_VERSION_FLAG, _BENEATH, _NO_NEW_PRIVS = 1, 1, 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15
_NETWORK_SINCE = 4
_ALL_NETWORK = 3
_LOADERS = ("/lib/ld-*", "/lib64/ld-*", "/lib/*/ld-*", "/usr/lib/ld-*")
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/nix/store", "/etc/ld.so.cache", "/etc/localtime")

Rule = tuple[str, int]


def enter(program: str, roots: Sequence[Path], home: Path) -> bool:
    """Shut this process in, for ever; False where that can't be, or git would not run inside.

    `home`: for temporary files. To be called before there are threads.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version_ = version(libc)
    if version_ < 1:
        return False
    rules = list(_rules(os.path.realpath(program), roots, str(home)))
    if not _runs_inside(libc, version_, rules, program):
        print("git does not run in a sandbox here: going on without one", file=sys.stderr)
        return False
    return _restricted(libc, version_, rules)


def _rules(program: str, roots: Sequence[Path], home: str) -> Iterator[Rule]:
    read = _READ_FILE | _READ_DIR
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, *_packages()}
    for path in (*_SYSTEM, *python, *(os.path.realpath(root) for root in roots)):
        yield path, read
    yield home, ~_EXECUTE
    yield os.devnull, _READ_FILE | _WRITE_FILE
    yield "/dev/urandom", _READ_FILE
    for path in (program, *(found for pattern in _LOADERS for found in glob.glob(pattern))):
        yield path, _EXECUTE | _READ_FILE


def _packages() -> Iterator[str]:
    """Where Python still may have to import from."""
    yield from (path for path in sys.path if os.path.basename(path) == "site-packages")
    for name in ("services", "contracts"):
        if (module := sys.modules.get(name)) is not None:
            yield from module.__path__


def version(libc: ctypes.CDLL) -> int:
    """Which Landlock the kernel has; less than 1: none."""
    if sys.platform != "linux":
        return 0
    return int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION_FLAG))


def _restricted(libc: ctypes.CDLL, known: int, rules: Sequence[Rule]) -> bool:
    files = _RIGHTS_BY_VERSION[max(one for one in _RIGHTS_BY_VERSION if one <= known)]
    handled = struct.pack("=Q", files)
    if known >= _NETWORK_SINCE:
        handled += struct.pack("=Q", _ALL_NETWORK)
    ruleset = libc.syscall(_CREATE, handled, ctypes.c_size_t(len(handled)), 0)
    if ruleset < 0:
        return False
    try:
        for path, rights in rules:
            _add(libc, ruleset, path, rights & files)
        done = libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        return done and bool(libc.syscall(_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _add(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """A path that is not there needs no rule."""
    try:
        opened = os.open(path, os.O_PATH)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _ON_FILES
        rule = struct.pack("=Qi", rights, opened)
        libc.syscall(_ADD, ruleset, _BENEATH, rule, 0)
    finally:
        os.close(opened)


def _runs_inside(libc: ctypes.CDLL, known: int, rules: Sequence[Rule], program: str) -> bool:
    child = os.fork()
    if child == 0:
        try:
            silent = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(silent, stream)
            if _restricted(libc, known, rules):
                os.execv(program, [program, "--version"])
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
