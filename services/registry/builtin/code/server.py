"""The MCP server of the built-in host code-mcp: what source files are made of, and search in them.

It reads the files; parsers and the other engines work in processes of an environment of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult

from services.registry.builtin import pinned, serving, sources
from services.registry.builtin.code import files, matching, report
from services.registry.builtin.code.inside import Outside, name_in
from services.registry.builtin.code.workers import Declined, Lost, Workers
from services.registry.builtin.sources import SourceText, TooMany

PLANTED = "import os\n\n\nclass Shop:\n    def open(self, x):\n        return x and os.name\n"
"""What `check` takes apart, and what it has to find there."""


class Analyst:
    """The tools: what they take, and what they answer."""

    def __init__(self, workers: Workers) -> None:
        """`workers`: the engine's processes."""
        self._workers = workers

    async def close(self) -> None:
        """End the engine's processes."""
        await self._workers.close()

    async def analyze(
        self, folder: str, ctx: Context[Any, Any], path: str | None = None
    ) -> CallToolResult:
        """Tell what files are made of: lines, symbols, imports, functions, complexity, errors.

        `path`: one file of the folder; without it all files, each and in sums.
        """
        place = Path(folder)
        if path is not None:
            told = await files.analyzed(self._workers, await _source(place, path))
            return serving.answer(told, _line(told))
        return await self._all(place, ctx)

    async def _all(self, place: Path, ctx: Context[Any, Any]) -> CallToolResult:
        found: list[dict[str, Any]] = []
        left = files.MOST_BYTES

        async def work(source: SourceText) -> None:
            nonlocal left
            left -= source.size
            if left < 0:
                message = f"all files together have more than {files.MOST_BYTES >> 20} MiB"
                told = files.header(source, "not_analyzed")
                found.append(told | {"reason": "too_much", "message": message})
            else:
                found.append(await files.analyzed(self._workers, source))

        names = await asyncio.to_thread(_names, place)
        await files.each(self._workers, place, names, work, ctx.report_progress)
        answer = await asyncio.to_thread(report.folder, found)
        return serving.answer(answer, report.headline(answer))

    async def parse(
        self,
        folder: str,
        path: str,
        max_depth: int | None = None,
        start_line: int | None = None,
        end_line: int | None = None,
        node_types: list[str] | None = None,
        named_only: bool = True,
        include_text: bool = False,
    ) -> CallToolResult:
        """Give the syntax tree of one file, or a part of it.

        Without `max_depth` it is as deep as fits; with one that is too big it is refused, and the
        message says how big and what to ask instead. `start_line` and `end_line` leave out what is
        elsewhere, `node_types` all but nodes of these types and what is in them, `named_only`
        (true) signs and keywords; `include_text` adds the source text of leaves. A `range` is
        [line, column, line, column].
        """
        source = await _source(Path(folder), path)
        _readable(source)
        wanted = {
            "max_depth": max_depth,
            "start_line": start_line,
            "end_line": end_line,
            "named_only": named_only,
            "include_text": include_text,
        }
        try:
            told = await self._workers.ask(
                "parse",
                path=source.path,
                text=source.text,
                language=source.language,
                wanted=wanted,
                node_types=node_types or [],
            )
        except (Declined, Lost) as error:
            raise ToolError(f"{source.path}: {error}") from None
        answer = {"path": source.path, "encoding": source.encoding, **told}
        return serving.answer(answer, f"{told['nodes']:,} of {told['all_nodes']:,} nodes")

    async def search(
        self,
        folder: str,
        pattern: str,
        ctx: Context[Any, Any],
        language: str | None = None,
        path: str | None = None,
        max_matches: int = 1000,
        context: int = 0,
    ) -> CallToolResult:
        """Find code by its structure, as ast-grep does: `$NAME` is any one node, `$$$NAME` many.

        `language`: only files of this language; without it each file in its own. `path`: one file
        of the folder. `context`: lines before and after each match, up to 10.
        """
        place = Path(folder)
        names = [_inside(place, path)] if path is not None else await asyncio.to_thread(
            _names, place
        )  # fmt: skip
        asked = matching.PatternSearch(pattern, language, max_matches, context, path is not None)
        try:
            found = await matching.search(self._workers, place, names, asked, ctx.report_progress)
        except (Declined, Lost) as error:
            raise ToolError(str(error)) from None
        some = f"{len(found['matches']):,} matches in {found['files_searched']:,} files"
        return serving.answer(found, some)

    async def languages(self) -> CallToolResult:
        """List the languages that are analysed, and what is told of each."""
        try:
            told = await self._workers.ask("languages")
        except Lost as lost:
            raise ToolError(str(lost)) from None
        return serving.answer(told, ", ".join(one["name"] for one in told["languages"]))

    async def check(self) -> CallToolResult:
        """Take a planted piece of code apart with every engine, and find what is in it."""
        started = time.perf_counter()
        with serving.folder() as own:
            source = await asyncio.to_thread(_planted, own)
            told = await files.analyzed(self._workers, source)
            asked = matching.PatternSearch("$A and $B", None, 10, 0, False)
            found = await matching.search(
                self._workers, own, ["planted.py"], asked, matching.silent
            )
        numbers = [(one["name"], one["complexity"]) for one in told.get("functions", ())]
        if numbers != [("open", 2)] or len(found["matches"]) != 1:
            raise ToolError(f"the engine does not find what it was shown: {told}"[:1000])
        ms = round((time.perf_counter() - started) * 1000)
        return serving.answer({"ok": True, "ms": ms}, "the engine works")


