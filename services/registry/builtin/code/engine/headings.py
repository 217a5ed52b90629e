"""Headings of a page: each stands in the last one before it that is of a higher level."""

from __future__ import annotations

from collections.abc import Iterable

from services.registry.builtin.code.engine.grammars import Node
from services.registry.builtin.code.engine.symbols import Placed


def nested(headings: Iterable[Placed], joint: str) -> list[Placed]:
    """Headings with the names of those they stand in."""
    open_: list[tuple[int, str]] = []
    placed = []
    for one in headings:
        level = level_of(one.found.node)
        while open_ and open_[-1][0] >= level:
            open_.pop()
        placed.append(one._replace(parent=joint.join(name for _, name in open_)))
        open_.append((level, one.found.name))
    return placed


def level_of(node: Node) -> int:
    """1 for the title, up to 6."""
    for one in node.children:
        if one.type.startswith("atx_h") or one.type.startswith("setext_h"):
            digits = [letter for letter in one.type if letter.isdigit()]
            return int(digits[0]) if digits else 6
    return 6
