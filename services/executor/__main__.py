"""Starts an executor as a process of its own."""

from __future__ import annotations

import sys

from services.executor.service import serve
from services.executor.settings import Settings
from services.process import run

if __name__ == "__main__":
    sys.exit(run.start(serve, "executor", Settings))
