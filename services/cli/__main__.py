"""`python -m services.cli`: the command line where `metamcp` is not installed."""

from __future__ import annotations

from services.cli.app import main

main()
