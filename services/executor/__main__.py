"""Starts an executor as a process of its own."""

from __future__ import annotations

from services.executor.service import serve
from services.executor.settings import Settings
from services.process import run

if __name__ == "__main__":
    run.leave(run.start(serve, "executor", Settings))
