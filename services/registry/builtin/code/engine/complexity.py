# mypy: disable-error-code="import-not-found"
"""Functions with their cyclomatic complexity.

Which functions there are and where they end says the syntax tree. The number is lizard's where
lizard sees the same function; where it doesn't, decisions are counted in the tree.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import lizard

from services.registry.builtin.code.engine.grammars import Node, SyntaxTree
from services.registry.builtin.code.engine.symbols import FUNCTIONS, Placed, body_of

LIZARD_S = 8
"""Seconds for one file: some spellings take lizard very long."""
DECISIONS = tuple(
    "if_statement elif_clause elif if_expression if unless if_modifier unless_modifier"
    " while_modifier until_modifier else_if_clause else_if_statement elseif_statement"
    " elseif_clause if_clause for_statement for_in_statement for_in_clause for foreach_statement"
    " for_each_statement enhanced_for_statement for_range_loop for_expression"
    " c_style_for_statement while_statement while_expression while until do_statement"
    " do_while_statement repeat_statement repeat_while_statement loop_expression case_clause"
    " case_statement switch_case case_item when when_entry expression_case type_case"
    " communication_case switch_entry switch_section switch_label switch_expression_arm match_arm"
    " match_conditional_expression alternative guard_statement catch_clause catch_block"
    " except_clause except_group_clause finally_clause rescue conditional_expression"
    " ternary_expression conditional keyword_when keyword_if"
    ' "&&" "||" "??" "and" "or"'.split()
)
"""Nodes and signs of all grammars that open one more way through a function."""

NAMELESS = ("arrow_function", "function_expression", "generator_function", "func_literal")


class Measured(NamedTuple):
    """One function as lizard sees it."""

    name: str
    line: int
    end_line: int
    complexity: int


def by_lizard(text: str, suffix: str) -> list[Measured]:
    """Lizard's functions. Raises TimeoutError, and what lizard itself raises."""
    with _at_most(LIZARD_S):
        found = lizard.analyze_file.analyze_source_code(f"file.{suffix}", text)
    return [
        Measured(one.name, one.start_line, one.end_line, one.cyclomatic_complexity)
        for one in found.function_list
    ]


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: Any) -> None:
        raise TimeoutError(f"lizard was stopped after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def listed(
    parsed: SyntaxTree, symbols: Iterable[Placed], seen: Iterable[Measured], *, measure: bool = True
) -> list[dict[str, Any]]:
    """The functions that are defined here; `measure`: with their complexity."""
    known: dict[tuple[str, int], list[Measured]] = {}
    for one in seen:
        known.setdefault((last(one.name), one.end_line), []).append(one)
    here = [one for one in symbols if one.kind in FUNCTIONS and one.found.defined]
    if not measure:
        return [told_as(parsed, one) for one in here]
    numbers = counted(parsed, [one.found.node for one in here])
    functions = []
    for symbol, number in zip(here, numbers, strict=True):
        told = told_as(parsed, symbol)
        same = known.get((last(told["name"]), told["end_line"]), ())
        head = range(told["line"], head_end(symbol.found.node) + 1)
        match = next((one for one in same if one.line in head), None)
        functions.append(told | measured(match.complexity if match else None, number))
    return functions


def measured(by_lizard: int | None, by_tree: int) -> dict[str, Any]:
    """Lizard's number; without one that of the tree, which is said."""
    if by_lizard is not None:
        return {"complexity": by_lizard}
    return {"complexity": by_tree, "complexity_by": "tree"}


def head_end(node: Node) -> int:
    """The line that a function's body begins in: lizard calls the line of the name its first."""
    body = body_of(node)
    return int((node.end_point if body is None else body.start_point)[0]) + 1


