"""`git status --porcelain=v2 --branch -z`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.registry.builtin.git.parse.words import Decoder

WORDS = {
    ".": "unmodified",
    "M": "modified",
    "T": "type_changed",
    "A": "added",
    "D": "deleted",
    "R": "renamed",
    "C": "copied",
    "U": "unmerged",
}
CONFLICTS = {
    "DD": "both_deleted",
    "AU": "added_by_us",
    "UD": "deleted_by_them",
    "UA": "added_by_them",
    "DU": "deleted_by_us",
    "AA": "both_added",
    "UU": "both_modified",
}
_COMMIT, _DIRTY, _UNTRACKED = 1, 2, 3
"""Where the four letters about a submodule have what."""


def parse(out: bytes, text: Decoder, most: int) -> dict[str, Any]:
    """Branch and entries; of more than `most` entries the rest is counted in `left_out`."""
    branch: dict[str, str] = {}
    entries: list[dict[str, Any]] = []
    count = 0
    records = iter(out.split(b"\0")[:-1])
    for record in records:
        if record.startswith(b"# "):
            key, _, value = record[2:].partition(b" ")
            branch[text(key)] = text(value)
            continue
        count += 1
        second = next(records, b"") if record.startswith(b"2 ") else b""
        if count <= most:
            entries.append(_entry(record, second, text))
    return {**_branch(branch), "entries": entries, "left_out": count - len(entries)}


def _branch(found: dict[str, str]) -> dict[str, Any]:
    head, name = found.get("branch.oid", ""), found.get("branch.head", "")
    ahead, _, behind = found.get("branch.ab", "").partition(" ")
    return {
        "branch": None if name == "(detached)" else name or None,
        "detached": name == "(detached)",
        "head": None if head == "(initial)" else head or None,
        "upstream": found.get("branch.upstream"),
        "ahead": int(ahead) if ahead else None,
        "behind": -int(behind) if behind else None,
    }


def _entry(record: bytes, second: bytes, text: Decoder) -> dict[str, Any]:
    kind = record[:1]
    if kind in b"?!":
        state = "untracked" if kind == b"?" else "ignored"
        return {**text.name(record[2:]), "state": state}
    fields = record.split(b" ", {b"1": 8, b"2": 9, b"u": 10}[kind])
    xy, sub = text(fields[1]), text(fields[2])
    entry: dict[str, Any] = text.name(fields[-1])
    if kind == b"u":
        entry |= {"state": "conflict", "conflict": CONFLICTS.get(xy, xy)}
    else:
        entry |= {"state": "changed", "index": WORDS[xy[0]], "worktree": WORDS[xy[1]]}
        modes = [text(mode) for mode in fields[3:6]]
        if len({mode for mode in modes if mode != "000000"}) > 1:
            entry["modes"] = dict(zip(("head", "index", "worktree"), modes, strict=True))
    if kind == b"2":
        entry |= text.name(second, "old_path")
        entry["similarity"] = int(fields[8][1:])
    if sub != "N...":
        entry["submodule"] = {"commit_changed": sub[_COMMIT] == "C"}
    return entry


def summary(status: dict[str, Any]) -> str:
    """One line for people."""
    where = f"on {status['branch']}" if status["branch"] else "detached"
    parts = [where if status["head"] else f"{where}, no commits yet"]
    parts += [f"{status[key]} {key}" for key in ("ahead", "behind") if status[key]]
    counted = {state: 0 for state in ("changed", "conflict", "untracked", "ignored")}
    for entry in status["entries"]:
        counted[entry["state"]] += 1
    parts += [f"{count} {state}" for state, count in counted.items() if count]
    if status["left_out"]:
        parts.append(f"{status['left_out']} more")
    return ", ".join(parts if len(status["entries"]) else [*parts, "nothing changed"])


def lines(status: dict[str, Any]) -> Iterator[str]:
    """One line for each entry, as `git status --short` has it."""
    letters = {word: letter for letter, word in WORDS.items()} | {"unmodified": " "}
    for entry in status["entries"]:
        match entry["state"]:
            case "changed":
                mark = letters[entry["index"]] + letters[entry["worktree"]]
            case "conflict":
                mark = next(
                    (xy for xy, word in CONFLICTS.items() if word == entry["conflict"]), "UU"
                )
            case state:
                mark = "??" if state == "untracked" else "!!"
        old = f"{entry['old_path']} -> " if "old_path" in entry else ""
        yield f"{mark} {old}{entry['path']}"
