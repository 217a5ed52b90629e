"""Definitions in C, C++, Java, C#, Kotlin, Swift, Scala and Solidity."""

from __future__ import annotations

from collections.abc import Iterator

from services.registry.builtin.code.engine.grammars import Node, child, flat, inside, text
from services.registry.builtin.code.engine.symbols import (
    Found,
    Reader,
    Table,
    called,
    declared,
    function,
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


def _c_function(node: Node) -> Iterator[Found]:
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
        yield Found(
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
    def read(node: Node) -> Iterator[Found]:
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
                yield Found(kind, own, node, under, defined=False)
            else:
                # `const char *name` can be changed: what it points to can't.
                is_constant = constant and "pointer" not in one.type
                yield Found("constant" if is_constant else variable, own, one, under)

    return read


def _typedef(node: Node) -> Iterator[Found]:
    for one in node.children_by_field_name("declarator"):
        name, _ = _declarator(one)
        yield Found("type", text(name), node, scope=False)


def _with_body(kind: str) -> Reader:
    """A `struct x` without a body only names one that is elsewhere."""

    def read(node: Node) -> Iterator[Found]:
        if node.child_by_field_name("body") is not None:
            name = node.child_by_field_name("name")
            if name is not None and name.type == "template_type":
                name = name.child_by_field_name("name")
            under, own = _scoped(name) if name is not None else ("", "")
            yield Found(kind, own, node, under)

    return read


def _namespace(node: Node) -> Iterator[Found]:
    name = flat(text(node.child_by_field_name("name"))).replace("::", ".")
    yield Found("namespace", name or "(anonymous)", node)


C: Table = {
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


def _fields(node: Node) -> Iterator[Found]:
    """Java and C#: one declaration of several names; constant if it says so."""
    words = set(flat(text(child(node, "modifiers"))).split())
    words |= {text(one) for one in node.children if one.type == "modifier"}
    constant = "const" in words or {"static", "final"} <= words or {"static", "readonly"} <= words
    holder = child(node, "variable_declaration") or node
    for one in holder.children:
        if one.type == "variable_declarator":
            name = one.child_by_field_name("name") or child(one, "identifier")
            kind = "event" if node.type == "event_field_declaration" else "field"
            yield Found("constant" if constant else kind, text(name), one)


def _package(node: Node) -> Iterator[Found]:
    name = child(
        node, "scoped_identifier", "identifier", "qualified_identifier", "package_identifier"
    )
    # Scala: with a body it holds what is in it, otherwise it is the whole file's.
    holds = node.child_by_field_name("body") is not None
    yield Found("package", "".join(text(name).split()), node, scope=holds)


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
    "field_declaration": _fields,
    "constant_declaration": _fields,
    "enum_constant": named("member"),
    "module_declaration": named("module"),
}


def _onward(node: Node) -> Iterator[Found]:
    yield Found("namespace", text(node.child_by_field_name("name")), node, onward=True)


def _operator(node: Node) -> Iterator[Found]:
    sign = text(node.child_by_field_name("operator"))
    kind = text(node.child_by_field_name("type")) if "conversion" in node.type else sign
    yield Found("operator", f"operator {kind}", node)


def _finalizer(node: Node) -> Iterator[Found]:
    yield Found("destructor", "~" + text(node.child_by_field_name("name")), node)


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
    "event_field_declaration": _fields,
    "field_declaration": _fields,
}


def _kotlin_class(node: Node) -> Iterator[Found]:
    words = {one.type for one in node.children} | set(text(child(node, "modifiers")).split())
    kind = next((word for word in ("interface", "enum", "annotation") if word in words), "class")
    yield Found(kind, text(node.child_by_field_name("name")), node)


def _kotlin_property(node: Node) -> Iterator[Found]:
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
        yield Found(kind, text(child(one, "identifier")), node)


def _kotlin_parameter(node: Node) -> Iterator[Found]:
    if child(node, "val", "var") is not None:
        yield Found("property", text(child(node, "identifier")), node)


def _companion(node: Node) -> Iterator[Found]:
    yield Found("object", text(node.child_by_field_name("name")) or "Companion", node)


def _first(kind: str, type_: str) -> Reader:
    def read(node: Node) -> Iterator[Found]:
        yield Found(kind, text(child(node, type_)), node)

    return read


def _kotlin_constructor(node: Node) -> Iterator[Found]:
    yield Found("constructor", "constructor", node)


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


def _swift_class(node: Node) -> Iterator[Found]:
    kind = text(node.child_by_field_name("declaration_kind")) or "class"
    if kind == "actor":
        kind = "class"
    yield Found(kind, flat(text(node.child_by_field_name("name"))), node)


def _swift_function(node: Node) -> Iterator[Found]:
    # A parameter's or result's name comes in the field too; an operator's is a token.
    name = flat(text(node.child_by_field_name("name")))
    defined = node.type != "protocol_function_declaration" and (
        node.child_by_field_name("body") is not None
    )
    is_operator = not (name[:1].isalpha() or name[:1] in "_`")
    yield Found("operator" if is_operator else "function", name, node, defined=defined)


def _swift_property(node: Node) -> Iterator[Found]:
    outer = inside(node, ())
    if outer not in ("source_file", "class_body", "enum_class_body", "protocol_body"):
        return
    constant = text(child(node, "value_binding_pattern")).split()[:1] == ["let"]
    kind = "property" if outer != "source_file" else "constant" if constant else "variable"
    for one in node.children_by_field_name("name"):
        bound = one.child_by_field_name("bound_identifier")
        if bound is not None:
            yield Found(kind, text(bound), node)


def _swift_cases(node: Node) -> Iterator[Found]:
    for one in node.children_by_field_name("name"):
        if one.type == "simple_identifier":
            yield Found("member", text(one), one)


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


def _scala_value(node: Node) -> Iterator[Found]:
    outer = inside(node, ())
    if outer not in ("template_body", "compilation_unit", "enum_body", "indented_block"):
        return
    pattern = node.child_by_field_name("pattern") or node.child_by_field_name("name")
    if pattern is not None and pattern.type == "identifier":
        yield Found("constant" if node.type.startswith("val") else "variable", text(pattern), node)


def _scala_function(node: Node) -> Iterator[Found]:
    name = text(node.child_by_field_name("name"))
    defined = node.type == "function_definition"
    yield Found("constructor" if name == "this" else "function", name, node, defined=defined)


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
