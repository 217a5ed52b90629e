"""What a file takes from elsewhere: one shape for all languages.

`module` is written as the language writes it; `names`, `alias`, `star` and `level` are there only
where the statement says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from services.registry.builtin.code.engine.grammars import Node, SyntaxTree

Import: TypeAlias = dict[str, Any]
Taker: TypeAlias = Callable[[Node], Iterable[Import]]
Takers: TypeAlias = Mapping[str, Taker]


def listed(parsed: SyntaxTree, takers: Takers) -> list[Import]:
    """All imports in the order of the text, each with its line."""
    return [
        {**one, "line": parsed.place(node.start_point)[0]}
        for node in parsed.found(*takers)
        for one in takers[node.type](node)
        if one["module"]
    ]


def name(own: str, alias: str = "") -> dict[str, str]:
    """One imported name, with the name that it gets here."""
    return {"name": own, "alias": alias} if alias and alias != own else {"name": own}


def module(path: str, *, alias: str = "", star: bool = False, **more: Any) -> Import:
    """One import; what is empty is left out."""
    told: Import = {"module": path}
    if alias:
        told["alias"] = alias
    if star:
        told["star"] = True
    told.update({key: value for key, value in more.items() if value})
    return told
