"""Syntax trees, as deep, as wide and as long as asked; their size is known before they are made."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from services.registry.builtin.code.engine import problems
from services.registry.builtin.code.engine.grammars import Node, SyntaxTree, has, text

MOST_NODES = 100_000
MOST_BYTES = 8 * 1024 * 1024
DEEPEST = 60
"""Levels of an answer: many readers of JSON take no more than 128 brackets in each other."""
_NODE_BYTES = 50
"""Of a node beside its names and text, as JSON."""
_LONGEST_TEXT = 2000


class Wanted(NamedTuple):
    """Which part of the tree is asked for."""

    max_depth: int | None = None
    start_line: int | None = None
    end_line: int | None = None
    node_types: tuple[str, ...] = ()
    named_only: bool = True
    include_text: bool = False


class NotGiven(Exception):
    """The tree would be too big, or there is none; the message says what to ask instead."""


def known(parsed: SyntaxTree, type_: str) -> bool:
    """Whether the grammar has nodes of this type, named or not."""
    return has(parsed.language, type_) or has(parsed.language, f'"{type_}"')


class _Step(NamedTuple):
    node: Node
    field: str | None
    depth: int


def tree(parsed: SyntaxTree, wanted: Wanted) -> dict[str, Any]:
    """The tree that is wanted. Raises NotGiven; without a depth that was asked for, it fits."""
    sizes = _Sizes(parsed, wanted)
    depth = sizes.fitting() if wanted.max_depth is None else wanted.max_depth
    if not sizes.all_nodes and not wanted.node_types:
        raise NotGiven("there is nothing between `start_line` and `end_line`")
    if wanted.max_depth is not None and not sizes.fits(depth):
        raise NotGiven(sizes.advice(depth))
    if depth == 0 and sizes.all_nodes:
        raise NotGiven(sizes.advice(1))
    asked = min(depth, DEEPEST)
    found = _Build(parsed, wanted, asked)
    whole = sizes.deepest <= asked
    answer: dict[str, Any] = {
        "nodes": found.nodes,
        "depth": min(asked, sizes.deepest),
        "all_nodes": sizes.all_nodes,
        "all_depth": sizes.deepest,
        "complete": whole,
    }
    answer |= {"matches": found.top} if wanted.node_types else {"tree": found.top[0]}
    answer["errors"] = problems.listed(parsed)[: problems.MOST]
    remarks = []
    if not whole and wanted.max_depth is None:
        remarks.append({"part": "tree", "message": sizes.advice(asked)})
    return answer | {"remarks": remarks}


class _Sizes:
    """How many nodes and bytes there are down to each depth."""

    def __init__(self, parsed: SyntaxTree, wanted: Wanted) -> None:
        self._nodes: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()
        self._types: Counter[str] = Counter()
        for step in steps(parsed, wanted, sys.maxsize):
            type_ = step.node.type
            size = _NODE_BYTES + len(type_) + len(step.field or "")
            if wanted.include_text and step.node.child_count == 0:
                size += min(step.node.end_byte - step.node.start_byte, _LONGEST_TEXT) + 10
            self._nodes[step.depth] += 1
            self._bytes[step.depth] += size
            self._types[type_] += 1
        self.deepest = max(self._nodes, default=0)
        self.all_nodes = sum(self._nodes.values())

    def fits(self, depth: int) -> bool:
        nodes, size = self._down_to(depth)
        return nodes <= MOST_NODES and size <= MOST_BYTES

    def fitting(self) -> int:
        """The greatest depth that fits; 0 if none does."""
        fitting = 0
        for depth in range(1, self.deepest + 1):
            if not self.fits(depth):
                break
            fitting = depth
        return fitting

    def advice(self, depth: int) -> str:
        nodes, size = self._down_to(depth)
        best = self.fitting()
        rows = [
            f"{one}: {self._down_to(one)[0]:,} nodes, {_kib(self._down_to(one)[1])}"
            for one in sorted({*range(1, min(self.deepest, 8) + 1), best, self.deepest} - {0})
        ]
        types = ", ".join(f"{name} {count:,}" for name, count in self._types.most_common(8))
        deep = f"max_depth up to {best}, " if best else ""
        return (
            f"the tree has {self.all_nodes:,} nodes in {self.deepest} levels; down to depth"
            f" {depth} it is {nodes:,} nodes, about {_kib(size)} (at most {MOST_NODES:,} nodes and"
            f" {_kib(MOST_BYTES)} are given). Ask for {deep}a range (start_line, end_line), or"
            f" node_types. By depth: {'; '.join(rows)}. Most frequent: {types}"
        )

    def _down_to(self, depth: int) -> tuple[int, int]:
        below = [one for one in self._nodes if one <= depth]
        return sum(self._nodes[one] for one in below), sum(self._bytes[one] for one in below)


def _kib(size: int) -> str:
    return f"{max(1, size >> 10):,} KiB"


def steps(parsed: SyntaxTree, wanted: Wanted, deepest: int) -> Iterator[_Step]:
    """Every node that is wanted, parents first; of node types, what stands in them follows."""
    first = (wanted.start_line or 1) - 1
    last = (wanted.end_line or len(parsed.data) + 1) - 1
    whole = wanted.start_line is None and wanted.end_line is None
    cursor = parsed.tree.walk()
    depth = 0 if wanted.node_types else 1
    # Depth of the nodes above, and whether they are given.
    above: list[int] = []
    while True:
        node = cursor.node
        here = _depth(node, depth, wanted)
        in_range = whole or (node.end_point[0] >= first and node.start_point[0] <= last)
        given = in_range and here > 0 and (node.is_named or not wanted.named_only)
        if given:
            yield _Step(node, cursor.field_name, here)
        if in_range and here < deepest and cursor.goto_first_child():
            above.append(depth)
            depth = here + given if given else here
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            depth = above.pop()


def _depth(node: Node, depth: int, wanted: Wanted) -> int:
    """The depth of a node; with node types it begins with 1 at each that is of one."""
    if wanted.node_types and depth == 0:
        return 1 if node.type in wanted.node_types else 0
    return depth


class _Build:
    """The nodes put into each other."""

    def __init__(self, parsed: SyntaxTree, wanted: Wanted, depth: int) -> None:
        self.top: list[dict[str, Any]] = []
        self.nodes = 0
        open_: list[dict[str, Any]] = []
        for step in steps(parsed, wanted, depth):
            told = _told(parsed, step, wanted)
            if step.depth == depth and (below := _below(step.node, wanted)):
                told["left_out"] = below
            self.nodes += 1
            del open_[step.depth - 1 :]
            holder = open_[-1].setdefault("children", []) if open_ else self.top
            holder.append(told)
            open_.append(told)


def _below(node: Node, wanted: Wanted) -> int:
    return int(node.named_child_count if wanted.named_only else node.child_count)


def _told(parsed: SyntaxTree, step: _Step, wanted: Wanted) -> dict[str, Any]:
    node = step.node
    told: dict[str, Any] = {"type": node.type}
    if step.field:
        told["field"] = step.field
    told["range"] = [*parsed.place(node.start_point), *parsed.place(node.end_point)]
    if node.is_missing:
        told["missing"] = True
    if wanted.include_text and node.child_count == 0:
        words = text(node)
        told["text"] = words[:_LONGEST_TEXT]
        if len(words) > _LONGEST_TEXT:
            told["text_left_out"] = len(words) - _LONGEST_TEXT
    return told
