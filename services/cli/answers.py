"""What a finished task has answered: tables for people, or a SARIF file for other programs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from services.cli.commands.version import installed
from services.cli.common import CliError, Exit, Out
from services.cli.input import STDIN
from services.cli.show import tasks as render
from services.process.files import write_shared
from services.process.visible import visible_json

SARIF_TYPE = "security_scan"
SarifFile = Annotated[Path | None, Parameter(name="--sarif", allow_leading_hyphen=True)]


@Parameter(name="*")
@dataclass(frozen=True)
class Shown:
    """How much of an answer is shown."""

    every: Annotated[bool, Parameter(name="--all")] = False
    """All rows of its tables, not the first 50 of each."""
    full: bool = False
    """Also the lines of code, how to mend them, and what else is known."""


AS_USUAL = Shown()


def show_answer(out: Out, task_type: str, value: Any, shown: Shown = AS_USUAL) -> None:
    """Print a result for people: as tables if there are any for it."""
    out.console.print(answer_tables(task_type, value, shown) or render.result(value))


def answer_tables(task_type: str, value: Any, shown: Shown) -> Any:
    """A result as tables; None: there are none for it."""
    from services.cli.show.answers import answer
    from services.cli.show.shape import Detail

    usual = Detail()
    return answer(task_type, value, Detail(None if shown.every else usual.rows, shown.full))


def check_sarif(out: Out, task_type: str, file: Path | None) -> None:
    """Refuse what can't be written as SARIF. Raises CliError."""
    if file is None:
        return
    if task_type != SARIF_TYPE:
        raise CliError(Exit.USAGE, f"--sarif is for {SARIF_TYPE}, not for {task_type}.")
    if out.as_json and str(file) == STDIN:
        text = "--json and --sarif - would both write to standard output."
        raise CliError(Exit.USAGE, text, "Name a file: --sarif FILE")
    if str(file) != STDIN and not file.absolute().parent.is_dir():
        raise CliError(Exit.USAGE, f"There is no folder {file.absolute().parent}.")


def write_sarif(out: Out, value: Any, file: Path) -> None:
    """Write the findings of a security scan as SARIF 2.1.0; `-`: to stdout. Raises CliError."""
    # Whoever writes none need not load its tables.
    from contracts.sarif import sarif

    try:
        found = render.unwrap(value)
        count = len(found["findings"])
        data = msgspec.json.format(msgspec.json.encode(sarif(found, installed())), indent=2)
    except (AttributeError, KeyError, TypeError, ValueError):
        text = "The answer is not that of the built-in scan: there is no SARIF of it."
        raise CliError(Exit.FAILED, text) from None
    data += b"\n"
    if str(file) == STDIN:
        sys.stdout.buffer.write(visible_json(data.decode()).encode())
        sys.stdout.flush()
        return
    try:
        _write(file, data)
    except OSError as error:
        raise CliError(Exit.FAILED, f"{file} can't be written: {error.strerror}.") from None
    if not out.as_json:
        out.note(f"{count} findings written to {file}")


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing: readers never see half a file. Raises OSError."""
    if path.exists() and not path.is_file():
        # A pipe or a device has no place for a new file.
        path.write_bytes(data)
        return
    write_shared(path.resolve(), data)
