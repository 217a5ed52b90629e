"""What all commands share: options, exit codes, and how they speak.

Standard output carries what was asked for, and with `--json` nothing else; remarks go to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from cyclopts import Parameter
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from services.cli.settings import Settings
from services.process.settings import Common, load
from services.process.settings_sources import env_name
from services.process.visible import visible, visible_json

T = TypeVar("T")

WIDTH = 120

_SHORT = {"METAMCP_URL": env_name("cli", "url"), "METAMCP_TOKEN": env_name("cli", "token")}


class Exit(IntEnum):
    """Exit codes, for scripts."""

    OK = 0
    FAILED = 1
    """It was done and failed: the task, the audit, the start."""
    USAGE = 2
    """The command line, an input or a setting can't be understood."""
    UNREACHABLE = 3
    """No gateway or NATS server answers."""
    REFUSED = 4
    """There is no such thing, or it is not allowed."""
    INTERRUPTED = 130
    """Ctrl-C before the end."""
    CLOSED = 141
    """Whoever read the output closed it before the end; the number shells know it by."""


class CliError(Exception):
    """Ends a command: `message` says what is wrong, `hint` what to do."""

    def __init__(self, code: Exit, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """Options that every command has."""

    url: str | None = None
    """Address of the gateway; else METAMCP_URL, else the one running in the data folder."""
    data: Path | None = None
    """Data folder; else METAMCP_DATA, else ./.metamcp."""
    ca: Annotated[
        Path | None,
        Parameter(
            help="File (PEM) with the CA of the gateway's certificate; else METAMCP_CLI_CA, else"
            " the system's CAs. That of the data folder needs none."
        ),
    ] = None
    json: Annotated[bool, Parameter(name="--json")] = False
    """Print JSON for programs."""

    @property
    def common(self) -> Common:
        """Settings of the whole installation. Raises SettingsError."""
        return load(Common, "common", environ(), cwd=Path.cwd())

    @property
    def settings(self) -> Settings:
        """Settings of the client. Raises SettingsError."""
        return load(Settings, "cli", environ(), cwd=Path.cwd())

    @property
    def folder(self) -> Path:
        """The data folder, absolute."""
        return (self.data or self.common.data).expanduser().resolve()

    @property
    def out(self) -> Out:
        """Where this command's answers go."""
        return Out(as_json=self.json)


NO_OPTIONS = Options()
"""What a command gets when none of them was given."""


class PlainConsole(Console):
    """A console for text of strangers: no markup is looked for in it, and nothing in it plays with
    the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Show as escapes what would play with it, wherever it comes from."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            if control or text == "\n" or text.isprintable():
                yield segment
            else:
                parts = "\n".join(map(visible, text.split("\n")))
                yield Segment(parts, style)


class Out:
    """One command's output."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # Where there is no terminal nobody said how wide lines may be.
        wide = None if sys.stdout.isatty() else WIDTH
        self.console = PlainConsole(width=wide)
        self.errors = PlainConsole(stderr=True)

    def show(self, value: Any, rendered: RenderableType, *, soft_wrap: bool = False) -> None:
        """Print the value as JSON, or its rendering for people; soft-wrapped it can be copied."""
        if self.as_json:
            self.line(value)
        else:
            self.console.print(rendered, soft_wrap=soft_wrap)

    def line(self, value: Any) -> None:
        """Print one line of JSON."""
        text = visible_json(msgspec.json.encode(value, enc_hook=str).decode())
        sys.stdout.buffer.write(text.encode() + b"\n")
        sys.stdout.flush()

    def say(self, rendered: RenderableType, *, soft_wrap: bool = False) -> None:
        """Print for people only: on stdout, or nowhere with `--json`."""
        if not self.as_json:
            self.console.print(rendered, soft_wrap=soft_wrap)

    def note(self, text: str) -> None:
        """Remark on stderr."""
        self.errors.print(printable(text), style="dim", soft_wrap=True)


def printable(text: str) -> str:
    """Text without what plays with a terminal; its lines stay."""
    return "".join(mark if mark.isprintable() or mark == "\n" else " " for mark in text)


def environ() -> dict[str, str]:
    """This process's environment with the client's short names spelt out."""
    return long_names(os.environ)


def long_names(variables: Mapping[str, str]) -> dict[str, str]:
    """Spell METAMCP_URL and METAMCP_TOKEN as the settings they stand for; those win over them."""
    found = {name: value for name, value in variables.items() if name not in _SHORT}
    for short, name in _SHORT.items():
        if short in variables:
            found.setdefault(name, variables[short])
    return found


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part.

    Commands that start services have loaded the faster loop; one that only asks a gateway would pay
    more for loading it than it saves.
    """
    import asyncio

    uvloop: Any = sys.modules.get("uvloop")
    with asyncio.Runner(loop_factory=uvloop and uvloop.new_event_loop) as runner:
        return runner.run(work)
