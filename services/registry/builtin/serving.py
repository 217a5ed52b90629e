"""What the built-in servers of ours have in common: marks of tools, answers, temporary files."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcp_types import CallToolResult, TextContent, ToolAnnotations

READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

_PREFIX = "call-"
_STALE_S = 3600.0
"""No call takes as long: what is older was left behind."""


def answer(structured: dict[str, Any], text: str) -> CallToolResult:
    """A tool's answer: the data once, and one short line for who reads text only.

    Left to itself the SDK writes the data twice, as JSON in a text as well.
    """
    content = [TextContent(type="text", text=text)]
    return CallToolResult(content=list(content), structured_content=structured)


def scratch(home: Path) -> None:
    """Have the folders of this process's calls made in this one.

    A server that was killed left those of its calls, with users' files in them: they go.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in home.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)
    tempfile.tempdir = str(home)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """An empty folder for one call, and for nobody else."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as own:
        yield Path(own)
