"""Files and folders of the command line, on their way into a task's input.

What is small goes along in the input, few big files as blobs, and many files as one archive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.filesize import decimal

from contracts.result import INLINE_LIMIT
from contracts.task import canonical
from services.cli.client import Api
from services.cli.common import CliError, Exit, Out
from services.cli.folder import LocalFile, Unreadable, read, walk
from services.cli.input import as_content
from services.cli.upload import upload_archive, upload_file
from services.packed.wanted import is_name

FEW = 8
"""Files that may go as blobs by themselves."""
_SHOWN_FOLDERS = 3
_MIB = 1024 * 1024


class UploadLimits(NamedTuple):
    """What a task may bring along; the values are those of gateways that don't tell theirs."""

    files: int = 1000
    total: int = 64 * _MIB
    """Bytes of all files."""
    input: int = _MIB
    """Bytes of the input itself."""
    blob: int = 128 * _MIB
    """Bytes of one upload."""
    inline: int = INLINE_LIMIT
    """Bytes of an input that needs no upload."""


class Accepts(NamedTuple):
    """What the input of a task type may have, by its schema."""

    path: bool = False
    path_required: bool = False
    archive: bool = True
    pointers: bool = True
    """Of a file, in place of its text."""


class Picked(NamedTuple):
    """What was named on the command line."""

    files: tuple[LocalFile, ...]
    left_out: Mapping[str, int]
    folders: bool
    """At least one of it is a folder."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    def summary(self) -> str:
        """How much goes along, and what is left out."""
        count = len(self.files)
        text = f"{count:,} file{'s' * (count != 1)}, {decimal(self.size)}"
        left = ", ".join(f"{number:,} {why}" for why, number in self.left_out.items())
        return f"{text}; left out: {left}" if left else text


def pick(paths: Sequence[Path], *, hidden: bool = False) -> Picked:
    """Find the files. With several paths a folder's name stands before its files. Raises CliError.

    A file that is named by itself is taken whatever it is.
    """
    files: dict[str, LocalFile] = {}
    left_out: Counter[str] = Counter()
    folders = False
    for path in paths:
        if path.is_dir():
            folders = True
            found = walk(path, hidden=hidden)
            left_out.update(found.left_out)
            prefix = f"{path.resolve().name}/" if len(paths) > 1 else ""
            entries = [one._replace(name=prefix + one.name) for one in found.files]
        else:
            entries = [_named(path)]
        for entry in entries:
            if entry.name in files:
                raise CliError(Exit.USAGE, f"There are two files named {entry.name}.")
            files[entry.name] = entry
    picked = Picked(tuple(files.values()), dict(sorted(left_out.items())), folders)
    if not files:
        raise CliError(
            Exit.USAGE,
            f"There is nothing to send: {picked.summary()}.",
            "--hidden takes hidden files too; a file that is named by itself is always taken.",
        )
    return picked


def _named(path: Path) -> LocalFile:
    most = UploadLimits().total
    if not is_name(path.name):
        raise CliError(Exit.USAGE, f"No file can be sent under the name {path.name!r}.")
    try:
        if path.is_file():
            return LocalFile(path.name, path.resolve(), path.stat().st_size)
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise CliError(Exit.USAGE, f"{path} can't be read: {error.strerror}.") from None
    if len(data) > most:
        raise CliError(Exit.USAGE, f"{path} is no file and has more than {decimal(most)}.")
    return LocalFile(path.name, path, len(data), data)


async def with_files(
    api: Api, out: Out, content: dict[str, Any], picked: Picked, task: Mapping[str, Any]
) -> dict[str, Any]:
    """Add the files to the input of one task, and `path` where there is no other input.

    `task`: its `type` and `host`. The gateway is asked only for what has to be known.
    """
    check_names(content, picked)
    limits, takes = UploadLimits(), Accepts()
    if picked.folders and not out.as_json:
        out.note(picked.summary())
    big = picked.size > room_inline(limits)
    if picked.folders or big:
        limits = await task_limits(api)
        check(picked, limits)
    if big or not content:
        hosts = await api.get("/api/mcps", task_type=task["type"])
        takes = accepts(hosts, task["type"], task.get("host"))
    if not content:
        content = name_path(content, picked, takes)
    return await attach(api, out, content, picked, takes, limits)


def check_names(content: Mapping[str, Any], picked: Picked) -> None:
    """Refuse files that the input has already. Raises CliError."""
    given = content.get("files", {})
    if not isinstance(given, dict):
        text = "`files` in the input must be an object of file name to text."
        raise CliError(Exit.USAGE, text)
    for entry in picked.files:
        if entry.name in given:
            raise CliError(Exit.USAGE, f"There are two files named {entry.name}.")


async def task_limits(api: Api) -> UploadLimits:
    """What the gateway lets a task bring along. Raises CliError."""
    try:
        found = await api.get("/api/limits")
    except CliError as error:
        if error.code is Exit.REFUSED:
            return UploadLimits()
        raise
    names = ("max_files", "max_files_bytes", "max_input_bytes", "max_blob_bytes", "inline_limit")
    given = [found.get(name) for name in names]
    usual = UploadLimits()
    return UploadLimits(*(new or old for new, old in zip(given, usual, strict=True)))


def accepts(hosts: Sequence[Mapping[str, Any]], task_type: str, host: str | None) -> Accepts:
    """Read what a task type takes from the hosts that serve it, or that one host."""
    for entry in hosts:
        binding = entry.get("task_types", {}).get(task_type)
        if binding is not None and host in (None, entry.get("id")):
            schema = binding.get("input_schema")
            if isinstance(schema, Mapping) and schema:
                return accepted(schema)
    return Accepts()


def accepted(schema: Mapping[str, Any]) -> Accepts:
    """The same from the schema of an input."""
    fields = schema.get("properties")
    fields = fields if isinstance(fields, Mapping) else {}
    required = schema.get("required")
    closed = schema.get("additionalProperties") is False
    files = fields.get("files")
    entry = files.get("additionalProperties") if isinstance(files, Mapping) else None
    types = entry.get("type", "object") if isinstance(entry, Mapping) else "object"
    return Accepts(
        path="path" in fields,
        path_required=isinstance(required, list) and "path" in required,
        archive="archive" in fields or not closed,
        pointers="object" in types,
    )


def check(picked: Picked, limits: UploadLimits) -> None:
    """Refuse what is too much, before anything is sent. Raises CliError."""
    count, size = len(picked.files), picked.size
    if count > limits.files:
        words = f"{count:,} files; the gateway takes {limits.files:,} with one task (max_files)"
        raise _too_much(words, largest(picked.files, by_size=False), picked)
    if size > limits.total:
        most = decimal(limits.total)
        words = f"{decimal(size)}; the gateway takes {most} with one task (max_files_bytes)"
        raise _too_much(words, largest(picked.files, by_size=True), picked)


def _too_much(words: str, folders: str, picked: Picked) -> CliError:
    todo = "Name a smaller folder, or leave folders out with a .metamcpignore."
    hint = f"Most are in {folders}. {todo}" if picked.folders else "Send them with several tasks."
    return CliError(Exit.USAGE, f"That is {words}. Nothing was sent.", hint)


def largest(files: Sequence[LocalFile], *, by_size: bool) -> str:
    """The folders that have the most, in words."""
    count: Counter[str] = Counter()
    for entry in files:
        parts = entry.name.split("/")[:-1]
        folder = "/".join(parts[:2]) + "/" if parts else "the folder itself"
        count[folder] += entry.size if by_size else 1
    shown = count.most_common(_SHOWN_FOLDERS)
    return ", ".join(f"{name} ({decimal(n) if by_size else f'{n:,}'})" for name, n in shown)


async def attach(
    api: Api,
    out: Out,
    content: dict[str, Any],
    picked: Picked,
    takes: Accepts,
    limits: UploadLimits,
) -> dict[str, Any]:
    """Add the files to a task's input, uploaded where they are big. Raises CliError."""
    inline, alone, together = split(picked.files, takes, limits)
    _check_input(sum(entry.size for entry in inline), limits)
    texts = {entry.name: as_content(_bytes(entry, limits.total)) for entry in inline}
    for entry in alone:
        texts[entry.name] = {"pointer": await upload_file(api, out, entry, limits.blob)}
    added = dict(content)
    if texts:
        added["files"] = {**content.get("files", {}), **texts}
    if together:
        added["archive"] = {"pointer": await upload_archive(api, out, together, limits.blob)}
    _check_input(len(canonical(added)), limits)
    return added


