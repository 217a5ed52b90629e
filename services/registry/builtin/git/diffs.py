"""What two states of a repository differ in: the options that git gets, and the answer."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, Literal

from services.registry.builtin.git import place
from services.registry.builtin.git.asked import GitRefused
from services.registry.builtin.git.child import Records
from services.registry.builtin.git.parse import patches
from services.registry.builtin.git.repository import Repository

Detail = Literal["patch", "stat", "name_only"]
SUBMODULES_LEFT_OUT = (
    "A submodule's .git leads outside the folders that may be read: submodules were left out."
)
_LEADING_OUT = rb"[^\0\t]*\t(?:/[^\0]*|(?:[^\0]*/)?\.\.(?:/[^\0]*)?)"
_ALWAYS = (
    *("--no-ext-diff", "--no-textconv", "--no-color", "--no-relative", "--find-renames"),
    *("--full-index", "--no-abbrev", "--submodule=short", "--raw", "--numstat", "-z"),
)


class Shape:
    """How much of a difference is told."""

    def __init__(self, detail: Detail, context_lines: int, paths: Sequence[str]) -> None:
        """`paths`: checked names; none of them: everything."""
        self.detail = detail
        self.paths = paths
        self._context = context_lines

    def options(self) -> list[str]:
        """For git."""
        patch = ["--patch", f"--unified={self._context}"] if self.detail == "patch" else []
        return [*_ALWAYS, *patch]


async def diff(
    repository: Repository, shape: Shape, *sides: str, submodules: str = "dirty"
) -> dict[str, Any]:
    """The files that differ between the sides, which are options and ids of ours.

    `submodules`: which changes of them are not looked at. Raises GitRefused.
    """
    arguments = ["diff", *shape.options(), f"--ignore-submodules={submodules}", *sides]
    out = await repository.read(*arguments, "--", *shape.paths)
    patch = shape.detail == "patch"
    cut = repository.truncated
    try:
        files = patches.parse(out, repository.text, patch=patch, cut=cut)
    except patches.Unclear as unclear:
        raise GitRefused(f"the files changed while they were read ({unclear}): try again") from None
    if shape.detail == "name_only":
        files = [{key: value for key, value in file.items() if key in _NAMES} for file in files]
    return {"files": files, **_totals(files)}


_NAMES = ("path", "path_base64", "old_path", "old_path_base64", "status", "conflict")


def _totals(files: list[dict[str, Any]]) -> dict[str, int]:
    keys = ("additions", "deletions")
    return {key: sum(file.get(key, 0) for file in files) for key in keys}


async def submodules_to_ignore(one: Repository, tree: str | None) -> str:
    """`dirty`, or `all` if git would have to look outside the bounds for one of them.

    To be called before git compares the working tree with the index, or with this tree: both may
    hold names that lead out of the working tree, and git would read what is there. Raises
    GitRefused.
    """
    top = one.work_tree()
    closed = b"|".join(re.escape(os.fsencode(name)) for name in one.bounds.closed_in(top))
    outside = _LEADING_OUT + (rb"|[^\0\t]*\t(?:" + closed + rb")(?:/[^\0]*)?" if closed else b"")
    sift = Records(rb"160000 [^\0]*|" + outside)
    done = await one.ran("ls-files", "-z", "--stage", sift=sift)
    found = done.out.split(b"\0")[:-1]
    if done.code != 0 or done.cut or any(map(re.compile(outside, re.DOTALL).fullmatch, found)):
        raise GitRefused("the index is damaged, or names files outside the working tree or of ours")
    if tree is not None:
        sift = Records(_LEADING_OUT)
        done = await one.ran("ls-tree", "-r", "-z", "--full-tree", tree, sift=sift)
        if done.code != 0 or done.out:
            raise GitRefused("the commit is damaged, or holds a name outside the working tree")
    try:
        for record in found:
            place.check_submodule(top / os.fsdecode(record.partition(b"\t")[2]), one.bounds)
    except GitRefused:
        return "all"
    return "dirty"
