"""Profiles that stand in manifests: read at the start, changed there and nowhere else."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from contracts.errors import Rejected
from contracts.ids import check_token, is_user
from services.gateway.mcp.names import check_changes
from services.gateway.mcp.selection import ToolChoice, check_patterns
from services.gateway.people.profiles import Profile
from services.process.run import Fatal

BY = "manifest"
"""Who has set such a profile."""


class _Written(ToolChoice, frozen=True, kw_only=True, forbid_unknown_fields=True):
    description: Annotated[str, msgspec.Meta(max_length=500)] = ""
    user: str = ""
    project: str = ""


def load(files: Iterable[Path]) -> list[Profile]:
    """The profiles of these files. Raises Fatal that names the file and the place in it."""
    found: dict[tuple[str, str, str], Path] = {}
    profiles = []
    for path in files:
        for profile in _of(path):
            where = (profile.user, profile.project, profile.name)
            if (other := found.get(where)) is not None:
                text = f"{path}: profiles.{profile.name}: it stands in {other} too."
                raise Fatal(text, "Give one of them another name.")
            found[where] = path
            profiles.append(profile)
    return profiles


def _of(path: Path) -> list[Profile]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Fatal(f"{path}: it can't be read: {error}.") from None
    tables = content.get("profiles", {})
    if not isinstance(tables, dict):
        raise Fatal(f"{path}: profiles: expected a table [profiles.NAME] for each profile.")
    return [_profile(path, name, raw) for name, raw in tables.items()]


def _profile(path: Path, name: str, raw: Any) -> Profile:
    try:
        check_token(name, "the name")
        written = msgspec.convert(raw, _Written)
        check_patterns(written)
        check_changes(written.changes)
    except (Rejected, msgspec.ValidationError) as error:
        why = error.message if isinstance(error, Rejected) else str(error)
        raise Fatal(f"{path}: profiles.{name}: {why}.") from None
    if written.user and (written.project or not is_user(written.user)):
        why = "`user` is the name of a user, and there is no `project` beside it"
        raise Fatal(f"{path}: profiles.{name}: {why}.")
    return Profile(**msgspec.structs.asdict(written), name=name, by=BY)
