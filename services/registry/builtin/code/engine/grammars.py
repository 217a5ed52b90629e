# mypy: disable-error-code="import-not-found"
"""The grammars, each from the wheel of its own authors, and how a text becomes a tree."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import tree_sitter_bash
import tree_sitter_c
import tree_sitter_c_sharp
import tree_sitter_containerfile
import tree_sitter_cpp
import tree_sitter_css
import tree_sitter_elixir
import tree_sitter_go
import tree_sitter_haskell
import tree_sitter_html
import tree_sitter_java
import tree_sitter_javascript
import tree_sitter_json
import tree_sitter_kotlin
import tree_sitter_lua
import tree_sitter_make
import tree_sitter_markdown
import tree_sitter_php
import tree_sitter_python
import tree_sitter_ruby
import tree_sitter_rust
import tree_sitter_scala
import tree_sitter_scss
import tree_sitter_solidity
import tree_sitter_sql
import tree_sitter_swift
import tree_sitter_toml
import tree_sitter_typescript
import tree_sitter_xml
import tree_sitter_yaml
from tree_sitter import Language, Parser, Query, QueryCursor

Node: TypeAlias = Any
"""tree_sitter.Node, whose package the product's own environment has not."""
Tree: TypeAlias = Any

GRAMMARS: dict[str, Callable[[], Any]] = {
    "c": tree_sitter_c.language,
    "cpp": tree_sitter_cpp.language,
    "csharp": tree_sitter_c_sharp.language,
    "css": tree_sitter_css.language,
    "dockerfile": tree_sitter_containerfile.language,
    "elixir": tree_sitter_elixir.language,
    "go": tree_sitter_go.language,
    "haskell": tree_sitter_haskell.language,
    "html": tree_sitter_html.language,
    "java": tree_sitter_java.language,
    "javascript": tree_sitter_javascript.language,
    "json": tree_sitter_json.language,
    "jsx": tree_sitter_javascript.language,
    "kotlin": tree_sitter_kotlin.language,
    "lua": tree_sitter_lua.language,
    "make": tree_sitter_make.language,
    "markdown": tree_sitter_markdown.language,
    "php": tree_sitter_php.language_php,
    "python": tree_sitter_python.language,
    "ruby": tree_sitter_ruby.language,
    "rust": tree_sitter_rust.language,
    "scala": tree_sitter_scala.language,
    "scss": tree_sitter_scss.language,
    "shell": tree_sitter_bash.language,
    "solidity": tree_sitter_solidity.language,
    "sql": tree_sitter_sql.language,
    "swift": tree_sitter_swift.language,
    "toml": tree_sitter_toml.language,
    "tsx": tree_sitter_typescript.language_tsx,
    "typescript": tree_sitter_typescript.language_typescript,
    "xml": tree_sitter_xml.language_xml,
    "yaml": tree_sitter_yaml.language,
}


class SyntaxTree:
    """One text with its tree; places are told in lines and columns of characters, from 1."""

    def __init__(self, text: str, language: str) -> None:
        """Parse the text. Raises KeyError for a language without a grammar."""
        self.language = language
        self.data = text.encode("utf-8", "replace")
        self.tree: Tree = Parser(grammar(language)).parse(self.data)
        self._ascii = self.data.isascii()
        self._starts = [0]
        if not self._ascii:
            lengths = (len(line) + 1 for line in self.data.split(b"\n"))
            self._starts = list(itertools.accumulate(lengths, initial=0))

    @property
    def root(self) -> Node:
        """The tree's root."""
        return self.tree.root_node

    def place(self, point: Any) -> tuple[int, int]:
        """Line and column of a point of the tree."""
        row, column = point
        if not self._ascii:
            start = self._starts[row]
            column = len(self.data[start : start + column].decode("utf-8", "replace"))
        return row + 1, column + 1

    def range(self, node: Node) -> dict[str, dict[str, int]]:
        """Where a node is; the end is the first place behind it."""
        line, column = self.place(node.start_point)
        end_line, end_column = self.place(self._end(node))
        return {
            "start": {"line": line, "column": column},
            "end": {"line": end_line, "column": end_column},
        }

    def _end(self, node: Node) -> tuple[int, int]:
        """Some grammars take the line break behind a node into it."""
        row, column = node.end_point
        at = node.end_byte
        while column == 0 and row > node.start_point[0]:
            at -= 1
            row -= 1
            column = at - (self.data.rfind(b"\n", 0, at) + 1)
            if self.data[at - column : at].isspace():
                at, column = at - column, 0
        return row, column

    def found(self, *types: str) -> list[Node]:
        """All nodes of these types, in the order of the text; outer ones first."""
        query = query_for(self.language, types)
        if query is None:
            return []
        nodes = QueryCursor(query).captures(self.root).get("found", [])
        return sorted(nodes, key=lambda node: (node.start_byte, -node.end_byte))


@functools.cache
def grammar(language: str) -> Any:
    """The grammar of a language. Raises KeyError if there is none."""
    make = GRAMMARS[language]
    with warnings.catch_warnings():
        # Some wheels still give a number where a capsule is asked for.
        warnings.simplefilter("ignore", DeprecationWarning)
        return Language(make())


@functools.cache
def query_for(language: str, types: tuple[str, ...]) -> Any:
    """What finds nodes of these types; a word in quotes is a token. None: no such type there."""
    known = [name for name in types if has(language, name)]
    if not known:
        return None
    patterns = [name if name.startswith('"') else f"({name})" for name in known]
    return Query(grammar(language), f"[{' '.join(patterns)}] @found")


def has(language: str, type_: str) -> bool:
    """Whether the grammar has such a node."""
    if type_ in ("ERROR", "MISSING"):
        return True
    named = not type_.startswith('"')
    return grammar(language).id_for_node_kind(type_.strip('"'), named) is not None


def text(node: Node | None) -> str:
    """The source text of a node; empty without one."""
    return "" if node is None else node.text.decode("utf-8", "replace")


def child(node: Node, *types: str) -> Node | None:
    """The first child of one of these types."""
    return next((one for one in node.children if one.type in types), None)


def flat(words: str) -> str:
    """Text on one line."""
    return " ".join(words.split())


def inside(node: Node, transparent: Iterable[str]) -> str:
    """The type of what a node stands in, passing over these types."""
    outer = node.parent
    while outer is not None and outer.type in transparent:
        outer = outer.parent
    return "" if outer is None else str(outer.type)