def _planted(folder: Path) -> SourceText:
    (folder / "planted.py").write_text(PLANTED, encoding="utf-8")
    return files.read(folder, "planted.py")


def _names(folder: Path) -> list[str]:
    try:
        names = sources.names_in(folder, files.MOST_FILES)
    except TooMany as error:
        raise ToolError(str(error)) from None
    if not names:
        raise ToolError("there are no files: give them in `files`, name to text, or as `archive`")
    return names


def _inside(folder: Path, path: str) -> str:
    try:
        return name_in(folder, path)
    except Outside as error:
        raise ToolError(str(error)) from None


async def _source(folder: Path, path: str) -> SourceText:
    name = await asyncio.to_thread(_inside, folder, path)
    return await asyncio.to_thread(files.read, folder, name)


def _readable(source: SourceText) -> None:
    if source.problem is not None:
        raise ToolError(f"{source.path} can't be parsed, {source.problem}: {source.detail}")


def _line(told: dict[str, Any]) -> str:
    if told["status"] != "analyzed":
        return f"{told['path']}: {told['status']}, {told['reason']}: {told['message']}"
    parts = [f"{len(told[name]):,} {name}" for name in ("symbols", "functions") if name in told]
    return ", ".join([f"{told['path']}: {told['language']}", *parts])


def server(analyst: Analyst) -> MCPServer[None]:
    """The MCP server that offers the analyst's tools."""

    @contextlib.asynccontextmanager
    async def lifespan(_: MCPServer[None]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await analyst.close()

    made = MCPServer("code", version="1.0.0", log_level="WARNING", lifespan=lifespan)
    tools = (analyst.analyze, analyst.parse, analyst.search, analyst.languages, analyst.check)
    for tool in tools:
        made.add_tool(tool, annotations=serving.READ_ONLY)
    return made


def main(argv: Sequence[str]) -> None:
    """Build the engine's environment unless it stands, then serve on stdin and stdout."""
    parser = argparse.ArgumentParser(prog="server.py", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder for environments")
    parser.add_argument("--pins", type=Path, required=True, help="requirements with hashes")
    options = parser.parse_args(argv)
    home = options.home.absolute()
    try:
        serving.scratch(home / "scratch")
        folder = pinned.environment(home, options.pins)
    except (pinned.BuildFailed, OSError) as error:
        sys.exit(f"the engine can't be installed: {error}")
    server(Analyst(Workers(folder / "bin" / "python"))).run("stdio")


if __name__ == "__main__":
    main(sys.argv[1:])
