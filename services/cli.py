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

from services import (
    cli_demo,
    cli_doctor,
    cli_host_changes,
    cli_hosts,
    cli_keys,
    cli_link,
    cli_log,
    cli_prefer,
    cli_results,
    cli_run,
    cli_spaces,
    cli_tasks,
    cli_token,
    telemetry,
)
from services.bus.bus import BusError, PermissionDenied
from services.cli_common import NO_OPTIONS, CliError, Exit, Options
from services.embedded import EmbeddedError
from services.log.port import LogMismatch, LogUnavailable
from services.process import Fatal
from services.settings import SettingsError

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
    "Run": (("up", cli_run.up_), ("demo", cli_demo.demo), ("doctor", cli_doctor.doctor)),
    "Tasks": (
        ("types", cli_hosts.types),
        ("submit", cli_tasks.submit),
        ("call", cli_hosts.call),
        ("watch", cli_tasks.watch),
        ("tasks", cli_tasks.tasks),
        ("task", cli_tasks.task),
        ("cancel", cli_tasks.cancel),
    ),
    "Results": (("result", cli_results.result), ("results", cli_results.results)),
    "Hosts": (("hosts", cli_hosts.hosts), ("prefer", cli_prefer.prefer)),
    "Accounts": (
        ("link", cli_link.link),
        ("unlink", cli_link.unlink),
        ("accounts", cli_link.accounts),
        ("spaces", cli_spaces.spaces),
    ),
    "Log": (("replay", cli_log.replay), ("audit", cli_log.audit), ("keys", cli_keys.keys)),
    "Other": (
        ("token", cli_token.tokens),
        ("provision", cli_run.provision),
        ("version", version),
    ),
}
"""Commands by heading, in the order of the help page."""
SUBCOMMANDS: dict[str, tuple[tuple[str, Callable[..., int]], ...]] = {
    "hosts": (
        ("add", cli_host_changes.add),
        ("update", cli_host_changes.update),
        ("enable", cli_host_changes.enable),
        ("disable", cli_host_changes.disable),
        ("remove", cli_host_changes.remove),
        ("probe", cli_host_changes.probe),
        ("discover", cli_host_changes.discover),
        ("import", cli_host_changes.import_),
    ),
    "keys": (("rotate", cli_keys.rotate),),
    "results": (
        ("delete", cli_results.delete),
        ("verify", cli_results.verify),
        ("tasks", cli_results.tasks),
    ),
    "spaces": (
        ("create", cli_spaces.create),
        ("deploy", cli_spaces.deploy),
        ("restart", cli_spaces.restart),
    ),
    "token": (("add", cli_token.add), ("list", cli_token.tokens), ("revoke", cli_token.revoke)),
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


if __name__ == "__main__":
    main()
