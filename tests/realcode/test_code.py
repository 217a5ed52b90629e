"""Both jobs of code-mcp on files of real packages: all succeed or say truly why not.

Python is compared with `ast` and with lizard run by hand, name by name and number by number.
"""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.registry.builtin import sources
from services.registry.builtin.code import files, matching
from services.registry.builtin.code.workers import Declined, Lost, Workers
from services.registry.builtin.sources import SourceText
from tests.realcode.corpus import copied
from tests.support.code_engine import built

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
LIZARD = """
import json, sys, lizard
for line in sys.stdin:
    path = line.rstrip("\\n")
    found = lizard.analyze_file(path).function_list
    print(json.dumps([[f.name, f.start_line, f.cyclomatic_complexity] for f in found]))
"""
"""Run by the engine's own Python, for the same lizard."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the files, by language, with the small ones of our own."""
    made = tmp_path_factory.mktemp("realcode")
    copied(made)
    return made


class Found:
    """What was told of each file by both jobs."""

    def __init__(self) -> None:
        self.analyzed: dict[str, dict[str, Any]] = {}
        self.trees: dict[str, dict[str, Any] | str] = {}


@pytest.fixture(scope="module")
def found(engine: Path, folder: Path) -> Found:
    return asyncio.run(_all(engine, folder))


async def _all(engine: Path, folder: Path) -> Found:
    workers, found = Workers(engine / "bin" / "python"), Found()

    async def work(source: SourceText) -> None:
        found.analyzed[source.path] = await files.analyzed(workers, source)
        found.trees[source.path] = await _tree(workers, source)

    names = sources.names_in(folder, 10_000)
    await files.each(workers, folder, names, work, matching.silent)
    await workers.close()
    return found


async def _tree(workers: Workers, source: SourceText) -> dict[str, Any] | str:
    if source.problem is not None:
        return source.problem
    wanted: dict[str, Any] = {"max_depth": None}
    try:
        return await workers.ask(
            "parse",
            path=source.path,
            text=source.text,
            language=source.language,
            wanted=wanted,
            node_types=[],
        )
    except (Declined, Lost) as error:
        return str(error)


def test_every_file_is_analysed_or_says_truly_why_not(found: Found, folder: Path) -> None:
    told = found.analyzed
    assert len(told) >= 300
    counts = Counter(one["status"] for one in told.values())
    languages = Counter(one["language"] for one in told.values() if one["status"] == "analyzed")
    print(f"{len(told)} files: {dict(counts)}; {dict(sorted(languages.items(), key=str))}")
    assert counts["failed"] == 0
    for path, one in told.items():
        data = (folder / path).read_bytes()
        if one["status"] == "not_analyzed":
            assert one["reason"] in ("binary", "not_decodable"), one
            assert b"\0" in data or not data.isascii(), path
        elif "symbols" not in one:
            assert one["remarks"], path
        else:
            assert one["lines"]["total"] == len(_lines(data, one["encoding"])), path
            kinds = [one["lines"].get(kind, 0) for kind in ("code", "comment", "blank")]
            assert sum(kinds) == one["lines"]["total"], path


def _lines(data: bytes, encoding: str) -> list[str]:
    lines = data.decode(encoding, "replace").split("\n")
    return lines if lines[-1] else lines[:-1]


def test_every_file_with_a_grammar_has_a_tree(found: Found) -> None:
    trees = {path: tree for path, tree in found.trees.items() if isinstance(tree, dict)}
    whole = sum(tree["complete"] for tree in trees.values())
    print(f"{len(trees)} trees of {len(found.trees)} files, {whole} of them whole")
    for path, tree in found.trees.items():
        if isinstance(tree, str):
            assert found.analyzed[path]["status"] == "not_analyzed" or "no grammar" in tree, tree
        elif not tree["complete"]:
            assert "Ask for" in tree["remarks"][0]["message"], path


def test_errors_are_told_only_where_the_text_can_not_be_parsed(found: Found) -> None:
    # CSS of the wild has hacks for old browsers, which no grammar takes.
    strict = {"json", "toml", "markdown"}
    wrong = {
        path: one["errors"][0]
        for path, one in found.analyzed.items()
        if one["language"] in strict and one.get("errors") and not path.startswith("json/")
    }
    assert wrong == {}
    for path, one in found.analyzed.items():
        if one["language"] == "json" and one.get("errors"):
            text = (path, one["errors"][0]["message"])
            assert "json" in path, text


