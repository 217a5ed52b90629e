"""Weaknesses to find, one for each engine: the proof that the scan server works."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from mcp.server.mcpserver.exceptions import ToolError

from services.registry.builtin.security.scanner import BadScan, Scanner

_PYTHON = "import os\n\n\ndef run(name):\n    os.system('ls ' + name)\n"
ONE = {"run.py": _PYTHON}
_RULE = "id: python-os-system\n"
WEAKNESSES = {
    "run.py": _PYTHON,
    # In two pieces: this file holds no secret itself.
    "keys.txt": "-----BEGIN RSA " + "PRIVATE KEY-----\n",
    "clean.sh": '#!/bin/sh\nrm -rf "$1/"*\n',
    "Dockerfile": "FROM debian:13\nUSER root\n",
    ".github/workflows/hello.yml": (
        "on: issues\njobs:\n  hello:\n    runs-on: ubuntu-latest\n    steps:\n"
        '      - run: echo "${{ github.event.issue.title }}"\n'
    ),
}


def rules(folder: Path) -> Path:
    """The file of the rules that finds `ONE`, so that the check takes no longer than it must."""
    files = sorted(folder.rglob("*.yaml"))
    return next((file for file in files if _RULE in file.read_text("utf-8")), folder)


async def prove(
    scanner: Scanner, folder: Path, files: Mapping[str, str], engines: Sequence[str] | None = None
) -> None:
    """Scan the files below `folder`; raises ToolError unless every engine finds something."""
    await asyncio.to_thread(plant, folder, files)
    try:
        answer = await scanner.scan(folder, engines=engines)
    except BadScan as bad:
        raise ToolError(str(bad)) from None
    found = {name for one in answer["findings"] for name in one["engines"]}
    for engine in answer["engines"]:
        if engine["name"] not in found:
            why = engine.get("problem", "it did not find the weakness it was shown")
            raise ToolError(f"{engine['name']} does not work: {why}")


def plant(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files below the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
