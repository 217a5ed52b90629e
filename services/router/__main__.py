"""Starts a router as a process of its own."""

from __future__ import annotations

import sys

from services import process
from services.router.service import serve
from services.router.settings import Settings

if __name__ == "__main__":
    sys.exit(process.start(serve, "router", Settings))
