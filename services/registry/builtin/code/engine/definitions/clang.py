"""Definitions in C and C++."""

from __future__ import annotations

from collections.abc import Iterator

from services.registry.builtin.code.engine.grammars import Node, child, flat, inside, text
from services.registry.builtin.code.engine.symbols import (
    Definition,
    Reader,
    Table,
    named,
)

_NAMES = frozenset(
    "identifier field_identifier type_identifier qualified_identifier operator_name"
    " destructor_name operator_cast template_function namespace_identifier".split()
)
_C_FILE = frozenset(
    "translation_unit declaration_list field_declaration_list preproc_if preproc_ifdef"
    " preproc_else preproc_elif".split()
)


def _declarator(node: Node) -> tuple[Node | None, bool]:
    """The name that a C declarator declares, and whether as a function."""
    is_function = False
    while node is not None and node.type not in _NAMES:
        if node.type == "function_declarator":
            inner = node.child_by_field_name("declarator")
            # `int (*f)(int)` is a pointer: a variable.
            is_function = inner is not None and inner.type != "parenthesized_declarator"
        following = node.child_by_field_name("declarator")
        if following is None:
            following = node.named_children[-1] if node.named_children else None
        node = following
    return node, is_function


def _scoped(name: Node) -> tuple[str, str]:
    """`Order<T>::total` as `Order` and `total`."""
    under = []
    while name is not None and name.type == "qualified_identifier":
        scope = name.child_by_field_name("scope")
        if scope is not None:
            own = scope.child_by_field_name("name") if scope.type == "template_type" else scope
            under.append(text(own))
        name = name.child_by_field_name("name")
    if name is not None and name.type == "operator_cast":
        return ".".join(under), flat(text(name).partition("(")[0])
    return ".".join(under), flat(text(name)).replace("operator ", "operator")


def _c_function(node: Node) -> Iterator[Definition]:
    name, _ = _declarator(node.child_by_field_name("declarator"))
    if name is not None:
        under, own = _scoped(name)
        outer = _class_around(node) if not under else ""
        kind = "function"
        if own.startswith("~"):
            kind = "destructor"
        elif own in (outer, under.rpartition(".")[2]):
            kind = "constructor"
        elif own.startswith("operator"):
            kind = "operator"
        yield Definition(
            kind, own, node, under, child(node, "compound_statement", "try_statement") is not None
        )


def _class_around(node: Node) -> str:
    outer = node.parent
    while outer is not None:
        if outer.type in ("class_specifier", "struct_specifier"):
            name = outer.child_by_field_name("name")
            if name is not None and name.type == "template_type":
                name = name.child_by_field_name("name")
            return text(name)
        outer = outer.parent
    return ""


def _c_declaration(variable: str) -> Reader:
    def read(node: Node) -> Iterator[Definition]:
        if inside(node, ("template_declaration", "linkage_specification")) not in _C_FILE:
            return
        qualifiers = {text(one) for one in node.children if one.type == "type_qualifier"}
        constant = bool(qualifiers & {"const", "constexpr"}) and variable == "variable"
        for one in node.children_by_field_name("declarator"):
            name, is_function = _declarator(one)
            if name is None:
                continue
            under, own = _scoped(name)
            if is_function:
                outer = _class_around(node)
                kind = "function"
                if own.startswith("~"):
                    kind = "destructor"
                elif own == outer:
                    kind = "constructor"
                elif own.startswith("operator"):
                    kind = "operator"
                yield Definition(kind, own, node, under, defined=False)
            else:
                # `const char *name` can be changed: what it points to can't.
                is_constant = constant and "pointer" not in one.type
                yield Definition("constant" if is_constant else variable, own, one, under)

    return read


def _typedef(node: Node) -> Iterator[Definition]:
    for one in node.children_by_field_name("declarator"):
        name, _ = _declarator(one)
        yield Definition("type", text(name), node, scope=False)


def _with_body(kind: str) -> Reader:
    """A `struct x` without a body only names one that is elsewhere."""

    def read(node: Node) -> Iterator[Definition]:
        if node.child_by_field_name("body") is not None:
            name = node.child_by_field_name("name")
            if name is not None and name.type == "template_type":
                name = name.child_by_field_name("name")
            under, own = _scoped(name) if name is not None else ("", "")
            yield Definition(kind, own, node, under)

    return read


def _namespace(node: Node) -> Iterator[Definition]:
    name = flat(text(node.child_by_field_name("name"))).replace("::", ".")
    yield Definition("namespace", name or "(anonymous)", node)


def _in_error(node: Node) -> Iterator[Definition]:
    """A macro behind a prototype is an error to the grammar; the prototype is there still."""
    name, is_function = _declarator(node)
    if name is not None and is_function and node.parent.type == "ERROR":
        under, own = _scoped(name)
        yield Definition("function", own, node, under, defined=False)


C: Table = {
    "function_declarator": _in_error,
    "function_definition": _c_function,
    "declaration": _c_declaration("variable"),
    "field_declaration": _c_declaration("field"),
    "type_definition": _typedef,
    "struct_specifier": _with_body("struct"),
    "union_specifier": _with_body("union"),
    "enum_specifier": _with_body("enum"),
    "enumerator": named("member"),
    "preproc_def": named("macro"),
    "preproc_function_def": named("macro"),
}
CPP: Table = {
    **C,
    "class_specifier": _with_body("class"),
    "namespace_definition": _namespace,
    "alias_declaration": named("type"),
    "concept_definition": named("concept"),
}