def _check_input(size: int, limits: UploadLimits) -> None:
    if size > limits.input:
        raise CliError(
            Exit.USAGE,
            f"The input would have {decimal(size)}; at most {decimal(limits.input)} may come"
            " (max_input_bytes), and this task type takes no archive.",
            "Send fewer or smaller files with one task.",
        )


def split(
    files: Sequence[LocalFile], takes: Accepts, limits: UploadLimits
) -> tuple[list[LocalFile], list[LocalFile], list[LocalFile]]:
    """Which files go along in the input, which as blobs by themselves, which in an archive."""
    room = room_inline(limits)
    if sum(entry.size + len(entry.name) + 8 for entry in files) <= room:
        return list(files), [], []
    if len(files) <= FEW and takes.pointers:
        inline: list[LocalFile] = []
        for entry in sorted(files, key=lambda one: one.size):
            room -= entry.size
            if room >= 0:
                inline.append(entry)
        return inline, [entry for entry in files if entry not in inline], []
    return ([], [], list(files)) if takes.archive else (list(files), [], [])


def room_inline(limits: UploadLimits) -> int:
    """Bytes of files that fit into an input of that size.

    Text grows when it becomes JSON; what is too big even so is uploaded as a whole.
    """
    return limits.inline * 3 // 4


def name_path(content: dict[str, Any], picked: Picked, takes: Accepts) -> dict[str, Any]:
    """Add `path` where the type has it: of one file its name. Raises CliError."""
    if not takes.path or "path" in content:
        return content
    if picked.folders:
        if takes.path_required:
            text = "This task type works on one file: INPUT must name it."
            raise CliError(Exit.USAGE, text, 'For example: \'{"path": "src/app.py"}\'')
        return content
    if len(picked.files) == 1 or takes.path_required:
        return content | {"path": picked.files[0].name}
    return content


def _bytes(entry: LocalFile, most: int) -> bytes:
    try:
        return read(entry, most)
    except Unreadable as error:
        raise CliError(Exit.USAGE, f"{entry.path} can't be read: {error}.") from None
