"""`python -m services.gateway`: the gateway as a process of its own."""

from __future__ import annotations

import sys

from services import process
from services.gateway.service import serve
from services.gateway.settings import Settings

if __name__ == "__main__":
    sys.exit(process.start(serve, "gateway", Settings))
