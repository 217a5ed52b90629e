"""Python by its own `ast`, which is right by definition; the tree is for what `ast` can't read.

What `ast` of this Python can't read may still be right in a newer or older one.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from services.registry.builtin.code.engine import complexity, imports
from services.registry.builtin.code.engine.complexity import Measured
from services.registry.builtin.code.engine.definitions.scripts import kind_of_name
from services.registry.builtin.code.engine.grammars import SyntaxTree
from services.registry.builtin.code.engine.symbols import signature

_BREAK = re.compile(r"\r\n|\r|\n")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """What one file defines and imports, each list in the order of the text."""

    symbols: list[dict[str, Any]]
    imports: list[dict[str, Any]]
    functions: list[dict[str, Any]]


def parse(text: str) -> ast.Module:
    """The file's tree. Raises SyntaxError, ValueError, RecursionError and MemoryError."""
    with warnings.catch_warnings():
        # Of escapes in strings, say: it is not our code.
        warnings.simplefilter("ignore")
        return ast.parse(text)


def read(parsed: SyntaxTree, text: str, tree: ast.Module, seen: Iterable[Measured]) -> Module:
    """Definitions, imports and functions of a file that `ast` can read."""
    places = _Places(text)
    heads = {node.start_point[0] + 1: node for node in parsed.found(*_HEADS)}
    known = {(complexity.last(one.name), one.line): one.complexity for one in seen}
    defined = [node for node in heads.values() if node.type == "function_definition"]
    numbers = dict(zip(defined, complexity.counted(parsed, defined), strict=True))
    found = Module([], [], [])
    for one in _walk(tree):
        node, parent = one.node, one.path
        found.imports.extend(_imports(node))
        for name, kind in _names(one):
            told: dict[str, Any] = {"name": name, "kind": kind, "range": places.range(node)}
            told |= {"parent": parent} if parent else {}
            if isinstance(node, ast.ClassDef | _Function):
                head = heads.get(node.lineno)
                told["signature"] = signature(head) if head is not None else _unparsed(node)
            found.symbols.append(told)
            if isinstance(node, _Function):
                by_lizard = known.get((name, node.lineno))
                by_tree = numbers.get(heads.get(node.lineno), 1)
                number = complexity.measured(by_lizard, by_tree)
                found.functions.append(_function(node, parent) | number)
    return found


_HEADS = ("function_definition", "class_definition")


class _Statement(NamedTuple):
    node: ast.AST
    around: ast.AST
    """The class, function or module it stands in."""
    direct: bool
    """Whether nothing else is between them, such as an `if`."""
    path: str


def _walk(tree: ast.Module) -> Iterator[_Statement]:
    """Every statement in the order of the text.

    Without recursion: a chain of a thousand `elif` is as deep as it is long.
    """
    waiting = [_Statement(one, tree, True, "") for one in reversed(tree.body)]
    while waiting:
        one = waiting.pop()
        yield one
        node, around, direct, path = one.node, one.around, False, one.path
        if isinstance(node, ast.ClassDef | _Function):
            around, direct, path = node, True, ".".join(filter(None, (path, node.name)))
        below = [each for each in ast.iter_child_nodes(node) if isinstance(each, _STATEMENTS)]
        waiting += [_Statement(each, around, direct, path) for each in reversed(below)]


_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)


def _names(one: _Statement) -> Iterator[tuple[str, str]]:
    node, in_class = one.node, isinstance(one.around, ast.ClassDef)
    if isinstance(node, ast.ClassDef):
        yield node.name, "class"
    elif isinstance(node, _Function):
        yield node.name, "method" if in_class else "function"
    elif one.direct and (in_class or isinstance(one.around, ast.Module)):
        for name in _assigned(node):
            yield name, "field" if in_class else kind_of_name(name)
        if type(node).__name__ == "TypeAlias":
            yield node.name.id, "type"  # type: ignore[attr-defined]


def _assigned(node: ast.AST) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = list(node.targets)
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        given = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        yield from (one.id for one in given if isinstance(one, ast.Name))


def _imports(node: ast.AST) -> Iterator[dict[str, Any]]:
    if isinstance(node, ast.Import):
        for one in node.names:
            yield {**imports.module(one.name, alias=one.asname or ""), "line": node.lineno}
    elif isinstance(node, ast.ImportFrom):
        star = [one.name for one in node.names] == ["*"]
        names = [] if star else [imports.name(one.name, one.asname or "") for one in node.names]
        path = "." * node.level + (node.module or "")
        told = imports.module(path, star=star, names=names, level=node.level)
        yield {**told, "line": node.lineno}


def _function(node: _Function, parent: str) -> dict[str, Any]:
    given = node.args
    count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
    return {
        "name": node.name,
        **({"parent": parent} if parent else {}),
        "line": node.lineno,
        "end_line": node.end_lineno,
        "parameters": count + (given.vararg is not None) + (given.kwarg is not None),
    }


def _unparsed(node: ast.ClassDef | _Function) -> str:
    head = ast.parse("class A: pass").body[0] if isinstance(node, ast.ClassDef) else None
    if isinstance(head, ast.ClassDef) and isinstance(node, ast.ClassDef):
        bases = [ast.unparse(one) for one in (*node.bases, *node.keywords)]
        return f"class {node.name}" + (f"({', '.join(bases)})" if bases else "")
    assert isinstance(node, _Function)
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    result = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"{word} {node.name}({ast.unparse(node.args)}){result}"


class _Places:
    """Lines and columns in characters; `ast` counts columns in bytes."""

    def __init__(self, text: str) -> None:
        self._lines = [] if text.isascii() else _BREAK.split(text)

    def range(self, node: ast.AST) -> dict[str, dict[str, int]]:
        assert isinstance(node, ast.stmt)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return {
            "start": self._place(node.lineno, node.col_offset),
            "end": self._place(node.end_lineno, node.end_col_offset),
        }

    def _place(self, line: int, offset: int) -> dict[str, int]:
        if self._lines and line <= len(self._lines):
            before = self._lines[line - 1].encode("utf-8", "replace")[:offset]
            offset = len(before.decode("utf-8", "replace"))
        return {"line": line, "column": offset + 1}