def counted(parsed: SyntaxTree, functions: Sequence[Node]) -> list[int]:
    """The complexity of each function, given in the order of the text, by the tree's decisions.

    A decision counts for the innermost function around it, as with lizard; one without a name,
    such as a callback, keeps its own.
    """
    named = {one.id for one in functions}
    nameless = [one for one in parsed.found(*NAMELESS) if one.parent.id not in named]
    places = {(one.start_byte, one.end_byte): one.id for one in (*nameless, *functions)}
    spans = sorted(places, key=lambda span: (span[0], -span[1]))
    numbers = dict.fromkeys(places.values(), 1)
    around: list[int] = []
    following = 0
    for decision in parsed.found(*DECISIONS):
        place = decision.start_byte
        if _is_rest(parsed.language, decision):
            continue
        while following < len(spans) and spans[following][0] <= place:
            around = [one for one in around if spans[one][1] > spans[following][0]]
            around.append(following)
            following += 1
        around = [one for one in around if spans[one][1] > place]
        if around:
            numbers[places[spans[around[-1]]]] += 1
    return [numbers.get(one.id, 1) for one in functions]


def _is_rest(language: str, decision: Node) -> bool:
    """Whether it is what is left: no way of its own. In a shell, `case` itself is none either."""
    if decision.type not in _CASES:
        return False
    return language == "shell" or decision.text.startswith((b"default", b"else"))


_CASES = frozenset("case_statement switch_label switch_section switch_entry when_entry".split())


def told_as(parsed: SyntaxTree, symbol: Placed) -> dict[str, Any]:
    """A function as an answer tells it, without its complexity."""
    where = parsed.range(symbol.found.node)
    told: dict[str, Any] = {"name": symbol.found.name}
    if symbol.parent:
        told["parent"] = symbol.parent
    told |= {"line": where["start"]["line"], "end_line": where["end"]["line"]}
    if (count := parameters(symbol.found.node)) is not None:
        told["parameters"] = count
    return told


def last(name: str) -> str:
    """The last part of a name that lizard gives: `shop::Order<T>::total`, `get size`, `a.b`."""
    for sign in ("::", ".", " "):
        head, _, tail = name.rpartition(sign)
        if head and tail and not head.endswith("operator"):
            name = tail
    return name


_LISTS = frozenset(
    "parameter_list formal_parameters function_value_parameters method_parameters"
    " function_arguments parameters class_parameters".split()
)
_NO_PARAMETER = frozenset(
    "comment line_comment block_comment positional_separator keyword_separator attribute_item"
    " parameter_modifiers marker_annotation attribute_list".split()
)


def parameters(node: Node) -> int | None:
    """How many parameters a function takes; None: its grammar doesn't say."""
    holder = _parameters_of(node)
    if holder is None:
        direct = [one for one in node.children if one.type == "parameter"]
        return len(direct) if direct or node.type in _DIRECT else None
    if holder.type == "identifier":
        return 1
    given = [one for one in holder.named_children if one.type not in _NO_PARAMETER]
    if len(given) == 1 and given[0].text == b"void":
        return 0
    # Go: `a, b int` are two in one.
    return sum(
        max(1, len([name for name in one.children_by_field_name("name") if name.is_named]))
        if one.type == "parameter_declaration" else 1
        for one in given
    )  # fmt: skip


_DIRECT = frozenset(
    "function_declaration init_declaration deinit_declaration subscript_declaration".split()
)


def _parameters_of(node: Node) -> Node | None:
    waiting: list[Node] = [node]
    while waiting:
        one = waiting.pop(0)
        holder = one.child_by_field_name("parameters")
        if holder is None:
            holder = next((each for each in one.children if each.type in _LISTS), None)
        if holder is not None:
            return holder
        if one.type == "reference_declarator":
            waiting.append(one.named_children[-1])
        for field in ("value", "right", "declarator", "parameter"):
            inner = one.child_by_field_name(field)
            if inner is not None:
                if field == "parameter":
                    return inner if inner.type == "identifier" else None
                waiting.append(inner)
    return None