def python_files(found: Found, folder: Path) -> dict[str, ast.Module]:
    trees = {}
    for path, one in found.analyzed.items():
        if one["language"] == "python" and "symbols" in one:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    text = (folder / path).read_bytes().decode(one["encoding"], "replace")
                    trees[path] = ast.parse(text)
                except (SyntaxError, ValueError):
                    assert one["errors"], path
    return trees


class Definitions(ast.NodeVisitor):
    """Classes and functions with what they stand in, as `ast` has them."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.found: list[tuple[str, str, int, int | None]] = []

    def _enter(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.found.append((".".join(self.path), node.name, node.lineno, node.end_lineno))
        self.path.append(node.name)
        self.generic_visit(node)
        self.path.pop()

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _enter


def imported(tree: ast.Module) -> list[tuple[int, str, tuple[tuple[str, str | None], ...]]]:
    """Every name of every import of a file."""
    told = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            told += [(node.lineno, one.name, (("", one.asname),)) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple((one.name, one.asname) for one in node.names)
            told.append((node.lineno, "." * node.level + (node.module or ""), names))
    return sorted(told, key=str)


def as_told(one: dict[str, Any]) -> tuple[int, str, tuple[tuple[str, str | None], ...]]:
    """An import of an answer in the form of `imported`."""
    if one.get("star"):
        return one["line"], one["module"], (("*", None),)
    if "names" in one:
        names = tuple((name["name"], name.get("alias")) for name in one["names"])
        return one["line"], one["module"], names
    return one["line"], one["module"], (("", one.get("alias")),)


def test_python_is_what_ast_says(found: Found, folder: Path) -> None:
    trees = python_files(found, folder)
    names = imports = relative = 0
    for path, tree in trees.items():
        one = found.analyzed[path]
        visitor = Definitions()
        visitor.visit(tree)
        told = [
            (symbol.get("parent", ""), symbol["name"], symbol["range"]["start"]["line"],
             symbol["range"]["end"]["line"])
            for symbol in one["symbols"]
            if symbol["kind"] in ("class", "function", "method")
        ]  # fmt: skip
        assert told == visitor.found, path
        functions = [(each["name"], each["line"], each["end_line"]) for each in one["functions"]]
        kinds = {"function", "method"}
        assert functions == [
            (each["name"], each["range"]["start"]["line"], each["range"]["end"]["line"])
            for each in one["symbols"]
            if each["kind"] in kinds
        ], path
        expected = imported(tree)
        # `import a as a` says no more than `import a`.
        plain = [
            (line, module, tuple((name, None if alias == (name or module) else alias)
                                 for name, alias in given))
            for line, module, given in expected
        ]  # fmt: skip
        assert sorted(map(as_told, one["imports"]), key=str) == sorted(plain, key=str), path
        names, imports = names + len(told), imports + len(expected)
        relative += sum(module.startswith(".") for _, module, _ in expected)
    print(f"{len(trees)} Python files: {names} names, {imports} imports, {relative} relative")
    assert min(len(trees), names, imports, relative) > 50


def test_python_complexity_is_lizards(found: Found, folder: Path, engine: Path) -> None:
    trees = python_files(found, folder)
    paths = [path for path in trees if path.endswith(".py")]
    run = subprocess.run(
        [str(engine / "bin" / "python"), "-c", LIZARD],
        input="".join(f"{folder / path}\n" for path in paths),
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
    )
    same = beyond = 0
    for path, line in zip(paths, run.stdout.splitlines(), strict=True):
        by_hand: dict[tuple[str, int], int] = {
            (name.rpartition(".")[2], first): number for name, first, number in json.loads(line)
        }
        told = found.analyzed[path]["functions"]
        for one in told:
            number = by_hand.get((one["name"], one["line"]))
            assert ("complexity_by" in one) == (number is None), (path, one)
            assert number in (None, one["complexity"]), (path, one)
            same, beyond = same + (number is not None), beyond + (number is None)
    print(f"complexity: {same} functions as lizard has them, {beyond} that lizard does not see")
    assert same > 500
    assert beyond < same / 5
