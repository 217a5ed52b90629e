"""Starts a router as a process of its own."""

from __future__ import annotations

from services.process import run
from services.router.service import serve
from services.router.settings import Settings

if __name__ == "__main__":
    run.leave(run.start(serve, "router", Settings))
