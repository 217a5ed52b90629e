"""Definitions in Go, Rust and Haskell."""

from __future__ import annotations

from collections.abc import Iterator

from services.registry.builtin.code.engine.grammars import Node, child, flat, inside, text
from services.registry.builtin.code.engine.symbols import (
    Definition,
    Reader,
    Table,
    declared,
    function,
    named,
)


def _go_type(node: Node) -> Iterator[Definition]:
    kinds = {"struct_type": "struct", "interface_type": "interface"}
    given = node.child_by_field_name("type")
    kind = kinds.get(given.type, "type") if given is not None else "type"
    yield Definition(kind, text(node.child_by_field_name("name")), node)


def _go_method(node: Node) -> Iterator[Definition]:
    receiver = text(node.child_by_field_name("receiver")).strip("() \t\n,").partition("[")[0]
    under = receiver.split()[-1].lstrip("*") if receiver.split() else ""
    defined = node.child_by_field_name("body") is not None
    yield Definition("method", text(node.child_by_field_name("name")), node, under, defined)


def _go_names(kind: str) -> Reader:
    def read(node: Node) -> Iterator[Definition]:
        over = ("var_spec_list", "const_declaration", "var_declaration")
        if inside(node, over) == "source_file":
            for one in node.children_by_field_name("name"):
                # The commas between the names come in the field too.
                if one.is_named and text(one) != "_":
                    yield Definition(kind, text(one), node)

    return read


def _go_fields(node: Node) -> Iterator[Definition]:
    for one in node.children_by_field_name("name"):
        if one.is_named:
            yield Definition("field", text(one), node)


def _go_package(node: Node) -> Iterator[Definition]:
    yield Definition("package", text(child(node, "package_identifier")), node, scope=False)


GO: Table = {
    "package_clause": _go_package,
    "function_declaration": function(),
    "method_declaration": _go_method,
    "method_elem": declared("method"),
    "type_spec": _go_type,
    "type_alias": named("type"),
    "const_spec": _go_names("constant"),
    "var_spec": _go_names("variable"),
    "field_declaration": _go_fields,
}


def _rust_impl(node: Node) -> Iterator[Definition]:
    given = node.child_by_field_name("type")
    if given is not None and given.type == "generic_type":
        given = given.child_by_field_name("type")
    yield Definition("", flat(text(given)).replace("::", "."), node)


RUST: Table = {
    "mod_item": named("module"),
    "struct_item": named("struct"),
    "enum_item": named("enum"),
    "enum_variant": named("member"),
    "union_item": named("union"),
    "trait_item": named("trait"),
    "impl_item": _rust_impl,
    "function_item": named("function"),
    "function_signature_item": declared("function"),
    "const_item": named("constant"),
    "static_item": named("variable"),
    "type_item": named("type"),
    "associated_type": named("type"),
    "field_declaration": named("field"),
    "macro_definition": named("macro"),
}


def _haskell_function(node: Node) -> Iterator[Definition]:
    """One function has an equation for each case; the first one stands for all."""
    name = text(node.child_by_field_name("name"))
    before = node.prev_named_sibling
    while before is not None and before.type == "comment":
        before = before.prev_named_sibling
    same = before is not None and before.type in ("function", "bind")
    if name and not (same and text(before.child_by_field_name("name")) == name):
        yield Definition("function", name, node)


def _haskell_signature(node: Node) -> Iterator[Definition]:
    if inside(node, ()) == "class_declarations":
        yield Definition("function", text(node.child_by_field_name("name")), node, defined=False)


HASKELL: Table = {
    "data_type": named("type", scope=True),
    "newtype": named("type", scope=True),
    "type_synonym": named("type"),
    "type_synomym": named("type"),
    "class": named("class"),
    "instance": named("instance"),
    "signature": _haskell_signature,
    "function": _haskell_function,
}
