"""Hosts for tests: the little server, and programs that fail to be one."""

from __future__ import annotations

import sys
from pathlib import Path

from contracts.host import Host, Limits, Probe, Stdio
from tests.support.forked import command

LITTLE = Path(__file__).with_name("little_server.py")


class Mood:
    """What the little server reads before it acts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mood"

    def set(self, text: str) -> None:
        self.path.write_text(text)

    def clear(self) -> None:
        self.path.unlink()


def little(
    mood: Mood, *, name: str = "little", tool: str | None = "check", real: bool = False
) -> Host:
    """A host whose mood is the text of a file; `real`: started, and not forked for the test."""
    start = (sys.executable, str(LITTLE)) if real else command(str(LITTLE))
    return Host(
        id=name,
        name=name,
        endpoint=Stdio(start[0], (*start[1:], str(mood.path))),
        limits=Limits(start_s=30.0),
        probe=Probe(tool, {"word": "hello"} if tool else {}, interval_s=3600.0),
    )


def program(source: str, *, name: str = "odd", start_s: float = 30.0) -> Host:
    """A host that is a piece of Python and no MCP server."""
    return Host(
        id=name,
        name=name,
        endpoint=Stdio(sys.executable, ("-c", source)),
        limits=Limits(start_s=start_s),
        probe=Probe(interval_s=3600.0),
    )
