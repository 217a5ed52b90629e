"""`input.files_from`: files of a repository as a task's input, and what the gateway makes of it.

The gateway puts an archive in its place, with the commit that was meant beside the pointer. Pure.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec

from contracts.errors import Reason, Rejected
from contracts.result import Pointer
from contracts.task import canonical

KEY, ARCHIVE = "files_from", "archive"
MOST_PATHS = 100
"""Files and folders that one task may name."""
_WORD = KEY.encode()

Path = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class FilesFrom(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which files: those of a repository at GitHub, as they are in one of its commits."""

    repo: Annotated[str, msgspec.Meta(pattern=r"^[^/\s]{1,100}/[^/\s]{1,100}(?![\s\S])")]
    """`OWNER/NAME`."""
    revision: Annotated[str, msgspec.Meta(max_length=250)] = ""
    """A branch, tag or commit; empty: the default branch."""
    paths: Annotated[tuple[Path, ...], msgspec.Meta(max_length=MOST_PATHS)] = ()
    """Files and folders of it; none: all of it."""


class FilesTaken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`input.archive.files_from`: what is in the archive that stands beside it, and whence."""

    repo: str
    revision: str = ""
    """As it was asked for …"""
    paths: tuple[str, ...] = ()
    commit: str
    """… and the commit that this was when the task was created."""
    files: int
    size: int
    """Bytes of them."""
    left_out: dict[str, int] = {}
    """Why, and how many."""


class AskedFiles(NamedTuple):
    """An input that asks for files of a repository."""

    rest: dict[str, Any]
    """The input without that."""
    wanted: FilesFrom

    def taken(self, pointer: Pointer, what: FilesTaken) -> bytes:
        """The input with the archive, in canonical form."""
        return canonical(self.rest | {ARCHIVE: {"pointer": pointer, KEY: what}})


def mentioned(data: bytes | msgspec.Raw) -> bool:
    """Whether an input may ask for files; `read` knows. False: it doesn't, as far as it is written
    plainly."""
    return _WORD in bytes(data)


def read(input_: bytes) -> AskedFiles | None:
    """Which files an input asks for; `input_` is a canonical JSON object. Raises Rejected."""
    if not mentioned(input_):
        return None
    value: dict[str, Any] = msgspec.json.decode(input_)
    _check_forged(value)
    if KEY not in value:
        return None
    try:
        wanted = msgspec.convert(value.pop(KEY), FilesFrom)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.BAD_REQUEST, f"input.{KEY}: {error}") from None
    if ARCHIVE in value:
        raise Rejected(Reason.BAD_REQUEST, f"give either input.{KEY} or input.{ARCHIVE}, not both")
    return AskedFiles(value, wanted)


def check_none(input_: bytes) -> None:
    """Refuse an input that asks for files where none are fetched. Raises Rejected."""
    if read(input_) is not None:
        text = "only over HTTP, the websocket, /mcp and requests on submit.USER; write it plainly"
        raise Rejected(Reason.BAD_REQUEST, f"input.{KEY}: {text}")


def as_asked(input_: bytes) -> bytes:
    """An input as it was asked for: the same for every commit that a branch has come to."""
    if not mentioned(input_):
        return input_
    value: dict[str, Any] = msgspec.json.decode(input_)
    archive = value.get(ARCHIVE)
    if isinstance(archive, dict) and _made_here(archive):
        asked = {name: archive[KEY].get(name, default) for name, default in _ASKED.items()}
        value = {name: one for name, one in value.items() if name != ARCHIVE} | {KEY: asked}
    elif isinstance(value.get(KEY), dict):
        value[KEY] = _ASKED | value[KEY]
    return canonical(value)


_ASKED: dict[str, Any] = {"repo": "", "revision": "", "paths": []}


def _made_here(archive: Any) -> bool:
    return isinstance(archive, dict) and "pointer" in archive and isinstance(archive.get(KEY), dict)


def _check_forged(value: dict[str, Any]) -> None:
    archive = value.get(ARCHIVE)
    if isinstance(archive, dict) and KEY in archive:
        text = f"input.{ARCHIVE}.{KEY} is written by the gateway: send input.{KEY}"
        raise Rejected(Reason.BAD_REQUEST, text)
