"""Run the results service as a process of its own: `python -m services.results`."""

from __future__ import annotations

from services.process.run import leave, start
from services.results.service import NAME, serve
from services.results.settings import Settings

if __name__ == "__main__":
    leave(start(serve, NAME, Settings))
