"""The command `metamcp`: which commands there are, and how any of them ends.

Exit codes: 0 done, 1 it failed, 2 usage, 3 can't be reached, 4 not found or refused, 130 Ctrl-C,
141 nobody reads the output any more.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Container, Sequence
from typing import TextIO

import cyclopts
from cyclopts import App, Parameter
from rich.text import Text

from services.cli.commands.version import installed
from services.cli.common import CliError, Exit, PlainConsole, printable
from services.cli.table import COMMANDS, Command
from services.process.settings import SettingsError

EPILOGUE = (
    "Exit codes: 0 done, 1 it failed, 2 usage, 3 can't be reached, 4 not found or refused,"
    " 130 Ctrl-C, 141 output closed. Every command has --json, --url, --ca and --data."
)
_NOWHERE = logging.NullHandler()
_UNWRITTEN = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
ROOM = (
    "Free space on its disk, or raise what it may use: METAMCP_UP_NATS_BYTES, or `max_file_store`"
    " and the account's `max_file` of a server of your own."
)
COMPLETION = "--install-completion"
COMPLETE = "__complete"
"""What an installed completion script calls this program with."""


def build(wanted: Container[str] | None = None) -> App:
    """Put the command line together; what is not wanted has its name and summary only.

    None: everything is wanted.
    """
    app = App(
        name="metamcp",
        help="Send tasks to the best MCP host, and see every step.",
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=installed,
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
    )
    for heading, commands in COMMANDS.items():
        group = cyclopts.Group.create_ordered(heading)
        for command in commands:
            if wanted is None or command.name in wanted:
                _add(app, command, group)
            else:
                app.command(App(name=command.name, help=command.summary, group=group))
    app.register_install_completion_command(COMPLETION, help="Complete words in your shell.")
    return app


def _add(app: App, command: Command, group: cyclopts.Group) -> None:
    functions = command.load()
    app.command(functions[command.name], name=command.name, group=group)
    for words, function in functions.items():
        above, _, name = words.rpartition(" ")
        if above == command.name:
            app[above].command(function, name=name)


def _wanted(arguments: Sequence[str]) -> Container[str] | None:
    """Words that may be a command's name: only of those the code is loaded."""
    needs_all = {COMPLETION, COMPLETE} & set(arguments[:1])
    return None if needs_all else frozenset(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    sys.exit(execute(list(sys.argv[1:] if arguments is None else arguments)))


def execute(arguments: Sequence[str]) -> int:
    """Run a command; errors become one or two lines on stderr and an exit code."""
    with open(os.devnull, "w") as nowhere:
        # A stream that was closed from the start is none at all.
        sys.stdout = sys.stdout or nowhere
        sys.stderr = sys.stderr or nowhere
        try:
            code = _execute(arguments, nowhere)
            sys.stdout.flush()
        except (OSError, SystemExit) as error:
            if (lost := _lost(error)) is None:
                raise
            return _unwritten(lost)
        return code


def _execute(arguments: Sequence[str], nowhere: TextIO) -> int:
    try:
        app = build(_wanted(arguments))
        _hush(nowhere)
        code = app(list(arguments), exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        return _say(Exit.USAGE, str(error), "See `metamcp --help` or `metamcp COMMAND --help`.")
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:
        if _lost(error) or (known := _known(error)) is None:
            raise
        return _say(*known)
    return int(code or 0)


def _lost(error: BaseException) -> OSError | None:
    """Why the output can't be written, if that is what the error says.

    Of a pipe that nobody reads rich makes an exit of its own.
    """
    found = error.__context__ if isinstance(error, SystemExit) else error
    written = isinstance(found, OSError) and found.filename is None and found.errno in _UNWRITTEN
    return found if written and isinstance(found, OSError) else None


def _unwritten(error: OSError) -> int:
    """End without another word on what takes none, not even when Python itself ends."""
    closed = isinstance(error, BrokenPipeError)
    if not closed:
        _say(Exit.FAILED, f"The output can't be written: {error.strerror}.")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return Exit.CLOSED if closed else Exit.FAILED


def _hush(nowhere: TextIO) -> None:
    """Log lines are for those who run services; `up` and `demo` turn them on.

    A command that only asks a gateway has not loaded what writes them.
    """
    logging.getLogger().addHandler(_NOWHERE)
    if "services.process.telemetry" in sys.modules:
        from services.process import telemetry

        telemetry.setup(level="error", stream=nowhere)


def _known(error: Exception) -> tuple[Exit, str, str] | None:
    """Exit code, message and hint of an error that is no mistake of ours."""
    if isinstance(error, CliError):
        return error.code, error.message, error.hint
    if isinstance(error, SettingsError):
        return Exit.USAGE, str(error), ""
    return _known_below(error)


def _known_below(error: Exception) -> tuple[Exit, str, str] | None:
    """The same for what the rooms below raise; whoever raised it has imported them."""
    from services.bus.bus import BusError, PermissionDenied
    from services.bus.jetstream import ApiReason
    from services.log.port import ApiRefused, LogMismatch, LogUnavailable
    from services.process.run import Fatal
    from services.store.stream import StoreError
    from services.up.nats_server import EmbeddedError

    if isinstance(error, Fatal | EmbeddedError):
        return Exit.FAILED, error.message, error.hint
    if isinstance(error, PermissionDenied):
        return Exit.REFUSED, str(error), "The credentials of another role are needed."
    if isinstance(error, ApiRefused | StoreError) and error.reason is ApiReason.NO_ROOM:
        return Exit.FAILED, f"The NATS server has too little room for streams: {error}.", ROOM
    if isinstance(error, BusError | LogUnavailable | StoreError):
        return Exit.UNREACHABLE, str(error), ""
    if isinstance(error, LogMismatch):
        return Exit.FAILED, str(error), ""
    return None


def _say(code: Exit, message: str, hint: str = "") -> int:
    console = PlainConsole(stderr=True, soft_wrap=True)
    # The exit code says it as well where stderr takes nothing.
    with contextlib.suppress(OSError, SystemExit):
        console.print(Text("error: ", style="bold red").append(printable(message), "default"))
        if hint:
            console.print(Text(printable(hint), style="cyan"))
    return code
