"""All paths of a commit: in one answer where GitHub has it so, else tree by tree."""

from __future__ import annotations

from services.github import answers, names, shapes
from services.github.errors import GitHubMissing, GitHubTooLarge
from services.github.shapes import RawTree, TreeEntry
from services.github.site import Bearer, GitHubSite

MOST_ENTRIES = 200_000
"""Paths of one commit."""
MOST_TREES = 500
"""Requests for the paths of one commit."""


async def whole(
    site: GitHubSite, bearer: Bearer, owner: str, name: str, commit: str
) -> tuple[TreeEntry, ...]:
    """Every path, folders too, in the order of their names. Raises GitHubTooLarge."""
    found: list[TreeEntry] = []
    waiting = [("", commit)]
    for _ in range(MOST_TREES):
        if not waiting:
            return tuple(sorted(found, key=lambda one: one.path))
        before, sha = waiting.pop()
        raw = await _tree(site, bearer, owner, name, sha, recursive=True)
        if raw.truncated:
            # What was cut off nobody knows: this tree alone, then each below it by itself.
            raw = await _tree(site, bearer, owner, name, sha, recursive=False)
            below = [shapes.tree_entry(one, before) for one in raw.tree]
            waiting += [(f"{one.path}/", one.sha) for one in below if one.type == "tree"]
        found += [shapes.tree_entry(one, before) for one in raw.tree]
        if len(found) > MOST_ENTRIES:
            raise GitHubTooLarge(f"{owner}/{name} has more than {MOST_ENTRIES} paths")
    raise GitHubTooLarge(f"the paths of {owner}/{name} take more than {MOST_TREES} requests")


async def folder(
    site: GitHubSite, bearer: Bearer, owner: str, name: str, commit: str, path: str
) -> tuple[TreeEntry, ...]:
    """What lies in one folder, however much. Raises GitHubMissing."""
    sha, before = commit, ""
    for part in [one for one in path.split("/") if one]:
        raw = await _tree(site, bearer, owner, name, sha, recursive=False)
        below = [shapes.tree_entry(one) for one in raw.tree]
        sha = next((one.sha for one in below if one.path == part and one.type == "tree"), "")
        if not sha:
            raise GitHubMissing(f"{owner}/{name} has no folder {path[:200]!r} there")
        before += f"{part}/"
    raw = await _tree(site, bearer, owner, name, sha, recursive=False)
    return tuple(shapes.tree_entry(one, before) for one in raw.tree)


async def _tree(
    site: GitHubSite, bearer: Bearer, owner: str, name: str, sha: str, *, recursive: bool
) -> RawTree:
    path = names.of_repository(owner, name, "git/trees", names.check_commit(sha))
    # Any value makes it recursive: without, the parameter is left out.
    answer = await site.get(bearer, path, {"recursive": "1"} if recursive else None)
    return answers.decoded(answer.body, RawTree)
