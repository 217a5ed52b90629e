"""How many lines are code, comment and blank: a comment is what the grammar calls one."""

from __future__ import annotations

from services.registry.builtin.code.engine.grammars import SyntaxTree

COMMENTS = (
    "comment", "line_comment", "block_comment", "multiline_comment", "marginalia", "js_comment",
    "Comment", "haddock", "hash_bang_line", "html_comment", "doc_comment", "shebang",
)  # fmt: skip


def counted(parsed: SyntaxTree, has_comments: bool) -> dict[str, int]:
    """Lines by what stands in them; where a comment and code share one, it is code.

    `comment` is absent for a language without comments, unless there are some all the same.
    """
    data = bytearray(parsed.data)
    found = parsed.found(*COMMENTS)
    for node in found:
        words = data[node.start_byte : node.end_byte]
        data[node.start_byte : node.end_byte] = bytes(10 if byte == 10 else 32 for byte in words)
    lines = split(parsed.data)
    without = split(bytes(data))
    code = sum(bool(line.strip()) for line in without)
    full = sum(bool(line.strip()) for line in lines)
    told = {"total": len(lines), "code": code, "blank": len(lines) - full}
    if has_comments or full > code:
        told["comment"] = full - code
    return told


def plain(text: str) -> dict[str, int]:
    """What can be said of a text without its grammar."""
    lines = split(text.encode("utf-8", "replace"))
    return {"total": len(lines), "blank": sum(not line.strip() for line in lines)}


def split(data: bytes) -> list[bytes]:
    """The lines of a text; a line break at the end begins no further one."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]
