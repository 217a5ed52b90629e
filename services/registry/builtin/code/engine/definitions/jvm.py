"""Definitions in Java, Kotlin and Scala."""

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


def fields(node: Node) -> Iterator[Definition]:
    """Java and C#: one declaration of several names; constant if it says so."""
    words = set(flat(text(child(node, "modifiers"))).split())
    words |= {text(one) for one in node.children if one.type == "modifier"}
    constant = "const" in words or {"static", "final"} <= words or {"static", "readonly"} <= words
    holder = child(node, "variable_declaration") or node
    for one in holder.children:
        if one.type == "variable_declarator":
            name = one.child_by_field_name("name") or child(one, "identifier")
            kind = "event" if node.type == "event_field_declaration" else "field"
            yield Definition("constant" if constant else kind, text(name), one)


def _package(node: Node) -> Iterator[Definition]:
    name = child(
        node, "scoped_identifier", "identifier", "qualified_identifier", "package_identifier"
    )
    # Scala: with a body it holds what is in it, otherwise it is the whole file's.
    holds = node.child_by_field_name("body") is not None
    yield Definition("package", "".join(text(name).split()), node, scope=holds)


JAVA: Table = {
    "package_declaration": _package,
    "class_declaration": named("class"),
    "interface_declaration": named("interface"),
    "enum_declaration": named("enum"),
    "record_declaration": named("record"),
    "annotation_type_declaration": named("annotation"),
    "annotation_type_element_declaration": declared("method"),
    "method_declaration": function("method"),
    "constructor_declaration": named("constructor"),
    "compact_constructor_declaration": named("constructor"),
    "field_declaration": fields,
    "constant_declaration": fields,
    "enum_constant": named("member"),
    "module_declaration": named("module"),
}


def _kotlin_class(node: Node) -> Iterator[Definition]:
    words = {one.type for one in node.children} | set(text(child(node, "modifiers")).split())
    kind = next((word for word in ("interface", "enum", "annotation") if word in words), "class")
    yield Definition(kind, text(node.child_by_field_name("name")), node)


def _kotlin_property(node: Node) -> Iterator[Definition]:
    outer = inside(node, ())
    if outer not in ("source_file", "class_body", "enum_class_body"):
        return
    names = child(node, "variable_declaration", "multi_variable_declaration")
    words = text(child(node, "modifiers")).split()
    kind = "property" if outer != "source_file" else "variable"
    is_value = child(node, "val") is not None
    if "const" in words or (is_value and outer == "source_file" and child(node, "getter") is None):
        kind = "constant"
    holder = [names] if names is not None and names.type == "variable_declaration" else []
    for one in holder or (names.named_children if names is not None else []):
        yield Definition(kind, text(child(one, "identifier")), node)


def _kotlin_parameter(node: Node) -> Iterator[Definition]:
    if child(node, "val", "var") is not None:
        yield Definition("property", text(child(node, "identifier")), node)


def _companion(node: Node) -> Iterator[Definition]:
    yield Definition("object", text(node.child_by_field_name("name")) or "Companion", node)


def _first(kind: str, type_: str) -> Reader:
    def read(node: Node) -> Iterator[Definition]:
        yield Definition(kind, text(child(node, type_)), node)

    return read


def _kotlin_constructor(node: Node) -> Iterator[Definition]:
    yield Definition("constructor", "constructor", node)


KOTLIN: Table = {
    "package_header": _package,
    "class_declaration": _kotlin_class,
    "object_declaration": named("object"),
    "companion_object": _companion,
    "function_declaration": function(),
    "secondary_constructor": _kotlin_constructor,
    "property_declaration": _kotlin_property,
    "class_parameter": _kotlin_parameter,
    "type_alias": named("type", "type"),
    "enum_entry": _first("member", "identifier"),
}


def _scala_value(node: Node) -> Iterator[Definition]:
    outer = inside(node, ())
    if outer not in ("template_body", "compilation_unit", "enum_body", "indented_block"):
        return
    pattern = node.child_by_field_name("pattern") or node.child_by_field_name("name")
    if pattern is not None and pattern.type == "identifier":
        yield Definition(
            "constant" if node.type.startswith("val") else "variable", text(pattern), node
        )


def _scala_function(node: Node) -> Iterator[Definition]:
    name = text(node.child_by_field_name("name"))
    defined = node.type == "function_definition"
    yield Definition("constructor" if name == "this" else "function", name, node, defined=defined)


SCALA: Table = {
    "package_clause": _package,
    "class_definition": named("class"),
    "object_definition": named("object"),
    "package_object": named("object"),
    "trait_definition": named("trait"),
    "enum_definition": named("enum"),
    "simple_enum_case": named("member"),
    "full_enum_case": named("member"),
    "given_definition": named("instance"),
    "function_definition": _scala_function,
    "function_declaration": _scala_function,
    "type_definition": named("type"),
    "val_definition": _scala_value,
    "var_definition": _scala_value,
    "val_declaration": _scala_value,
    "var_declaration": _scala_value,
}
