"""Imports in C, C++, C#, Java, Kotlin, Swift, Scala, Go, Rust, Haskell, Solidity, and of pages."""

from __future__ import annotations

from collections.abc import Iterator

from services.registry.builtin.code.engine.grammars import Node, child, flat, text
from services.registry.builtin.code.engine.imports import Import, Takers, module, name
from services.registry.builtin.code.engine.symbols import bare


def _include(node: Node) -> Iterator[Import]:
    path = node.child_by_field_name("path")
    system = path is not None and path.type == "system_lib_string"
    yield module(text(path).strip('<>" '), system=system)


C: Takers = {"preproc_include": _include}


def _using(node: Node) -> Iterator[Import]:
    alias = node.child_by_field_name("name")
    given = [one for one in node.named_children if alias is None or one.id != alias.id]
    if given:
        is_static = child(node, "static") is not None
        yield module(flat(text(given[-1])), alias=text(alias), static=is_static)


CSHARP: Takers = {"using_directive": _using}


def _java(node: Node) -> Iterator[Import]:
    path = text(child(node, "scoped_identifier", "identifier"))
    star = child(node, "asterisk") is not None
    yield module("".join(path.split()), star=star, static=child(node, "static") is not None)


JAVA: Takers = {"import_declaration": _java}


def _kotlin(node: Node) -> Iterator[Import]:
    path = "".join(text(child(node, "qualified_identifier", "identifier")).split())
    star = text(node).rstrip().endswith("*")
    alias = text(node.children[-1]) if child(node, "as") is not None else ""
    yield module(path, star=star, alias=alias)


KOTLIN: Takers = {"import": _kotlin}


def _swift(node: Node) -> Iterator[Import]:
    yield module(flat(text(child(node, "identifier"))))


SWIFT: Takers = {"import_declaration": _swift}


def _scala(node: Node) -> Iterator[Import]:
    path = ".".join(text(one) for one in node.children_by_field_name("path") if one.type != ".")
    star = child(node, "namespace_wildcard") is not None
    names, selectors = [], child(node, "namespace_selectors")
    for one in selectors.named_children if selectors is not None else ():
        if one.type == "namespace_wildcard":
            star = True
        elif "renamed" in one.type:
            own, alias = (text(one.child_by_field_name(field)) for field in ("name", "alias"))
            names.append(name(own, alias))
        elif one.type == "identifier":
            names.append(name(text(one)))
    renamed = child(node, "as_renamed_identifier")
    if renamed is not None:
        own, alias = (text(renamed.child_by_field_name(field)) for field in ("name", "alias"))
        names.append(name(own, alias))
    yield module(path, star=star, names=names)


SCALA: Takers = {"import_declaration": _scala}


def _go(node: Node) -> Iterator[Import]:
    alias = text(node.child_by_field_name("name"))
    path = bare(text(node.child_by_field_name("path")))
    yield module(path, star=alias == ".", alias="" if alias == "." else alias)


GO: Takers = {"import_spec": _go}


def _rust_use(node: Node) -> Iterator[Import]:
    yield from _used(node.child_by_field_name("argument"), "")


def _used(node: Node | None, before: str) -> Iterator[Import]:
    """One import for each path: names of one list that end there go together."""
    if node is None:
        return
    if node.type in ("scoped_use_list", "use_list"):
        path = text(node.child_by_field_name("path")) if node.type == "scoped_use_list" else ""
        inner = _joined(before, path)
        holder = node.child_by_field_name("list") if node.type == "scoped_use_list" else node
        yield from _use_list(holder, inner)
    elif node.type == "use_wildcard":
        inner = text(node.named_children[0]) if node.named_children else ""
        yield module(_joined(before, inner), star=True)
    elif node.type == "use_as_clause":
        alias = text(node.child_by_field_name("alias"))
        yield module(_joined(before, text(node.child_by_field_name("path"))), alias=alias)
    else:
        yield module(_joined(before, text(node)))


def _use_list(holder: Node, before: str) -> Iterator[Import]:
    names = []
    for one in holder.named_children:
        if one.type in ("identifier", "self") and before:
            names.append(name(text(one)))
        elif one.type == "use_as_clause" and one.child_by_field_name("path").type in (
            "identifier", "self",
        ):  # fmt: skip
            own, alias = (text(one.child_by_field_name(field)) for field in ("path", "alias"))
            names.append(name(own, alias))
    if names and before:
        yield module(before, names=names)
    for one in holder.named_children:
        simple = one.type in ("identifier", "self") or (
            one.type == "use_as_clause"
            and one.child_by_field_name("path").type in ("identifier", "self")
        )
        if not (simple and before) and "comment" not in one.type:
            yield from _used(one, before)


def _joined(before: str, path: str) -> str:
    return "::".join(filter(None, (before, "".join(path.split()))))


def _extern(node: Node) -> Iterator[Import]:
    alias = text(node.child_by_field_name("alias"))
    yield module(text(node.child_by_field_name("name")), alias=alias)


RUST: Takers = {"use_declaration": _rust_use, "extern_crate_declaration": _extern}


def _haskell(node: Node) -> Iterator[Import]:
    names = node.child_by_field_name("names")
    given = names.named_children if names is not None and child(node, "hiding") is None else []
    listed = [name(flat(text(one))) for one in given if "comment" not in one.type]
    alias = text(node.child_by_field_name("alias"))
    yield module(text(node.child_by_field_name("module")), alias=alias, names=listed)


HASKELL: Takers = {"import": _haskell}


def _solidity(node: Node) -> Iterator[Import]:
    names = [text(one) for one in node.children if one.type == "identifier"]
    path = bare(text(node.child_by_field_name("source")))
    own = {text(one) for one in node.children_by_field_name("import_name")}
    listed: list[dict[str, str]] = []
    for one in names:
        if one in own or not listed:
            listed.append(name(one))
        else:
            listed[-1]["alias"] = one
    yield module(path, star=child(node, "*") is not None, names=listed)


SOLIDITY: Takers = {"import_directive": _solidity}


def _css(node: Node) -> Iterator[Import]:
    for one in node.named_children:
        if one.type == "call_expression":
            one = child(one, "arguments") or one
            yield module(bare(text(one).strip("() ")))
        elif one.type == "string_value":
            yield module(bare(text(one)))


CSS: Takers = dict.fromkeys(("import_statement", "use_statement", "forward_statement"), _css)


def _html(node: Node) -> Iterator[Import]:
    tag = text(child(node, "tag_name")).lower()
    given = {
        text(child(one, "attribute_name")).lower(): bare(text(one.named_children[-1]))
        for one in node.named_children
        if one.type == "attribute" and one.named_child_count > 1
    }
    if tag == "script" and "src" in given:
        yield module(given["src"])
    elif tag == "link" and given.get("rel") in ("stylesheet", "modulepreload", "import"):
        yield module(given.get("href", ""))


HTML: Takers = {"start_tag": _html, "self_closing_tag": _html}


def _from(node: Node) -> Iterator[Import]:
    yield module(text(child(node, "image_spec")), alias=text(node.child_by_field_name("as")))


DOCKERFILE: Takers = {"from_instruction": _from}


def _make(node: Node) -> Iterator[Import]:
    for path in text(node.child_by_field_name("filenames")).split():
        yield module(path)


MAKE: Takers = {"include_directive": _make}
