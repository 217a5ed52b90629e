"""Definitions in Python, JavaScript, TypeScript, Ruby, PHP, Lua, Elixir and shells."""

from __future__ import annotations

from collections.abc import Iterator

from services.registry.builtin.code.engine.grammars import Node, child, flat, inside, text
from services.registry.builtin.code.engine.symbols import (
    Definition,
    Table,
    bare,
    declared,
    function,
    named,
)


def kind_of_name(name: str) -> str:
    """Upper case says that a variable is meant to stay as it is."""
    return "constant" if name.isupper() else "variable"


def _python_assignment(node: Node) -> Iterator[Definition]:
    left = node.child_by_field_name("left")
    outer = node.parent.parent if node.parent.type == "expression_statement" else None
    if left is None or left.type != "identifier" or outer is None:
        return
    if outer.type == "module":
        yield Definition(kind_of_name(text(left)), text(left), node)
    elif outer.type == "block" and outer.parent.type == "class_definition":
        yield Definition("field", text(left), node)


PYTHON: Table = {
    "class_definition": named("class"),
    "function_definition": named("function"),
    "assignment": _python_assignment,
    "type_alias_statement": named("type", "left"),
}
_FUNCTION_VALUES = frozenset(
    "arrow_function function_expression function generator_function".split()
)
_JS_OVER = ("export_statement", "lexical_declaration", "variable_declaration")


def _at_top(node: Node) -> bool:
    outer = node.parent
    while outer is not None and outer.type in (*_JS_OVER, "ambient_declaration"):
        outer = outer.parent
    if outer is not None and outer.type == "statement_block":
        return outer.parent.type in ("internal_module", "module")
    return outer is not None and outer.type == "program"


def _js_variable(node: Node) -> Iterator[Definition]:
    name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    if name is None or name.type != "identifier":
        return
    if value is not None and value.type in _FUNCTION_VALUES:
        yield Definition("function", text(name), node)
    elif value is not None and value.type == "class":
        yield Definition("class", text(name), node)
    elif _at_top(node):
        # An object of functions holds them, as a class does.
        holds = value is not None and value.type == "object"
        is_constant = node.parent.type == "lexical_declaration" and (
            text(node.parent.child_by_field_name("kind")) == "const"
        )
        yield Definition("constant" if is_constant else "variable", text(name), node, scope=holds)


def _js_pair(node: Node) -> Iterator[Definition]:
    value = node.child_by_field_name("value")
    if value is not None and value.type in _FUNCTION_VALUES:
        key = node.child_by_field_name("key")
        if key is not None and key.type != "computed_property_name":
            yield Definition("method", bare(text(key)), node)


def _js_assignment(node: Node) -> Iterator[Definition]:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is not None and right is not None and left.type in ("member_expression", "identifier"):
        kinds = {"class": "class", **dict.fromkeys(_FUNCTION_VALUES, "function")}
        if kind := kinds.get(right.type):
            under, _, name = flat(text(left)).rpartition(".")
            under = under.removeprefix("module.").removeprefix("exports").lstrip(".")
            known = under if under.replace(".", "").replace("_", "").isalnum() else ""
            yield Definition(kind, name, node, known.removeprefix("this").lstrip("."))


def _js_method(node: Node) -> Iterator[Definition]:
    name = bare(text(node.child_by_field_name("name")))
    yield Definition("constructor" if name == "constructor" else "method", name, node)


def _js_field(node: Node) -> Iterator[Definition]:
    name = node.child_by_field_name("property") or node.child_by_field_name("name")
    value = node.child_by_field_name("value")
    is_function = value is not None and value.type in _FUNCTION_VALUES
    yield Definition("method" if is_function else "field", bare(text(name)), node)


JAVASCRIPT: Table = {
    "class_declaration": named("class"),
    "function_declaration": named("function"),
    "generator_function_declaration": named("function"),
    "method_definition": _js_method,
    "field_definition": _js_field,
    "variable_declarator": _js_variable,
    "pair": _js_pair,
    "assignment_expression": _js_assignment,
}


def _ts_module(node: Node) -> Iterator[Definition]:
    yield Definition("namespace", bare(text(node.child_by_field_name("name"))), node)


def _ts_members(node: Node) -> Iterator[Definition]:
    for one in node.named_children:
        name = one.child_by_field_name("name") if one.type == "enum_assignment" else one
        if one.type != "comment":
            yield Definition("member", bare(text(name)), one)


TYPESCRIPT: Table = {
    **JAVASCRIPT,
    "abstract_class_declaration": named("class"),
    "interface_declaration": named("interface"),
    "type_alias_declaration": named("type"),
    "enum_declaration": named("enum"),
    "enum_body": _ts_members,
    "internal_module": _ts_module,
    "module": _ts_module,
    "function_signature": declared("function"),
    "method_signature": declared("method"),
    "abstract_method_signature": declared("method"),
    "property_signature": declared("field"),
    "public_field_definition": _js_field,
}


def _ruby_constant(node: Node) -> Iterator[Definition]:
    left = node.child_by_field_name("left")
    if left is not None and left.type == "constant":
        yield Definition("constant", text(left), node)


def _ruby_module(kind: str) -> Table:
    def read(node: Node) -> Iterator[Definition]:
        under, _, name = text(node.child_by_field_name("name")).rpartition("::")
        yield Definition(kind, name, node, under.replace("::", "."))

    return {kind: read}


