"""Variables of other clients: `${input:ID}`, `${env:NAME}`, `${NAME:-default}`, `~` and the rest.

What only its owner knows becomes a reference to a secret; places become paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from contracts import references
from services.foreign.entry import BadEntry
from services.keys import spotting

_VARIABLE = re.compile(
    r"\$\{\{\s*(?:(?:secrets|inputs|env)\.)?(?P<github>[\w.-]+)\s*\}\}"
    r"|\$\{(?P<body>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
    r"|\{(?P<kind>env|file):(?P<what>[^{}]+)\}"
)
_BARE = re.compile(r"((?:bearer|basic|token)\s+)?\$([A-Z_][A-Z0-9_]*)", re.IGNORECASE)
_NAMED = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?:(:?-)(.*))?", re.DOTALL)
_ASKED = re.compile(r"(?:input:|user_config\.)(.+)")
_PLACES = re.compile(
    r"(?P<workspace>workspaceFolder|workspaceRoot|cwd)(?::[^}]*)?"
    r"|(?P<base>workspaceFolderBasename)|(?P<home>userHome|HOME|env:HOME|env:USERPROFILE)"
    r"|(?P<slash>pathSeparator|/)|(?P<here>__dirname|fileDirname)"
)
_OF_WINDOWS = re.compile(r"%(?:APPDATA|LOCALAPPDATA|USERPROFILE|HOMEPATH|PROGRAMFILES)%", re.I)
_OF_EDITORS = re.compile(r"[a-z]\w*")
_HOME = re.compile(r"~(?=/|\\|$)")
_OTHER = re.compile(r"[^A-Za-z0-9]+")


class Surroundings(NamedTuple):
    """What variables stand for."""

    folder: Path | None
    """Of the file; None: it was sent here from elsewhere."""
    home: Path | None
    """None: somebody else's machine is meant."""
    workspace: Path | None
    """Folder of the project that the file belongs to."""
    inputs: Mapping[str, Any]
    given: Mapping[str, str]
    """Values by name."""


class Resolver:
    """Puts something in the place of each variable of one server."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.notes: list[str] = []
        """What was put there that is worth a look."""

    def text(self, where: str, text: str, *, plain: bool = False) -> str:
        """The text with references in the place of what is not known. Raises BadEntry.

        `plain`: no reference may stand there, so that values are put in themselves.
        """
        text = references.literal(text)
        if bare := _BARE.fullmatch(text):
            return (bare[1] or "") + self._of(where, bare[2], plain=plain)
        if found := _OF_WINDOWS.search(text):
            raise BadEntry(f"{where}: {found[0]} is known on Windows only: write the whole path")
        text = _VARIABLE.sub(lambda found: self._resolved(where, found, plain=plain), text)
        if _HOME.match(text):
            home = self._home(where, "~")
            self._note(f"~ is {home}")
            text = home + text[1:]
        return text

    def _home(self, where: str, written: str) -> str:
        if self._around.home is None:
            raise BadEntry(
                f"{where}: {written} is a folder of another machine: write the whole path"
            )
        return str(self._around.home)

    def _resolved(self, where: str, found: re.Match[str], *, plain: bool) -> str:
        if found["github"]:
            return self._of(where, found["github"].rpartition(".")[2], plain=plain)
        if found["kind"] == "env":
            return self._of(where, found["what"].strip(), plain=plain)
        if found["kind"] == "file":
            return self._in_file(where, found["what"].strip())
        body = found["body"].strip()
        if place := _PLACES.fullmatch(body):
            return self._place(where, place, found[0])
        if asked := _ASKED.fullmatch(body):
            return self._asked(where, asked[1].strip(), plain=plain)
        named = _NAMED.fullmatch(body)
        # What is written as an editor writes its own is one that is not known here.
        if named is None or (_OF_EDITORS.fullmatch(named[1]) and re.search("[A-Z]", named[1])):
            raise BadEntry(
                f"{where}: {found[0][:60]} is a variable of another client: write its value"
            )
        optional = named[2] and (named[3] or not spotting.secret_name(named[1]))
        if optional and named[1] not in self._around.given:
            if named[3]:
                self._note(f"{named[1]} is its default")
            return self.text(where, named[3], plain=plain) if "${" in named[3] else named[3]
        return self._of(where, named[1], plain=plain)

    def _of(self, where: str, name: str, *, plain: bool) -> str:
        name = name if references.is_name(name) else secret_name(name)
        if not plain:
            return references.reference(name)
        if name in self._around.given:
            return self._around.given[name]
        raise BadEntry(
            f"{where}: what {name} stands for has to be known here: write its value, or give it"
            " with --secrets"
        )

    def _asked(self, where: str, id_: str, *, plain: bool) -> str:
        name = secret_name(id_)
        said = self._around.inputs.get(id_, {})
        default = said.get("default") if not said.get("password") else None
        if name not in self._around.given and isinstance(default, str) and default:
            self._note(f"{id_} is its default")
            return default
        return self._of(where, name, plain=plain)

    def _in_file(self, where: str, path: str) -> str:
        raise BadEntry(
            f"{where}: it is what stands in {path[:200]}: put that into a secret, and write"
            " {env:NAME} for it"
        )

    def _place(self, where: str, place: re.Match[str], written: str) -> str:
        around = self._around
        if place["slash"]:
            return os.sep
        if place["home"]:
            home = self._home(where, written)
            self._note(f"{written} is {home}")
            return home
        if place["here"]:
            if around.folder is None:
                raise BadEntry(f"{where}: {written} is a folder of another machine: write its path")
            return str(around.folder)
        if around.workspace is None:
            why = (
                "name the project's folder with --workspace" if around.folder else "write its path"
            )
            raise BadEntry(f"{where}: {written}: {why}")
        self._note(f"{written} is {around.workspace}")
        return around.workspace.name if place["base"] else str(around.workspace)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def secret_name(text: str) -> str:
    """A name for a secret, made of any words."""
    name = _OTHER.sub("_", text).strip("_").upper()[:64].rstrip("_")
    return name if references.is_name(name) else f"SECRET_{name}"[:64].rstrip("_")
