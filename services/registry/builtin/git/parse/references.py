"""`git for-each-ref` in a format of ours."""

from __future__ import annotations

import re
from typing import Any

from services.registry.builtin.git.parse.history import moment
from services.registry.builtin.git.parse.words import Decoder

_FIELDS = (
    "refname",
    "objectname",
    "HEAD",
    "symref",
    "upstream",
    "upstream:track",
    "committerdate:iso-strict",
    "contents:subject",
)
FORMAT = "".join(f"%({field})%00" for field in _FIELDS)
"""A line end follows each record, so it begins every one but the first."""
_TRACK = re.compile(r"(ahead|behind) (\d+)")
_KINDS = {"refs/heads/": "local", "refs/remotes/": "remote"}


def parse(out: bytes, text: Decoder) -> list[dict[str, Any]]:
    """The branches, in git's order; a last one that was cut is left out."""
    fields = out.split(b"\0")[:-1]
    size = len(_FIELDS)
    return [
        _branch([text(field) for field in fields[at : at + size]])
        for at in range(0, len(fields) - size + 1, size)
    ]


def _branch(fields: list[str]) -> dict[str, Any]:
    ref, id_, head, target, upstream, track, time, subject = fields
    ref = ref.removeprefix("\n")
    start = next((start for start in _KINDS if ref.startswith(start)), "")
    branch: dict[str, Any] = {
        "name": ref.removeprefix(start),
        "ref": ref,
        "kind": _KINDS.get(start, "other"),
        "commit": id_,
        "current": head == "*",
        "time": moment(time),
        "subject": subject,
    }
    if target:
        branch["points_to"] = target
    if upstream:
        counted = {which: int(count) for which, count in _TRACK.findall(track)}
        branch["upstream"] = {
            "ref": upstream,
            "gone": track == "[gone]",
            "ahead": counted.get("ahead", 0),
            "behind": counted.get("behind", 0),
        }
    return branch
