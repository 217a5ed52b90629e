"""Definitions in C#, Swift and Solidity."""

from __future__ import annotations

from collections.abc import Iterator

from services.registry.builtin.code.engine.definitions.jvm import fields
from services.registry.builtin.code.engine.grammars import Node, child, flat, inside, text
from services.registry.builtin.code.engine.symbols import (
    Definition,
    Table,
    called,
    function,
    named,
)


def _onward(node: Node) -> Iterator[Definition]:
    yield Definition("namespace", text(node.child_by_field_name("name")), node, onward=True)


def _operator(node: Node) -> Iterator[Definition]:
    sign = text(node.child_by_field_name("operator"))
    kind = text(node.child_by_field_name("type")) if "conversion" in node.type else sign
    yield Definition("operator", f"operator {kind}", node)


def _finalizer(node: Node) -> Iterator[Definition]:
    yield Definition("destructor", "~" + text(node.child_by_field_name("name")), node)


CSHARP: Table = {
    "namespace_declaration": named("namespace"),
    "file_scoped_namespace_declaration": _onward,
    "class_declaration": named("class"),
    "interface_declaration": named("interface"),
    "struct_declaration": named("struct"),
    "record_declaration": named("record"),
    "enum_declaration": named("enum"),
    "enum_member_declaration": named("member"),
    "delegate_declaration": named("delegate"),
    "method_declaration": function("method"),
    "local_function_statement": function("function"),
    "constructor_declaration": function("constructor"),
    "destructor_declaration": _finalizer,
    "operator_declaration": _operator,
    "conversion_operator_declaration": _operator,
    "property_declaration": named("property"),
    "indexer_declaration": called("property", "this[]"),
    "event_declaration": named("event"),
    "event_field_declaration": fields,
    "field_declaration": fields,
}


def _swift_class(node: Node) -> Iterator[Definition]:
    kind = text(node.child_by_field_name("declaration_kind")) or "class"
    if kind == "actor":
        kind = "class"
    yield Definition(kind, flat(text(node.child_by_field_name("name"))), node)


def _swift_function(node: Node) -> Iterator[Definition]:
    # A parameter's or result's name comes in the field too; an operator's is a token.
    name = flat(text(node.child_by_field_name("name")))
    defined = node.type != "protocol_function_declaration" and (
        node.child_by_field_name("body") is not None
    )
    is_operator = not (name[:1].isalpha() or name[:1] in "_`")
    yield Definition("operator" if is_operator else "function", name, node, defined=defined)


def _swift_property(node: Node) -> Iterator[Definition]:
    outer = inside(node, ())
    if outer not in ("source_file", "class_body", "enum_class_body", "protocol_body"):
        return
    constant = text(child(node, "value_binding_pattern")).split()[:1] == ["let"]
    kind = "property" if outer != "source_file" else "constant" if constant else "variable"
    for one in node.children_by_field_name("name"):
        bound = one.child_by_field_name("bound_identifier")
        if bound is not None:
            yield Definition(kind, text(bound), node)


def _swift_cases(node: Node) -> Iterator[Definition]:
    for one in node.children_by_field_name("name"):
        if one.type == "simple_identifier":
            yield Definition("member", text(one), one)


SWIFT: Table = {
    "class_declaration": _swift_class,
    "protocol_declaration": named("protocol"),
    "function_declaration": _swift_function,
    "protocol_function_declaration": _swift_function,
    "init_declaration": called("constructor", "init"),
    "deinit_declaration": called("destructor", "deinit"),
    "subscript_declaration": called("method", "subscript"),
    "property_declaration": _swift_property,
    "protocol_property_declaration": _swift_property,
    "typealias_declaration": named("type"),
    "associatedtype_declaration": named("type"),
    "enum_entry": _swift_cases,
    "macro_declaration": named("macro"),
}


SOLIDITY: Table = {
    "contract_declaration": named("contract"),
    "interface_declaration": named("interface"),
    "library_declaration": named("library"),
    "struct_declaration": named("struct"),
    "enum_declaration": named("enum"),
    "event_definition": named("event"),
    "error_declaration": named("type"),
    "modifier_definition": named("modifier"),
    "constructor_definition": called("constructor", "constructor"),
    "fallback_receive_definition": called("function", "fallback"),
    "function_definition": function(),
    "state_variable_declaration": named("variable"),
    "constant_variable_declaration": named("constant"),
}
