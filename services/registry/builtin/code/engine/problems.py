"""Syntax errors: where a grammar could not go on, and what it missed."""

from __future__ import annotations

from typing import Any

from services.registry.builtin.code.engine.grammars import Node, SyntaxTree, flat, text

MOST = 100
"""Errors that one file's answer lists; what is left out is counted."""
_LONGEST = 60


def listed(parsed: SyntaxTree) -> list[dict[str, Any]]:
    """All errors in the order of the text: of those inside each other the outer one."""
    if not parsed.root.has_error:
        return []
    told: list[dict[str, Any]] = []
    behind = -1
    for node in parsed.found("ERROR", "MISSING"):
        if node.start_byte >= behind or node.is_missing:
            behind = max(behind, node.end_byte)
            line, column = parsed.place(node.start_point)
            told.append({"line": line, "column": column, "message": _said(node)})
    return told


def _said(node: Node) -> str:
    if node.is_missing:
        return f"`{node.type}` is missing here"
    words = flat(text(node)[: 4 * _LONGEST])
    return f"this can't be parsed: {words[:_LONGEST]}" if words else "this can't be parsed"
