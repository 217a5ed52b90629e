"""Commits, as `git log -z` prints them in a format of ours, and annotated tags."""

from __future__ import annotations

from typing import Any

from services.registry.builtin.git.parse.words import Decoder, shortened

_FIELDS = ("H", "h", "P", "aN", "aE", "aI", "cN", "cE", "cI", "D", "e", "s", "b")
FORMAT = "tformat:" + "%x00".join(f"%{field}" for field in _FIELDS)
"""With -z a NUL follows each record too: every field ends with one."""
MOST_BODY = 64 * 1024
_REF = "tag: "


def parse(out: bytes, text: Decoder) -> list[dict[str, Any]]:
    """The commits, in git's order; a last one that was cut is left out."""
    fields = out.split(b"\0")[:-1]
    size = len(_FIELDS)
    return [
        _commit([text(field) for field in fields[at : at + size]])
        for at in range(0, len(fields) - size + 1, size)
    ]


def _commit(fields: list[str]) -> dict[str, Any]:
    found = dict(zip(_FIELDS, fields, strict=True))
    body, cut = shortened(found["b"].rstrip("\n"), MOST_BODY)
    commit: dict[str, Any] = {
        "id": found["H"],
        "short_id": found["h"],
        "parents": found["P"].split(),
        "author": _person(found["aN"], found["aE"], found["aI"]),
        "committer": _person(found["cN"], found["cE"], found["cI"]),
        "subject": found["s"],
        "body": body,
        "refs": refs(found["D"]),
    }
    if cut:
        commit["body_truncated"] = True
    if found["e"]:
        commit["encoding"] = found["e"]
    return commit


def _person(name: str, mail: str, time: str) -> dict[str, Any]:
    return {"name": name, "mail": mail, "time": moment(time)}


def moment(time: str) -> str | None:
    """A time in ISO 8601 with its zone; None for one that git can't read."""
    return f"{time[:-1]}+00:00" if time.endswith("Z") else time or None


def refs(decoration: str) -> list[str]:
    """Full names of what points at a commit; HEAD comes before the branch that it stands on."""
    found: list[str] = []
    for part in decoration.split(", ") if decoration else ():
        found += part.removeprefix(_REF).split(" -> ")
    return found


def tag(raw: bytes, text: Decoder) -> dict[str, Any]:
    """An annotated tag, as `git cat-file tag` prints it."""
    head, _, message = raw.partition(b"\n\n")
    fields = dict(line.partition(b" ")[::2] for line in head.splitlines())
    words, cut = shortened(text(message).rstrip("\n"), MOST_BODY)
    found: dict[str, Any] = {
        "name": text(fields.get(b"tag", b"")),
        "object": text(fields.get(b"object", b"")),
        "type": text(fields.get(b"type", b"")),
        "tagger": text(fields.get(b"tagger", b"")) or None,
        "message": words,
    }
    return found | ({"message_truncated": True} if cut else {})


def line(commit: dict[str, Any]) -> str:
    """One line for people."""
    day = (commit["author"]["time"] or "")[:10]
    return f"{commit['short_id']} {day} {commit['author']['name']}: {commit['subject']}"
