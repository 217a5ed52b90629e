"""What is named in languages that hold data, style, text or steps."""

from __future__ import annotations

from collections.abc import Iterator

from services.registry.builtin.code.engine.grammars import Node, child, flat, inside, text
from services.registry.builtin.code.engine.symbols import (
    Definition,
    Reader,
    Table,
    bare,
    named,
)


def _key(
    node: Node, top: tuple[str, ...], over: tuple[str, ...], type_: str
) -> Iterator[Definition]:
    if inside(node.parent, over) in top or node.parent.type in top:
        yield Definition("key", bare(flat(text(node.child_by_field_name(type_)))), node)


def _json_pair(node: Node) -> Iterator[Definition]:
    if node.parent.type == "object" and node.parent.parent.type == "document":
        yield Definition("key", bare(text(node.child_by_field_name("key"))), node)


def _yaml_pair(node: Node) -> Iterator[Definition]:
    over = ("block_node", "flow_node", "block_mapping", "flow_mapping")
    yield from _key(node, ("document",), over, "key")


def _toml_table(node: Node) -> Iterator[Definition]:
    name = child(node, "bare_key", "dotted_key", "quoted_key")
    yield Definition("table", bare(flat(text(name))), node, scope=False)


def _toml_pair(node: Node) -> Iterator[Definition]:
    if node.parent.type == "document":
        name = child(node, "bare_key", "dotted_key", "quoted_key")
        yield Definition("key", bare(flat(text(name))), node)


JSON: Table = {"pair": _json_pair}
YAML: Table = {"block_mapping_pair": _yaml_pair, "flow_pair": _yaml_pair}
TOML: Table = {"table": _toml_table, "table_array_element": _toml_table, "pair": _toml_pair}


def _head(kind: str, *, drop: str = "", scope: bool | None = None) -> Reader:
    """Named by what stands before the block."""

    def read(node: Node) -> Iterator[Definition]:
        block = child(node, "block", "keyframe_block_list")
        end = block.start_byte - node.start_byte if block is not None else None
        words = node.text[:end].decode("utf-8", "replace")
        yield Definition(kind, flat(words.removeprefix(drop)).rstrip(" {;"), node, scope=scope)

    return read


def _custom_property(node: Node) -> Iterator[Definition]:
    name = text(child(node, "property_name", "variable_name", "variable"))
    if name.startswith("--") or (name.startswith("$") and inside(node, ()) == "stylesheet"):
        yield Definition("variable", name, node)


CSS: Table = {
    "rule_set": _head("rule"),
    "media_statement": _head("media"),
    "supports_statement": _head("media"),
    "keyframes_statement": _head("keyframes", drop="@keyframes", scope=False),
    "declaration": _custom_property,
    "mixin_statement": named("mixin"),
    "function_statement": named("function"),
}


def _tag(node: Node) -> tuple[str, dict[str, str]]:
    """The tag of an element, and its attributes."""
    start = child(node, "start_tag", "self_closing_tag", "STag", "EmptyElemTag")
    if start is None:
        return "", {}
    given = {}
    for one in start.named_children:
        if one.type in ("attribute", "Attribute"):
            name = text(child(one, "attribute_name", "Name"))
            value = child(one, "quoted_attribute_value", "attribute_value", "AttValue")
            given[name] = bare(text(value))
    return text(child(start, "tag_name", "Name")), given


def _html_element(node: Node) -> Iterator[Definition]:
    tag, given = _tag(node)
    if given.get("id"):
        yield Definition("element", f"{tag}#{given['id']}", node)
    elif len(tag) == 2 and tag[0] in "hH" and tag[1].isdigit():
        yield Definition("heading", _words(node), node, scope=False)


def _words(node: Node) -> str:
    """The text inside an element, without its tags."""
    parts, waiting = [], [node]
    while waiting:
        one = waiting.pop()
        if one.type in ("text", "entity"):
            parts.append(text(one))
        waiting += reversed(one.named_children)
    return flat(" ".join(parts))


def _xml_element(node: Node) -> Iterator[Definition]:
    tag, given = _tag(node)
    if name := given.get("id") or given.get("name") or given.get("xml:id"):
        yield Definition("element", f"{tag}#{name}", node)
    elif node.parent is not None and node.parent.type == "document":
        yield Definition("element", tag, node)


HTML: Table = dict.fromkeys(("element", "script_element", "style_element"), _html_element)
XML: Table = {"element": _xml_element}


def _markdown_heading(node: Node) -> Iterator[Definition]:
    heading = child(node, "inline", "paragraph")
    yield Definition("heading", flat(text(heading)), node)


MARKDOWN: Table = dict.fromkeys(("atx_heading", "setext_heading"), _markdown_heading)


def _sql(kind: str) -> Reader:
    def read(node: Node) -> Iterator[Definition]:
        name = node.child_by_field_name("column") or child(node, "object_reference", "identifier")
        parts = [bare(one) for one in flat(text(name)).split(".")]
        yield Definition(kind, parts[-1].strip("[]"), node, ".".join(parts[:-1]))

    return read


def _sql_function(node: Node) -> Iterator[Definition]:
    (found,) = _sql("function")(node)
    # The schema before the dot does not make a method of it.
    name = ".".join(filter(None, (found.under, found.name)))
    yield Definition("function", name, node)


SQL: Table = {
    "create_table": _sql("table"),
    "create_view": _sql("view"),
    "create_materialized_view": _sql("view"),
    "create_index": _sql("index"),
    "create_type": _sql("type"),
    "create_schema": _sql("schema"),
    "create_database": _sql("database"),
    "create_sequence": _sql("sequence"),
    "create_trigger": _sql("trigger"),
    "create_function": _sql_function,
    "create_procedure": _sql_function,
}


def _make_rule(node: Node) -> Iterator[Definition]:
    targets = child(node, "targets")
    for one in targets.named_children if targets is not None else ():
        yield Definition("target", flat(text(one)), node)


MAKE: Table = {
    "rule": _make_rule,
    "variable_assignment": named("variable"),
    "define_directive": named("macro"),
}


def _stage(node: Node) -> Iterator[Definition]:
    name = node.child_by_field_name("as") or child(node, "image_spec")
    yield Definition("stage", flat(text(name)), node)


def _argument(node: Node) -> Iterator[Definition]:
    yield Definition("variable", text(node.child_by_field_name("name")), node)


DOCKERFILE: Table = {
    "from_instruction": _stage,
    "arg_pair": _argument,
    "env_pair": _argument,
}
