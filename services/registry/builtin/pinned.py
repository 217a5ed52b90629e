"""Run a Python MCP server in its own environment, built once from pinned, hash-checked packages.

A script without imports of ours, started in place of the server: it becomes the server (exec).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

READY = ".ready"
HINT = "Is the package index reachable? It is needed the first time only."


class BuildFailed(Exception):
    """The environment could not be made; the message says why."""


def main(argv: Sequence[str]) -> NoReturn:
    """Build the environment unless it stands, then become the server. Exits with 1 on failure."""
    parser = argparse.ArgumentParser(prog="pinned.py", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder for environments")
    parser.add_argument("--pins", type=Path, required=True, help="requirements with hashes")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- PROGRAM ARGUMENTS")
    options = parser.parse_args(argv)
    program, *arguments = options.command[1:]
    try:
        folder = environment(options.home.absolute(), options.pins)
    except (BuildFailed, OSError) as error:
        sys.exit(f"{program} can't be installed: {error}")
    path = folder / "bin" / program
    os.execv(path, [str(path), *arguments])


def environment(home: Path, pins: Path) -> Path:
    """Return the folder of the environment for these pins and this Python; make it if need be."""
    folder = place(home, pins)
    if not (folder / READY).exists():
        home.mkdir(parents=True, exist_ok=True)
        with locked(_lock(folder)):
            if not (folder / READY).exists():
                _build(folder, pins)
    return folder


def place(home: Path, pins: Path) -> Path:
    """Return the folder that an environment for these pins and this Python has, or would have."""
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return home / f"{pins.stem}-{digest}"


def state(folder: Path) -> str:
    """Tell how far the environment is: `ready`, `installing` or `absent`."""
    if (folder / READY).exists():
        return "ready"
    try:
        with _lock(folder).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "installing"
    except FileNotFoundError:
        pass
    return "absent"


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Registry and executor start the same server at the same time: one of them builds."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(folder: Path, pins: Path) -> None:
    uv = _uv()
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
    install = [uv, "pip", "install", "--quiet", "--require-hashes", "--requirements", str(pins)]
    install += ["--python", str(folder / "bin" / "python")]
    try:
        # What uv has cached needs no network, however old it is; without this it would ask.
        _run([*install, "--offline"])
    except BuildFailed:
        # The certificates this machine trusts, as pip does.
        _run([*install, "--system-certs"])
    (folder / READY).touch()


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise BuildFailed("uv was not found. Install it: `pip install uv`.")
    return found


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildFailed(f"`{Path(command[0]).name} {command[1]}`: {done.stderr.strip()} {HINT}")


if __name__ == "__main__":
    main(sys.argv[1:])
