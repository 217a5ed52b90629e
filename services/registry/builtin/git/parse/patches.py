"""`git diff -z --raw --numstat`, with or without the patch behind it.

The patch is split into files by their order, never by names in it: those are written by strangers.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from services.registry.builtin.git.parse.states import WORDS
from services.registry.builtin.git.parse.words import Decoder, whole_lines

_START = re.compile(rb"^(?=diff --git |\* Unmerged path )", re.MULTILINE)
_SUBMODULE = b"160000"
_ABOUT_SUBMODULE = re.compile(rb"\A(?:(?!@@).*\n)*?index [0-9a-f]+\.\.[0-9a-f]+ 160000\n")
_COMMIT = re.compile(rb"^([-+])Subproject commit ([0-9a-f]{40,64})", re.MULTILINE)


class Unclear(ValueError):
    """The parts of a diff do not belong together."""


class _Raw(NamedTuple):
    modes: tuple[bytes, bytes]
    ids: tuple[bytes, bytes]
    status: bytes
    names: tuple[bytes, bytes]


class _Tokens:
    """What ends with a NUL, one after another; `done` once a token is not whole."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        self.done = False

    def starts_with(self, first: bytes) -> bool:
        return not self.done and self._data.startswith(first, self.at)

    def next(self) -> bytes:
        end = self._data.find(b"\0", self.at)
        if end < 0:
            self.done = True
            return b""
        token = self._data[self.at : end]
        self.at = end + 1
        return token

    def rest(self) -> bytes:
        return b"" if self.done else self._data[self.at :]


def parse(out: bytes, text: Decoder, *, patch: bool, cut: bool) -> list[dict[str, Any]]:
    """The changed files; `cut`: the output was, so parts of it may be missing.

    Raises Unclear.
    """
    tokens = _Tokens(out)
    raws = _raws(tokens)
    counts = _counts(tokens)
    pieces = _START.split(tokens.rest())[1:] if patch else []
    if cut and pieces:
        pieces[-1] = whole_lines(pieces[-1])
    files: list[dict[str, Any]] = []
    taken = 0
    for raw in raws:
        need = _pieces(raw, pieces[taken : taken + 1])
        own = pieces[taken : taken + need]
        taken += need
        file = _file(raw, counts.get(raw.names[1]), text)
        if patch:
            file |= _patched(raw, own, text)
            if taken > len(pieces) or (cut and taken == len(pieces)):
                file["patch_truncated"] = True
        files.append(file)
    if patch and not cut and taken != len(pieces):
        raise Unclear(f"{taken} parts of a patch were expected, {len(pieces)} came")
    return _conflicts_joined(files)


def _pieces(raw: _Raw, following: list[bytes]) -> int:
    """How many parts of the patch are about this file."""
    if raw.status == b"M" and raw.modes == (_SUBMODULE, _SUBMODULE):
        # One that a conflict hides, and that is where it was, is told of without a patch.
        return int(not following or _ABOUT_SUBMODULE.search(following[0]) is not None)
    # A file that became a link, say, is taken away and made anew.
    return 2 if raw.status == b"T" else 1


def _raws(tokens: _Tokens) -> list[_Raw]:
    found: list[_Raw] = []
    while tokens.starts_with(b":"):
        fields = tokens.next()[1:].split(b" ")
        first = second = tokens.next()
        if fields[-1][:1] in (b"R", b"C"):
            second = tokens.next()
        if not tokens.done:
            one, two, old, new, status = fields
            found.append(_Raw((one, two), (old, new), status, (first, second)))
    return found


def _counts(tokens: _Tokens) -> dict[bytes, tuple[bytes, bytes]]:
    """Added and deleted lines by the file's (new) name; behind them stands an empty token."""
    found: dict[bytes, tuple[bytes, bytes]] = {}
    while not tokens.done and (token := tokens.next()):
        added, deleted, name = token.split(b"\t", 2)
        if not name:
            tokens.next()
            name = tokens.next()
        found[name] = (added, deleted)
    return found


def _file(raw: _Raw, counts: tuple[bytes, bytes] | None, text: Decoder) -> dict[str, Any]:
    file: dict[str, Any] = text.name(raw.names[1])
    status = text(raw.status[:1])
    file["status"] = WORDS.get(status, status)
    if status in "RC":
        file |= text.name(raw.names[0], "old_path")
        file["similarity"] = int(raw.status[1:])
    for when, mode, id_ in zip(("old", "new"), raw.modes, raw.ids, strict=True):
        file[f"{when}_mode"] = text(mode) if mode.strip(b"0") else None
        file[f"{when}_id"] = text(id_) if id_.strip(b"0") else None
    if counts is not None:
        file["binary"] = counts[0] == b"-"
        file["additions"], file["deletions"] = (
            0 if count == b"-" else int(count) for count in counts
        )
    if _SUBMODULE in raw.modes:
        file["submodule"] = {"old_commit": file["old_id"], "new_commit": file["new_id"]}
    return file


def _patched(raw: _Raw, pieces: list[bytes], text: Decoder) -> dict[str, Any]:
    """The patch text, and of a submodule the commits: a working tree has no id but there."""
    whole = b"".join(pieces)
    found: dict[str, Any] = {"patch": text(whole)}
    if _SUBMODULE in raw.modes:
        commits = {sign: text(id_) for sign, id_ in _COMMIT.findall(whole)}
        found["submodule"] = {
            "old_commit": commits.get(b"-"),
            "new_commit": commits.get(b"+"),
        }
    return found


def _conflicts_joined(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A file in conflict comes twice: once to say so, and once against what is ours."""
    joined: dict[tuple[str, str | None], dict[str, Any]] = {}
    for file in files:
        key = (file["path"], file.get("path_base64"))
        known = joined.get(key)
        if known is not None and known["status"] == "unmerged":
            file["conflict"] = True
        elif known is not None:
            key = (file["path"], f"{len(joined)}")
        if file["status"] == "unmerged":
            file["conflict"] = True
        joined[key] = file
    return list(joined.values())


def summary(files: list[dict[str, Any]]) -> str:
    """One line for people."""
    if not files:
        return "nothing changed"
    added, deleted = (sum(file.get(key, 0) for file in files) for key in ("additions", "deletions"))
    names = f"{len(files)} file{'s' * (len(files) != 1)} changed"
    return f"{names}, {added} lines added, {deleted} deleted" if "binary" in files[0] else names
