"""The command `metamcp`: which commands there are, and how any of them ends.

Exit codes: 0 done, 1 it failed, 2 usage, 3 can't be reached, 4 not found or refused, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata

import cyclopts
from cyclopts import App, Parameter
from rich.console import Console
from rich.text import Text

from services.bus.bus import BusError, PermissionDenied
from services.cli.commands import (
    demo,
    doctor,
    host_changes,
    hosts,
    keys,
    link,
    log,
    prefer,
    results,
    run,
    spaces,
    tasks,
    token,
)
from services.cli.common import NO_OPTIONS, CliError, Exit, Options
from services.log.port import LogMismatch, LogUnavailable
from services.process import telemetry
from services.process.run import Fatal
from services.process.settings import SettingsError
from services.up.nats_server import EmbeddedError

PACKAGE = "metamcp-orchestrator"
EPILOGUE = (
    "Exit codes: 0 done, 1 it failed, 2 usage, 3 can't be reached, 4 not found or refused,"
    " 130 Ctrl-C. Every command has --json, --url, --ca and --data."
)


def version(*, options: Options = NO_OPTIONS) -> int:
    """Print the version."""
    options.out.show({"version": _version()}, Text(_version()))
    return Exit.OK


def _version() -> str:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "0"


COMMANDS: dict[str, tuple[tuple[str, Callable[..., int]], ...]] = {
    "Run": (("up", run.up_), ("demo", demo.demo), ("doctor", doctor.doctor)),
    "Tasks": (
        ("types", hosts.types),
        ("submit", tasks.submit),
        ("call", hosts.call),
        ("watch", tasks.watch),
        ("tasks", tasks.tasks),
        ("task", tasks.task),
        ("cancel", tasks.cancel),
    ),
    "Results": (("result", results.result), ("results", results.results)),
    "Hosts": (("hosts", hosts.hosts), ("prefer", prefer.prefer)),
    "Accounts": (
        ("link", link.link),
        ("unlink", link.unlink),
        ("accounts", link.accounts),
        ("spaces", spaces.spaces),
    ),
    "Log": (("replay", log.replay), ("audit", log.audit), ("keys", keys.keys)),
    "Other": (
        ("token", token.tokens),
        ("provision", run.provision),
        ("version", version),
    ),
}
"""Commands by heading, in the order of the help page."""
SUBCOMMANDS: dict[str, tuple[tuple[str, Callable[..., int]], ...]] = {
    "hosts": (
        ("add", host_changes.add),
        ("update", host_changes.update),
        ("enable", host_changes.enable),
        ("disable", host_changes.disable),
        ("remove", host_changes.remove),
        ("probe", host_changes.probe),
        ("discover", host_changes.discover),
        ("import", host_changes.import_),
    ),
    "keys": (("rotate", keys.rotate),),
    "results": (
        ("delete", results.delete),
        ("verify", results.verify),
        ("tasks", results.tasks),
    ),
    "spaces": (
        ("create", spaces.create),
        ("deploy", spaces.deploy),
        ("restart", spaces.restart),
    ),
    "token": (("add", token.add), ("list", token.tokens), ("revoke", token.revoke)),
}
"""Commands below one of those."""


def build() -> App:
    """Put the command line together."""
    app = App(
        name="metamcp",
        help="Send tasks to the best MCP host, and see every step.",
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=_version,
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
    )
    for heading, commands in COMMANDS.items():
        group = cyclopts.Group.create_ordered(heading)
        for name, function in commands:
            app.command(function, name=name, group=group)
    for name, commands in SUBCOMMANDS.items():
        for below, function in commands:
            app[name].command(function, name=below)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    sys.exit(execute(list(sys.argv[1:] if arguments is None else arguments)))


def execute(arguments: Sequence[str]) -> int:
    """Run a command; errors become one or two lines on stderr and an exit code."""
    with open(os.devnull, "w") as nowhere:
        # Log lines are for those who run services; `up` and `demo` turn them on.
        telemetry.setup(level="error", stream=nowhere)
        return _execute(arguments)


def _execute(arguments: Sequence[str]) -> int:
    try:
        code = build()(list(arguments), exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        return _say(Exit.USAGE, str(error), "See `metamcp --help` or `metamcp COMMAND --help`.")
    except CliError as error:
        return _say(error.code, error.message, error.hint)
    except SettingsError as error:
        return _say(Exit.USAGE, str(error))
    except (Fatal, EmbeddedError) as error:
        return _say(Exit.FAILED, error.message, error.hint)
    except PermissionDenied as error:
        return _say(Exit.REFUSED, str(error), "The credentials of another role are needed.")
    except (BusError, LogUnavailable) as error:
        return _say(Exit.UNREACHABLE, str(error))
    except LogMismatch as error:
        return _say(Exit.FAILED, str(error))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    return int(code or 0)


def _say(code: Exit, message: str, hint: str = "") -> int:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text("error: ", style="bold red").append(message, style="default"))
    if hint:
        console.print(Text(hint, style="cyan"))
    return code
