"""Which lines of a repository's configuration are taken over: names that can run nothing. Pure.

Everything else of it stays unread by git, also what later releases of git add.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from services.registry.builtin.git.asked import GitRefused

_WORD = re.compile(r"[A-Za-z0-9.-]{0,64}")
_BRANCH_REF = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]{1,1000}")
_FETCH = re.compile(
    r"\+?refs/[^\x00-\x20\x7f~^:?\[\\]{1,1000}:refs/[^\x00-\x20\x7f~^:?\[\\]{1,1000}"
)
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")
_PLAIN = frozenset(
    "core.filemode core.symlinks core.ignorecase core.precomposeunicode core.autocrlf core.eol"
    " core.trustctime core.checkstat core.sparsecheckout core.sparsecheckoutcone index.sparse"
    " extensions.objectformat".split()
)
_NAMED = {
    ("branch", "remote"): _NAME,
    ("branch", "merge"): _BRANCH_REF,
    ("remote", "fetch"): _FETCH,
}
_EXTENSIONS = frozenset(
    "objectformat partialclone worktreeconfig noop preciousobjects relativeworktrees"
    " refstorage".split()
)
_FILTER = re.compile(r"filter\.(.+)\.(?:clean|process)", re.DOTALL)
BIG_FILE = "16m"
"""From this size on, a file's content is not compared."""


class RepositorySettings(NamedTuple):
    """What a repository's own configuration comes to here."""

    entries: tuple[tuple[str, str], ...]
    bare: bool
    worktree: str | None
    own_worktree_config: bool
    partial: bool
    filters: tuple[str, ...]
    """Programs that would change files between commit and working tree; they are not run."""


def parse(out: bytes) -> list[tuple[str, str]]:
    """`git config --list -z`: keys, lowered where git ignores their case, and values."""
    found = []
    for record in out.split(b"\0")[:-1]:
        key, equals, value = record.decode("utf-8", "surrogateescape").partition("\n")
        found.append((key, value if equals else "true"))
    return found


def settings(entries: list[tuple[str, str]]) -> RepositorySettings:
    """Raises GitRefused for a repository of a kind that is not known here."""
    last = dict(entries)
    version = last.get("core.repositoryformatversion", "0")
    if version not in ("0", "1"):
        raise GitRefused(f"the repository has format {version[:20]!r}, which is not known here")
    if version == "1":
        _check_extensions(last)
    return RepositorySettings(
        tuple(_taken(entries, version)),
        bare=_true(last.get("core.bare", "false")),
        worktree=last.get("core.worktree"),
        own_worktree_config=_true(last.get("extensions.worktreeconfig", "false")),
        partial="extensions.partialclone" in last
        or any(key.startswith("remote.") and key.endswith(".promisor") for key in last),
        filters=tuple(sorted({match[1] for key in last if (match := _FILTER.fullmatch(key))})),
    )


def _check_extensions(last: dict[str, str]) -> None:
    for key, value in last.items():
        name = key.removeprefix("extensions.")
        if name == key:
            continue
        if name not in _EXTENSIONS or (name == "refstorage" and value != "files"):
            raise GitRefused(
                f"the repository uses {key[:80]}={value[:80]!r}, which is not known here"
            )


def _taken(entries: list[tuple[str, str]], version: str) -> Iterator[tuple[str, str]]:
    for key, value in entries:
        section, _, rest = key.partition(".")
        name = rest.rpartition(".")
        if key in _PLAIN:
            allowed = _WORD
        elif name[1] and (section, name[2]) in _NAMED and _NAME.fullmatch(name[0]):
            allowed = _NAMED[section, name[2]]
        else:
            continue
        if allowed.fullmatch(value) and (version == "1" or section != "extensions"):
            yield key, value


def written(found: RepositorySettings, *, bare: bool) -> bytes:
    """The configuration that git gets to see."""
    version = int(any(key.startswith("extensions.") for key, _ in found.entries))
    lines = [
        f"[core]\n\trepositoryformatversion = {version}\n\tbare = {str(bare).lower()}",
        "\tfsmonitor = false\n\tuntrackedCache = false\n\tquotepath = false",
        f"\tbigFileThreshold = {BIG_FILE}",
        # Both are written by strangers: one can name packs elsewhere, the other another history.
        "\tmultiPackIndex = false\n\tcommitGraph = false",
        "[protocol]\n\tallow = never\n[submodule]\n\trecurse = false",
    ]
    for key, value in found.entries:
        section, _, rest = key.partition(".")
        inner, _, name = rest.rpartition(".")
        head = f"[{section} {_quoted(inner)}]" if inner else f"[{section}]"
        lines += [head, f"\t{name} = {_quoted(value)}"]
    return "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _true(value: str) -> bool:
    return value.lower() in ("true", "yes", "on", "1")
