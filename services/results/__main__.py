"""Run the results service as a process of its own: `python -m services.results`."""

from __future__ import annotations

import sys

from services.process.run import start
from services.results.service import NAME, serve
from services.results.settings import Settings

if __name__ == "__main__":
    sys.exit(start(serve, NAME, Settings))
