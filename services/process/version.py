"""Who this is, as it tells others."""

from __future__ import annotations

import functools
from importlib import metadata

NAME = "metamcp-orchestrator"
SHORT = "metamcp"
"""What servers know it by."""
TITLE = "MetaMCP Orchestrator"


@functools.cache
def version() -> str:
    """The installed package's version."""
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return "0"
