"""Run the registry as a process of its own: `python -m services.registry`."""

from __future__ import annotations

from services.process.run import leave, start
from services.registry.service import NAME, serve
from services.registry.settings import Settings

if __name__ == "__main__":
    leave(start(serve, NAME, Settings))
