"""Imports in Python, JavaScript, TypeScript, Ruby, PHP, Lua, Elixir and shells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.registry.builtin.code.engine.grammars import Node, child, flat, text
from services.registry.builtin.code.engine.imports import Import, Takers, module, name
from services.registry.builtin.code.engine.symbols import bare


def _aliased(node: Node) -> tuple[str, str]:
    own = node.child_by_field_name("name") if node.type == "aliased_import" else node
    return flat(text(own)), text(node.child_by_field_name("alias"))


def _python_import(node: Node) -> Iterator[Import]:
    for one in node.children_by_field_name("name"):
        own, alias = _aliased(one)
        yield module(own, alias=alias)


def _python_from(node: Node) -> Iterator[Import]:
    path = "".join(text(node.child_by_field_name("module_name")).split())
    if node.type == "future_import_statement":
        path = "__future__"
    level = len(path) - len(path.lstrip("."))
    names = [name(*_aliased(one)) for one in node.children_by_field_name("name")]
    star = child(node, "wildcard_import") is not None
    yield module(path, star=star, names=names, level=level)


PYTHON: Takers = {
    "import_statement": _python_import,
    "import_from_statement": _python_from,
    "future_import_statement": _python_from,
}


def _specifiers(node: Node) -> list[dict[str, str]]:
    return [
        name(bare(text(one.child_by_field_name("name"))), text(one.child_by_field_name("alias")))
        for one in node.named_children
        if one.type in ("import_specifier", "export_specifier")
    ]


def _js_import(node: Node) -> Iterator[Import]:
    source = node.child_by_field_name("source")
    names: list[dict[str, str]] = []
    alias, star = "", False
    required = child(node, "import_require_clause")
    if required is not None:
        source = required.child_by_field_name("source")
        alias = text(child(required, "identifier"))
    clause = child(node, "import_clause")
    for one in clause.named_children if clause is not None else ():
        if one.type == "identifier":
            names.append({"name": "default", "alias": text(one)})
        elif one.type == "namespace_import":
            star, alias = True, text(child(one, "identifier"))
        elif one.type == "named_imports":
            names += _specifiers(one)
    yield module(bare(text(source)), alias=alias, star=star, names=names)


def _js_export(node: Node) -> Iterator[Import]:
    source = node.child_by_field_name("source")
    if source is None:
        return
    clause = child(node, "export_clause")
    names = _specifiers(clause) if clause is not None else []
    alias = text(child(child(node, "namespace_export") or node, "identifier"))
    yield module(bare(text(source)), alias=alias, star=clause is None, names=names)


def _js_call(node: Node) -> Iterator[Import]:
    called = node.child_by_field_name("function")
    arguments = node.child_by_field_name("arguments")
    if called is None or arguments is None or text(called) not in ("require", "import"):
        return
    given = arguments.named_children
    if len(given) >= 1 and given[0].type == "string":
        alias, names = _js_target(node)
        yield module(bare(text(given[0])), alias=alias, names=names)


def _js_target(node: Node) -> tuple[str, list[dict[str, str]]]:
    """What `const target = require(…)` calls it: one name, or several."""
    holder = node.parent
    if holder is None or holder.type != "variable_declarator":
        return "", []
    target = holder.child_by_field_name("name")
    if target.type == "identifier":
        return text(target), []
    names = []
    for one in target.named_children if target.type == "object_pattern" else ():
        if one.type == "shorthand_property_identifier_pattern":
            names.append(name(text(one)))
        elif one.type == "pair_pattern":
            key, value = one.child_by_field_name("key"), one.child_by_field_name("value")
            names.append(name(bare(text(key)), text(value)))
    return "", names


JAVASCRIPT: Takers = {
    "import_statement": _js_import,
    "export_statement": _js_export,
    "call_expression": _js_call,
}


def _ruby_call(node: Node) -> Iterator[Import]:
    word = text(node.child_by_field_name("method"))
    arguments = node.child_by_field_name("arguments")
    if node.child_by_field_name("receiver") is not None or arguments is None:
        return
    strings = [one for one in arguments.named_children if one.type == "string"]
    if word in ("require", "require_relative", "load", "autoload") and strings:
        path = bare(text(strings[-1]))
        given = [one for one in arguments.named_children if one.type == "simple_symbol"]
        names = [name(text(one).lstrip(":")) for one in given] if word == "autoload" else []
        yield module(path, names=names, level=int(word == "require_relative"))


RUBY: Takers = {"call": _ruby_call}


def _php_use(node: Node) -> Iterator[Import]:
    group = child(node, "namespace_use_group")
    if group is not None:
        prefix = text(child(node, "namespace_name", "qualified_name"))
        names = [
            name(text(one.named_children[0]), text(one.child_by_field_name("alias")))
            for one in group.named_children
            if one.type == "namespace_use_clause" and one.named_children
        ]
        yield module(prefix.strip("\\"), names=names)
        return
    for one in node.named_children:
        if one.type == "namespace_use_clause" and one.named_children:
            path = next(text(part) for part in one.named_children if part.type in _PHP_NAMES).strip(
                "\\"
            )
            yield module(path, alias=text(one.child_by_field_name("alias")))


_PHP_NAMES = frozenset({"name", "qualified_name", "namespace_name"})


def _php_include(node: Node) -> Iterator[Import]:
    strings: list[str] = []
    waiting: list[Any] = list(node.named_children)
    while waiting:
        one = waiting.pop(0)
        if one.type in ("string", "encapsed_string"):
            strings.append(bare(text(one)))
        elif one.type in ("parenthesized_expression", "binary_expression"):
            waiting = list(one.named_children) + waiting
    yield module("".join(strings))


PHP: Takers = {
    "namespace_use_declaration": _php_use,
    **dict.fromkeys(
        ("include_expression", "include_once_expression", "require_expression",
         "require_once_expression"),
        _php_include,
    ),
}  # fmt: skip


def _lua_call(node: Node) -> Iterator[Import]:
    arguments = node.child_by_field_name("arguments")
    if text(node.child_by_field_name("name")) == "require" and arguments is not None:
        given = child(arguments, "string")
        if given is not None:
            yield module(bare(text(given)).strip("[]="))


LUA: Takers = {"function_call": _lua_call}


def _elixir_call(node: Node) -> Iterator[Import]:
    arguments = child(node, "arguments")
    word = text(node.child_by_field_name("target"))
    if word not in ("import", "alias", "require", "use") or arguments is None:
        return
    first = arguments.named_children[0] if arguments.named_children else None
    if first is None or first.type not in ("alias", "dot"):
        return
    alias = ""
    keywords = child(arguments, "keywords")
    for pair in keywords.named_children if keywords is not None else ():
        if text(pair.child_by_field_name("key")).strip().rstrip(":") == "as":
            alias = text(pair.child_by_field_name("value"))
    right = first.child_by_field_name("right") if first.type == "dot" else None
    if right is not None and right.type == "tuple":
        names = [name(text(one)) for one in right.named_children]
        yield module(text(first.child_by_field_name("left")), names=names)
    else:
        yield module(flat(text(first)), alias=alias)


ELIXIR: Takers = {"call": _elixir_call}


def _shell_command(node: Node) -> Iterator[Import]:
    if text(node.child_by_field_name("name")) in ("source", "."):
        yield module(bare(text(node.child_by_field_name("argument"))))


SHELL: Takers = {"command": _shell_command}
