"""The MCP server of the built-in host semgrep-mcp: semgrep's own engine, with rules that are here.

semgrep's own `semgrep mcp` does not start without a network and runs one scan at a time; this one
needs the network for its installation only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from services.registry.builtin import pinned
from services.registry.builtin.security import report
from services.registry.builtin.security.engine import MOST_FILES, Engine, ScanFailed

MOST_RULE = 256 * 1024
PLANTED = "import os\n\n\ndef run(name):\n    os.system('ls ' + name)\n"
"""What `check` scans, and the rule it has to break."""
PLANTED_RULE = "python-os-system"
READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
# The engine leaves such a rule out without a word, and the code would look clean.
_JOIN = re.compile(r"^\s*-?\s*mode\s*:\s*['\"]?join", re.MULTILINE)

Shape = Callable[[Mapping[str, Any], Sequence[str]], dict[str, Any]]


class Scanner:
    """The tools: what they take, and what they answer."""

    def __init__(self, engine: Engine, rules: Path) -> None:
        """`rules`: folder with the rules for those who bring none."""
        self._engine = engine
        self._rules = rules

    async def scan(self, folder: str, rule: str | None = None) -> dict[str, Any]:
        """Scan all files of a folder and list every finding: file, line, rule, severity, message.

        `rule`: a semgrep rule in YAML; without one, the rules that come with this server.
        """
        return await self._report(folder, rule, report.scan)

    async def analyze(self, folder: str, rule: str | None = None) -> dict[str, Any]:
        """Scan all files of a folder and group the serious findings by weakness (CWE).

        `rule`: a semgrep rule in YAML; without one, the rules that come with this server.
        """
        return await self._report(folder, rule, report.analysis)

    async def check(self) -> dict[str, Any]:
        """Scan a planted weakness with all rules that come with this server, and find it."""
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="semgrep-") as own:
            _written(PLANTED, Path(own, "planted.py"))
            answer = await self.scan(own)
        if PLANTED_RULE not in {one["rule"] for one in answer["findings"]}:
            raise ToolError("semgrep runs, and did not find the weakness it was shown")
        return {"ok": True, "ms": round((time.perf_counter() - started) * 1000)}

    async def get_supported_languages(self) -> list[str]:
        """The languages that a rule can be for."""
        try:
            return await self._engine.languages()
        except ScanFailed as failed:
            raise ToolError(str(failed)) from None

    async def _report(self, folder: str, rule: str | None, shape: Shape) -> dict[str, Any]:
        files = await asyncio.to_thread(files_in, Path(folder))
        with tempfile.TemporaryDirectory(prefix="semgrep-") as own:
            rules = self._rules
            if rule is not None:
                rules = _written(_checked(rule), Path(own, "rule.yaml"))
            try:
                raw = await self._engine.scan(Path(folder), files, rules)
            except ScanFailed as failed:
                raise ToolError(str(failed)) from None
        return shape(raw, files)


def files_in(folder: Path) -> list[str]:
    """The names of all files in a folder, no link followed. Raises ToolError."""
    found: list[str] = []
    for root, _, names in os.walk(folder):
        found += [str(Path(root, name).relative_to(folder)) for name in names]
        if len(found) > MOST_FILES:
            raise ToolError(f"there are more than {MOST_FILES} files: scan a part of them")
    if not (files := sorted(name for name in found if not (folder / name).is_symlink())):
        raise ToolError("there are no files: give them in `files`, name to text")
    return files


def _checked(rule: str) -> str:
    if len(rule) > MOST_RULE:
        raise ToolError(f"the rule has {len(rule)} characters; {MOST_RULE} are allowed")
    if _JOIN.search(rule):
        raise ToolError("rules with `mode: join` can't be used here")
    return rule


def _written(text: str, path: Path) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def server(scanner: Scanner) -> MCPServer:
    """The MCP server that offers the scanner's tools."""
    made = MCPServer("semgrep", version="1.0.0", log_level="WARNING")
    for tool in (scanner.scan, scanner.analyze, scanner.check, scanner.get_supported_languages):
        made.add_tool(tool, annotations=READ_ONLY)
    return made


def main(argv: Sequence[str]) -> None:
    """Build semgrep's environment unless it stands, then serve on stdin and stdout."""
    parser = argparse.ArgumentParser(prog="security.server", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder for environments")
    parser.add_argument("--pins", type=Path, required=True, help="requirements with hashes")
    parser.add_argument("--rules", type=Path, required=True, help="folder with the rules")
    options = parser.parse_args(argv)
    try:
        folder = pinned.environment(options.home.absolute(), options.pins)
    except (pinned.BuildFailed, OSError) as error:
        sys.exit(f"semgrep can't be installed: {error}")
    server(Scanner(Engine(folder / "bin"), options.rules)).run("stdio")


if __name__ == "__main__":
    main(sys.argv[1:])
