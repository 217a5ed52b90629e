"""`git ls-tree -z -l`."""

from __future__ import annotations

from typing import Any

from services.registry.builtin.git.parse.words import Decoder

_KINDS = {"120000": "symlink", "160000": "submodule", "040000": "folder"}


def parse(out: bytes, text: Decoder) -> list[dict[str, Any]]:
    """The entries of a folder; a last one that was cut is left out."""
    return [_entry(record, text) for record in out.split(b"\0")[:-1]]


def _entry(record: bytes, text: Decoder) -> dict[str, Any]:
    head, _, name = record.partition(b"\t")
    mode, _, id_, size = text(head).split()
    entry = {**text.name(name), "kind": _KINDS.get(mode, "file"), "mode": mode, "id": id_}
    return entry | ({"size": int(size)} if size.isdigit() else {})
