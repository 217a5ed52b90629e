"""Install the clients of others once, in exact versions, into a folder beside this Python.

`package-lock.json` is of `npm install --package-lock-only --omit-lockfile-registry-resolved`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from services.registry.builtin import pinned

HERE = Path(__file__).parent
HOME = Path(sys.prefix) / "foreign"
READY = ".ready"
OLDEST_NODE = 20
NPM_CI = (
    *("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"),
)
NO_NETWORK = re.compile(
    "error sending request|code (EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ECONNRESET|ENETUNREACH"
    "|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT)"
)


class NotToBeHad(Exception):
    """This machine has no node, or does not reach the packages."""


def python(pins: str) -> Path:
    """The interpreter of an environment with the packages of a file here."""
    try:
        return pinned.environment(HOME, HERE / pins) / "bin" / "python"
    except pinned.BuildFailed as error:
        if NO_NETWORK.search(str(error)):
            raise NotToBeHad("the package index is not reachable") from error
        raise


def node() -> Path:
    """The folder that has the packages of `package-lock.json` in its `node_modules`."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise NotToBeHad("node and npm are not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip().lstrip("v").split(".")[0]) < OLDEST_NODE:
        raise NotToBeHad(f"node {version.stdout.strip()} is older than {OLDEST_NODE}")
    lock = HERE / "package-lock.json"
    folder = HOME / f"npm-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (folder / READY).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in (lock, HERE / "package.json"):
            shutil.copy(file, folder)
        done = subprocess.run(NPM_CI, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode and NO_NETWORK.search(done.stderr):
            raise NotToBeHad("the registry of npm is not reachable")
        assert done.returncode == 0, done.stderr
        (folder / READY).touch()
    # A module finds its packages from where it lies.
    shutil.copy(HERE / "sdk_agent.mjs", folder)
    return folder
