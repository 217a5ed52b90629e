"""A Node that runs the console's modules: of this machine, else the one that npm's clients get."""

from __future__ import annotations

import functools
import shutil
import subprocess

import pytest

from tests.support.foreign import install

OLDEST = 20


@functools.cache
def node() -> str:
    """Its path; where there is none, the test is skipped."""
    if (found := shutil.which("node")) and _major(found) >= OLDEST:
        return found
    try:
        return str(install.node_home() / "bin" / "node")
    except install.NotToBeHad as error:
        pytest.skip(f"the console's modules were not run: {error}")


def _major(path: str) -> int:
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return int(told.lstrip("v").partition(".")[0] or 0)
