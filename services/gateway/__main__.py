"""`python -m services.gateway`: the gateway as a process of its own."""

from __future__ import annotations

from services.gateway.service import serve
from services.gateway.settings import Settings
from services.process import run

if __name__ == "__main__":
    run.leave(run.start(serve, "gateway", Settings))
