"""Symbols of a file: what its language's table finds, put into each other by where they stand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from services.registry.builtin.code.engine.grammars import Node, SyntaxTree, child, flat, text

LONGEST_NAME = 200
LONGEST_SIGNATURE = 300
TYPES = frozenset(
    "class interface trait protocol struct union record enum object extension annotation contract"
    " library impl instance".split()
)
"""A function that stands in one of these is a method."""
FUNCTIONS = frozenset("function method constructor destructor operator accessor".split())
SIGNED = FUNCTIONS | TYPES | {"type", "delegate", "macro", "mixin", "modifier", "event"}
SCOPES = (
    FUNCTIONS
    | TYPES
    | frozenset("namespace module package element media heading table rule".split())
)
BODIES = frozenset(
    "block body_statement class_body compound_statement constructor_body contract_body"
    " declaration_list do_block enum_body enum_class_body enum_member_declaration_list"
    " field_declaration_list function_body interface_body protocol_body statement_block"
    " template_body arrow_expression_clause accessor_list field_initializer_list struct_body"
    " class_declarations instance_declarations data_constructors enum_variant_list"
    " enumerator_list ordered_field_declaration_list computed_property getter {".split()
)
_TAIL = " \t\r\n{:=;,"
_BARE = (" do", " then", " where", " =>", " =", " end")


class Definition(NamedTuple):
    """One symbol as its table has found it."""

    kind: str
    """Empty: no symbol, but what stands inside has it in its `parent`."""
    name: str
    node: Node
    under: str = ""
    """Names between the surrounding symbol and this one, such as the type of a Go method."""
    defined: bool = True
    """False for what is only declared: a prototype, an abstract method."""
    scope: bool | None = None
    """Whether others may stand in it; None: as its kind says."""
    onward: bool = False
    """Whether everything behind it, up to the next such one, stands in it."""


Reader: TypeAlias = Callable[[Node], Iterable[Definition]]
Table: TypeAlias = Mapping[str, Reader]


class Placed(NamedTuple):
    """A symbol and where it belongs."""

    found: Definition
    kind: str
    parent: str


def placed(parsed: SyntaxTree, table: Table, joint: str) -> list[Placed]:
    """All symbols in the order of the text, with the names they stand in, joined by `joint`."""
    found = [one for node in parsed.found(*table) for one in table[node.type](node)]
    found.sort(key=lambda one: (one.node.start_byte, -one.node.end_byte))
    return list(_nested(found, joint))


def _nested(found: Iterable[Definition], joint: str) -> Iterator[Placed]:
    open_: list[_Scope] = []
    for one in found:
        if not one.name:
            continue
        while open_ and (open_[-1].end < one.node.end_byte or (one.onward and open_[-1].onward)):
            open_.pop()
        around = open_[-1] if open_ else _FILE
        if one.kind == "property" and around.kind in FUNCTIONS:
            # What a constructor declares in its parameters belongs to the class.
            around = open_[-2] if len(open_) > 1 else _FILE
        parent = joint.join(filter(None, (around.path, one.under)))
        kind = one.kind
        if kind == "function" and (around.kind in TYPES or one.under):
            kind = "method"
        if kind:
            yield Placed(one, kind, parent)
        if _is_scope(one):
            inner = joint.join(filter(None, (parent, one.name)))
            end = sys.maxsize if one.onward else one.node.end_byte
            open_.append(_Scope(end, kind or "impl", inner, one.onward))


class _Scope(NamedTuple):
    end: int
    kind: str
    path: str
    onward: bool = False


_FILE = _Scope(0, "", "")


def _is_scope(one: Definition) -> bool:
    if one.scope is not None:
        return one.scope
    return not one.kind or one.kind in SCOPES


def described(parsed: SyntaxTree, symbols: Iterable[Placed]) -> list[dict[str, Any]]:
    """Symbols as an answer tells them."""
    return [_described(parsed, one) for one in symbols]


def _described(parsed: SyntaxTree, one: Placed) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": one.found.name[:LONGEST_NAME],
        "kind": one.kind,
        "range": parsed.range(one.found.node),
    }
    if one.parent:
        told["parent"] = one.parent
    if one.kind in SIGNED:
        told["signature"] = signature(one.found.node)
    return told


def signature(node: Node) -> str:
    """The head of a definition on one line, up to its body."""
    body = body_of(node)
    remark = next((one for one in node.children if "comment" in one.type), None)
    if remark is not None and (body is None or remark.start_byte < body.start_byte):
        body = remark
    if body is not None and body.start_byte > node.start_byte:
        words = node.text[: body.start_byte - node.start_byte].decode("utf-8", "replace")
    else:
        words = text(node)
        if len(words) > LONGEST_SIGNATURE:
            words = words.partition("\n")[0]
    words = flat(words).partition(", do:")[0].rstrip(_TAIL)
    for bare in _BARE:
        words = words.removesuffix(bare).rstrip(_TAIL)
    return words if len(words) <= LONGEST_SIGNATURE else words[: LONGEST_SIGNATURE - 1] + "…"


def body_of(node: Node) -> Node | None:
    """What the head of a definition ends before; None: it has no body."""
    for field in ("", "value", "right", "type"):
        holder = node.child_by_field_name(field) if field else node
        if holder is None:
            continue
        body = holder.child_by_field_name("body") or child(holder, *BODIES)
        if body is not None:
            return body
    return None


def named(kind: str, field: str = "name", *, scope: bool | None = None) -> Reader:
    """A reader for nodes that have their name in a field, and a body if they are defined here."""

    def read(node: Node) -> Iterator[Definition]:
        name = flat(text(node.child_by_field_name(field)))
        yield Definition(kind, name, node, scope=scope)

    return read


def function(kind: str = "function", field: str = "name") -> Reader:
    """A reader for functions: without a body it is a declaration."""

    def read(node: Node) -> Iterator[Definition]:
        defined = body_of(node) is not None
        yield Definition(kind, flat(text(node.child_by_field_name(field))), node, defined=defined)

    return read


def declared(kind: str, field: str = "name") -> Reader:
    """A reader for what is only declared."""

    def read(node: Node) -> Iterator[Definition]:
        yield Definition(kind, flat(text(node.child_by_field_name(field))), node, defined=False)

    return read


def called(kind: str, name: str) -> Reader:
    """A reader for what has always the same name, such as a constructor."""

    def read(node: Node) -> Iterator[Definition]:
        yield Definition(kind, name, node, defined=body_of(node) is not None)

    return read


def bare(text_: str) -> str:
    """A name without quotes around it."""
    return text_.strip().strip("\"'`")