def _ruby_call(node: Node) -> Iterator[Definition]:
    if node.child_by_field_name("receiver") is not None:
        return
    if text(node.child_by_field_name("method")) not in _ACCESSORS:
        return
    arguments = node.child_by_field_name("arguments")
    for one in arguments.named_children if arguments is not None else ():
        if one.type == "simple_symbol":
            yield Definition("property", text(one).lstrip(":"), one)


def _ruby_method(node: Node) -> Iterator[Definition]:
    over = ("body_statement", "singleton_class", "if", "unless", "begin", "call", "do_block")
    kind = "method" if inside(node, over) in ("class", "module") else "function"
    yield Definition(kind, text(node.child_by_field_name("name")), node)


_ACCESSORS = frozenset("attr_reader attr_writer attr_accessor".split())
RUBY: Table = {
    **_ruby_module("module"),
    **_ruby_module("class"),
    "method": _ruby_method,
    "singleton_method": _ruby_method,
    "assignment": _ruby_constant,
    "call": _ruby_call,
}


def _php_constants(node: Node) -> Iterator[Definition]:
    for one in node.named_children:
        if one.type == "const_element":
            yield Definition("constant", text(child(one, "name")), one)


def _php_properties(node: Node) -> Iterator[Definition]:
    for one in node.named_children:
        if one.type == "property_element":
            name = one.child_by_field_name("name")
            yield Definition("property", text(name).lstrip("$"), one)


def _php_promoted(node: Node) -> Iterator[Definition]:
    yield Definition("property", text(node.child_by_field_name("name")).lstrip("$"), node)


def _php_define(node: Node) -> Iterator[Definition]:
    if text(node.child_by_field_name("function")).lower() != "define":
        return
    arguments = node.child_by_field_name("arguments")
    given = arguments.named_children if arguments is not None else []
    if given and text(given[0])[:1] in "'\"":
        yield Definition("constant", bare(text(given[0])), node)


def _php_method(node: Node) -> Iterator[Definition]:
    name = text(node.child_by_field_name("name"))
    kinds = {"__construct": "constructor", "__destruct": "destructor"}
    defined = node.child_by_field_name("body") is not None
    yield Definition(kinds.get(name, "method"), name, node, defined=defined)


def _php_namespace(node: Node) -> Iterator[Definition]:
    name = text(node.child_by_field_name("name")).replace("\\", ".")
    yield Definition("namespace", name, node, onward=node.child_by_field_name("body") is None)


PHP: Table = {
    "namespace_definition": _php_namespace,
    "class_declaration": named("class"),
    "interface_declaration": named("interface"),
    "trait_declaration": named("trait"),
    "enum_declaration": named("enum"),
    "enum_case": named("member"),
    "function_definition": named("function"),
    "method_declaration": _php_method,
    "const_declaration": _php_constants,
    "property_declaration": _php_properties,
    "property_promotion_parameter": _php_promoted,
    "function_call_expression": _php_define,
}


def _lua_function(node: Node) -> Iterator[Definition]:
    under, _, name = text(node.child_by_field_name("name")).replace(":", ".").rpartition(".")
    yield Definition("function", name, node, under)


def _lua_assignment(node: Node) -> Iterator[Definition]:
    names, values = child(node, "variable_list"), child(node, "expression_list")
    if names is None:
        return
    given = values.named_children if values is not None else []
    for number, one in enumerate(names.named_children):
        value = given[number] if number < len(given) else None
        if value is not None and value.type == "function_definition":
            under, _, name = text(one).replace(":", ".").rpartition(".")
            yield Definition("function", name, node, under)
        elif one.type == "identifier" and inside(node, ("variable_declaration",)) == "chunk":
            yield Definition(kind_of_name(text(one)), text(one), node)


LUA: Table = {
    "function_declaration": _lua_function,
    "assignment_statement": _lua_assignment,
}
_ELIXIR = {
    "defmodule": "module",
    "defprotocol": "protocol",
    "defimpl": "impl",
    "def": "function",
    "defp": "function",
    "defmacro": "macro",
    "defmacrop": "macro",
    "defdelegate": "function",
    "defguard": "macro",
}


def _elixir_call(node: Node) -> Iterator[Definition]:
    word = text(node.child_by_field_name("target"))
    arguments = child(node, "arguments")
    if (kind := _ELIXIR.get(word)) is None or arguments is None or not arguments.named_children:
        return
    head = arguments.named_children[0]
    while head.type == "binary_operator":
        head = head.child_by_field_name("left")
    if kind in ("function", "macro") and head.type == "call":
        head = head.child_by_field_name("target")
    defined = child(node, "do_block") is not None or child(arguments, "keywords") is not None
    yield Definition(kind, flat(text(head)), node, defined=defined)


ELIXIR: Table = {"call": _elixir_call}


def _shell_variable(node: Node) -> Iterator[Definition]:
    outer = inside(node, ("declaration_command", "variable_assignments"))
    name = node.child_by_field_name("name")
    if outer == "program" and name is not None and name.type == "variable_name":
        yield Definition(kind_of_name(text(name)), text(name), node)


SHELL: Table = {"function_definition": function(), "variable_assignment": _shell_variable}
