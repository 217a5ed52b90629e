"""Starts an executor as a process of its own."""

from __future__ import annotations

import sys

from services import process
from services.executor.service import serve
from services.executor.settings import Settings

if __name__ == "__main__":
    sys.exit(process.start(serve, "executor", Settings))
