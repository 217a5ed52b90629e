"""Which commands there are: by heading, in the order of the help page.

A module of commands is imported by its function below, when one of its commands is asked for: all
of them together take a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

Functions: TypeAlias = Mapping[str, Callable[..., int]]
"""Commands of one module by their words: `hosts`, `hosts add`."""


class Command(NamedTuple):
    """One command of the help page."""

    name: str
    summary: str
    """The first line of its docstring."""
    load: Callable[[], Functions]
    """Imports its module."""


def _run() -> Functions:
    from services.cli.commands import run

    return {
        "up": run.up_,
        "provision": run.provision,
    }


def _demo() -> Functions:
    from services.cli.commands import demo

    return {"demo": demo.demo}


def _doctor() -> Functions:
    from services.cli.commands import doctor

    return {"doctor": doctor.doctor}


def _hosts() -> Functions:
    from services.cli.commands import host_changes, hosts

    return {
        "types": hosts.types,
        "call": hosts.call,
        "hosts": hosts.hosts,
        "hosts add": host_changes.add,
        "hosts update": host_changes.update,
        "hosts enable": host_changes.enable,
        "hosts disable": host_changes.disable,
        "hosts remove": host_changes.remove,
        "hosts probe": host_changes.probe,
        "hosts discover": host_changes.discover,
        "hosts import": host_changes.import_,
    }


def _tasks() -> Functions:
    from services.cli.commands import tasks

    return {
        "submit": tasks.submit,
        "watch": tasks.watch,
        "tasks": tasks.tasks,
        "task": tasks.task,
        "cancel": tasks.cancel,
    }


def _scan() -> Functions:
    from services.cli.commands import scan

    return {"scan": scan.scan}


def _results() -> Functions:
    from services.cli.commands import results

    return {
        "result": results.result,
        "results": results.results,
        "results delete": results.delete,
        "results verify": results.verify,
        "results tasks": results.tasks,
    }


def _prefer() -> Functions:
    from services.cli.commands import prefer

    return {"prefer": prefer.prefer}


def _link() -> Functions:
    from services.cli.commands import link

    return {
        "link": link.link,
        "unlink": link.unlink,
        "accounts": link.accounts,
    }


def _spaces() -> Functions:
    from services.cli.commands import spaces

    return {
        "spaces": spaces.spaces,
        "spaces create": spaces.create,
        "spaces deploy": spaces.deploy,
        "spaces restart": spaces.restart,
    }


def _log() -> Functions:
    from services.cli.commands import log

    return {
        "replay": log.replay,
        "audit": log.audit,
    }


def _keys() -> Functions:
    from services.cli.commands import keys

    return {
        "keys": keys.keys,
        "keys rotate": keys.rotate,
    }


def _token() -> Functions:
    from services.cli.commands import token

    return {
        "token": token.tokens,
        "token add": token.add,
        "token list": token.tokens,
        "token revoke": token.revoke,
    }


def _version() -> Functions:
    from services.cli.commands import version

    return {"version": version.version}


COMMANDS: dict[str, tuple[Command, ...]] = {
    "Run": (
        Command(
            "up",
            "Start nats-server and the five services, keep them running, drain them on Ctrl-C.",
            _run,
        ),
        Command(
            "demo",
            "Start everything, scan and analyse real code on real MCP servers, audit it, clean up.",
            _demo,
        ),
        Command(
            "doctor",
            "Look at everything that is needed and say how to get what is missing"
            " (then exit code 1).",
            _doctor,
        ),
    ),
    "Tasks": (
        Command(
            "scan",
            "Scan a folder or files for weaknesses and analyse the code, and wait for both.",
            _scan,
        ),
        Command(
            "types",
            "List what tasks can be asked for, with an input that works and the"
            " hosts that serve it.",
            _hosts,
        ),
        Command(
            "submit",
            "Create a task; with --wait, show it until it is over and print its result.",
            _tasks,
        ),
        Command(
            "call", "Call a tool of a host as a task, wait, and print what it answers.", _hosts
        ),
        Command(
            "watch",
            "Show facts as they happen: of one task until it is over, or of all"
            " your tasks until Ctrl-C.",
            _tasks,
        ),
        Command("tasks", "List your tasks, newest first.", _tasks),
        Command(
            "task",
            "Show one task: its status, every fact with the time between them, and what"
            " it answered.",
            _tasks,
        ),
        Command("cancel", "Ask to cancel a task; it is over when its job.done says so.", _tasks),
    ),
    "Results": (
        Command(
            "result",
            "Print a task's result, or write it to a file exactly as the host gave it.",
            _results,
        ),
        Command(
            "results",
            "List your results, newest first, or describe one; `metamcp result` brings its bytes.",
            _results,
        ),
    ),
    "Hosts": (
        Command(
            "hosts", "Show the hosts and how healthy they are, or one host with its tools.", _hosts
        ),
        Command(
            "prefer",
            "Say how much you want tasks to go to a host; without HOST, list what you have said.",
            _prefer,
        ),
    ),
    "Accounts": (
        Command(
            "link",
            "Link your account at Hugging Face or GitHub; without --token-file you"
            " are asked for a token.",
            _link,
        ),
        Command("unlink", "Forget the token of an account.", _link),
        Command("accounts", "List the accounts you have linked.", _link),
        Command(
            "spaces",
            "Show your Spaces at Hugging Face and which host each is, or one Space.",
            _spaces,
        ),
    ),
    "Log": (
        Command("replay", "Print facts from the log itself, oldest first, as JSON lines.", _log),
        Command(
            "audit",
            "Check what the log says about a task; the exit code is 0 only if every check holds.",
            _log,
        ),
        Command(
            "keys",
            "List the keys that permits are signed with: those that sign, will sign, or did.",
            _keys,
        ),
    ),
    "Other": (
        Command(
            "token",
            "List issued tokens, oldest first; the tokens themselves nobody can show again.",
            _token,
        ),
        Command(
            "provision",
            "Create or update the log's streams, consumers and buckets on a NATS server.",
            _run,
        ),
        Command("version", "Print the version.", _version),
    ),
}
