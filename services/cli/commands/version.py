"""The command version."""

from __future__ import annotations

from importlib import metadata

from rich.text import Text

from services.cli.common import NO_OPTIONS, Exit, Options

PACKAGE = "metamcp-orchestrator"


def version(*, options: Options = NO_OPTIONS) -> int:
    """Print the version."""
    options.out.show({"version": installed()}, Text(installed()))
    return Exit.OK


def installed() -> str:
    """The version that is installed; 0: none is."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "0"
