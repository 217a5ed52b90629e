"""`python -m services.gateway`: the gateway as a process of its own."""

from __future__ import annotations

import sys

from services.gateway.service import serve
from services.gateway.settings import Settings
from services.process import run

if __name__ == "__main__":
    sys.exit(run.start(serve, "gateway", Settings))
