"""Projects and repositories as they are named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.cli.client import Api
from services.cli.common import CliError, Exit
from services.cli.input import check_ids
from services.cli.show.tasks import plain

PATH = "/api/projects"
FETCH_S = 660.0
"""How long the gateway may take until it has a repository."""


async def find_project(api: Api, text: str) -> str:
    """The id of a project of which the id or the name is given. Raises CliError."""
    found: list[Any] = await api.get(PATH, name=text)
    if len(found) > 1:
        ids = ", ".join(str(one["id"]) for one in found)
        raise CliError(Exit.USAGE, f"{len(found)} projects are named {plain(text)}.", f"Ids: {ids}")
    if found:
        return str(found[0]["id"])
    check_ids(project=text)
    return text


def repository(text: str, paths: Sequence[str]) -> dict[str, Any]:
    """`input.files_from` of OWNER/NAME[@REVISION]. Raises CliError."""
    repo, at, revision = text.partition("@")
    owner, _, name = repo.partition("/")
    if not owner or not name or "/" in name or (at and not revision):
        example = "For example: --repo ann/app, or --repo ann/app@v1.2"
        raise CliError(Exit.USAGE, f"{plain(text)} is no repository.", example)
    wanted: dict[str, Any] = {"repo": repo}
    if revision:
        wanted["revision"] = revision
    if paths:
        wanted["paths"] = [path.rstrip("/") for path in paths]
    return wanted
