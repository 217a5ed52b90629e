"""The MCP server of the built-in host semgrep-mcp: engines of others and rules of ours, offline.

It needs the network for its installation only.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult

from contracts.sarif import sarif
from services.registry.builtin import pinned, serving
from services.registry.builtin.security import planted, report
from services.registry.builtin.security.engines.base import EngineFailed
from services.registry.builtin.security.engines.semgrep import Semgrep
from services.registry.builtin.security.scanner import BadScan, Scanner

MOST_RULE = 256 * 1024
# semgrep leaves such a rule out without a word, and the code would look clean.
_JOIN = re.compile(r"^\s*-?\s*mode\s*:\s*['\"]?join", re.MULTILINE)
_PROGRESS_S = 0.3
VERSION = "2.0.0"

Severity = Literal["ERROR", "WARNING", "INFO"]
Format = Literal["json", "sarif"]


class Tools:
    """The tools: what they take, and what they answer."""

    def __init__(self, environment: Path, rules: Path) -> None:
        """`rules`: folder with semgrep rules for those who bring none."""
        self._scanner = Scanner(environment, rules)
        self._semgrep = Semgrep(environment, rules)
        self._quick = Scanner(environment, planted.rules(rules))
        self._proven = False

    async def scan(
        self,
        ctx: Context[Any, Any],
        folder: str,
        rule: str | None = None,
        engines: list[str] | None = None,
        min_severity: Severity = "INFO",
        format: Format = "json",
    ) -> CallToolResult:
        """Scan all files of a folder with every engine and list every finding once.

        `rule`: a semgrep rule in YAML; then semgrep alone runs, with this rule. `engines`: only
        these. `format`: `sarif` answers with a SARIF 2.1.0 log.
        """
        answer = await self._scan(ctx, folder, rule, engines, min_severity)
        words = report.summary(answer)
        return serving.answer(sarif(answer, VERSION) if format == "sarif" else answer, words)

    async def analyze(
        self,
        ctx: Context[Any, Any],
        folder: str,
        rule: str | None = None,
        engines: list[str] | None = None,
    ) -> CallToolResult:
        """Scan all files of a folder and group the serious findings by weakness (CWE).

        The inputs are those of `scan`.
        """
        answer = report.analysis(await self._scan(ctx, folder, rule, engines, report.SERIOUS))
        return serving.answer(answer, report.summary(answer))

    async def check(self) -> dict[str, Any]:
        """Find planted weaknesses: the first time with every engine, then with semgrep's alone."""
        started = time.perf_counter()
        with serving.folder() as own:
            if not self._proven:
                await planted.prove(self._scanner, own / "all", planted.WEAKNESSES)
                self._proven = True
            else:
                await planted.prove(self._quick, own / "one", planted.ONE, ["semgrep"])
        return {"ok": True, "ms": round((time.perf_counter() - started) * 1000)}

    async def get_supported_languages(self) -> list[str]:
        """The languages that a semgrep rule can be for."""
        try:
            return await self._semgrep.languages()
        except EngineFailed as failed:
            raise ToolError(str(failed)) from None

    async def _scan(
        self,
        ctx: Context[Any, Any],
        folder: str,
        rule: str | None,
        engines: Sequence[str] | None,
        min_severity: str,
    ) -> dict[str, Any]:
        last = 0.0

        async def tell(done: int, total: int, words: str) -> None:
            nonlocal last
            if done == total or time.monotonic() - last > _PROGRESS_S:
                last = time.monotonic()
                await ctx.report_progress(done, total, words)

        with serving.folder() as own:
            brought = None if rule is None else _written(_checked(rule), own / "rule.yaml")
            try:
                return await self._scanner.scan(
                    Path(folder),
                    rule=brought,
                    engines=engines,
                    min_severity=min_severity,
                    progress=tell,
                )
            except BadScan as bad:
                raise ToolError(str(bad)) from None


def _checked(rule: str) -> str:
    if len(rule) > MOST_RULE:
        raise ToolError(f"the rule has {len(rule)} characters; {MOST_RULE} are allowed")
    if _JOIN.search(rule):
        raise ToolError("rules with `mode: join` can't be used here")
    return rule


def _written(text: str, path: Path) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def server(tools: Tools) -> MCPServer:
    """The MCP server that offers the tools."""
    made = MCPServer("security", version=VERSION, log_level="WARNING")
    for tool in (tools.scan, tools.analyze, tools.check, tools.get_supported_languages):
        made.add_tool(tool, annotations=serving.READ_ONLY)
    return made


def main(argv: Sequence[str]) -> None:
    """Build the engines' environment unless it stands, then serve on stdin and stdout."""
    parser = argparse.ArgumentParser(prog="security.server", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder for environments")
    parser.add_argument("--pins", type=Path, required=True, help="requirements with hashes")
    parser.add_argument("--rules", type=Path, required=True, help="folder with the rules")
    options = parser.parse_args(argv)
    home = options.home.absolute()
    try:
        serving.scratch(home / "scratch")
        folder = pinned.environment(home, options.pins)
    except (pinned.BuildFailed, OSError) as error:
        sys.exit(f"the engines can't be installed: {error}")
    server(Tools(folder, options.rules)).run("stdio")


if __name__ == "__main__":
    main(sys.argv[1:])
