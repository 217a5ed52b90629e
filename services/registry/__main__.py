"""Run the registry as a process of its own: `python -m services.registry`."""

from __future__ import annotations

import sys

from services.process.run import start
from services.registry.service import NAME, serve
from services.registry.settings import Settings

if __name__ == "__main__":
    sys.exit(start(serve, NAME, Settings))
