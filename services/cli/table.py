"""Which commands there are: by heading, in the order of the help page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from services.cli.loaders import LOADERS, Functions


class Command(NamedTuple):
    """One command of the help page."""

    name: str
    summary: str
    """The first line of its docstring."""
    load: Callable[[], Functions]
    """Imports its module."""


COMMANDS: dict[str, tuple[Command, ...]] = {
    "Run": (
        Command(
            "up",
            "Start nats-server and the five services, keep them running, drain them on Ctrl-C.",
            LOADERS["run"],
        ),
        Command(
            "demo",
            "Start everything, scan and analyse real code on real MCP servers, audit it, clean up.",
            LOADERS["demo"],
        ),
        Command(
            "doctor",
            "Look at everything that is needed and say how to get what is missing"
            " (then exit code 1).",
            LOADERS["doctor"],
        ),
    ),
    "Tasks": (
        Command(
            "scan",
            "Scan a folder or files for weaknesses and analyse the code, and wait for both.",
            LOADERS["scan"],
        ),
        Command(
            "types",
            "List what tasks can be asked for, with an input that works and the"
            " hosts that serve it.",
            LOADERS["hosts"],
        ),
        Command(
            "submit",
            "Create a task; with --wait, show it until it is over and print its result.",
            LOADERS["tasks"],
        ),
        Command(
            "call",
            "Call a tool of a host as a task, wait, and print what it answers.",
            LOADERS["hosts"],
        ),
        Command(
            "watch",
            "Show facts as they happen: of one task until it is over, or of all"
            " your tasks until Ctrl-C.",
            LOADERS["tasks"],
        ),
        Command("tasks", "List your tasks, newest first.", LOADERS["tasks"]),
        Command(
            "tag",
            "Set tags of a task, also after its end; without any, show those that it has.",
            LOADERS["tasks"],
        ),
        Command(
            "again",
            "Create a task like one of yours, with some fields another way.",
            LOADERS["tasks"],
        ),
        Command(
            "task",
            "Show one task: its status, every fact with the time between them, and what"
            " it answered.",
            LOADERS["tasks"],
        ),
        Command(
            "batch",
            "Show how the tasks of a batch are, or list your batches, newest first.",
            LOADERS["bulk"],
        ),
        Command(
            "operations",
            "List what you have asked of many tasks at once, newest first.",
            LOADERS["bulk"],
        ),
        Command("project", "List the projects you are in, newest first.", LOADERS["project"]),
        Command(
            "cancel",
            "Ask to cancel a task; it is over when its job.done says so.",
            LOADERS["tasks"],
        ),
        Command(
            "asks",
            "List the questions that wait for you: of your own tasks, and what you may allow"
            " others.",
            LOADERS["asks"],
        ),
        Command(
            "answer",
            "Answer what a task asks: yes, no, or what is wanted; at a terminal you are asked.",
            LOADERS["asks"],
        ),
    ),
    "Results": (
        Command(
            "result",
            "Print a task's result, or write it to a file exactly as the host gave it.",
            LOADERS["results"],
        ),
        Command(
            "results",
            "List your results, newest first, or describe one; `metamcp result` brings its bytes.",
            LOADERS["results"],
        ),
        Command(
            "blobs",
            "List what you have in the object store: uploads, big inputs, big results;"
            " oldest first.",
            LOADERS["blobs"],
        ),
        Command(
            "queue",
            "Show who waits for a host and for what, first what is served next, and who works.",
            LOADERS["queue"],
        ),
        Command(
            "limits",
            "Show your budgets and what you have used of them.",
            LOADERS["blobs"],
        ),
    ),
    "Hosts": (
        Command(
            "hosts",
            "Show the hosts and how healthy they are, or one host with its tools.",
            LOADERS["hosts"],
        ),
        Command(
            "prefer",
            "Say how much you want tasks to go to a host; without HOST, list what you have said.",
            LOADERS["prefer"],
        ),
        Command(
            "profiles",
            "List the profiles that agents can be shown at /mcp/PROFILE: which hosts and tools of"
            " all.",
            LOADERS["profiles"],
        ),
    ),
    "People": (
        Command(
            "login",
            "Sign in to a gateway with your password; commands act as you then, until"
            " `metamcp logout`.",
            LOADERS["login"],
        ),
        Command("logout", "End your session at a gateway and forget its tokens.", LOADERS["login"]),
        Command("whoami", "Show as whom commands act here, and by what.", LOADERS["login"]),
        Command("sessions", "List your sessions, the one used last first.", LOADERS["login"]),
        Command(
            "identities",
            "List the accounts elsewhere that you sign in with.",
            LOADERS["identities"],
        ),
        Command("user", "List the accounts, those changed longest ago first.", LOADERS["user"]),
        Command(
            "token",
            "List your tokens, or as admin all, oldest first; the tokens themselves nobody can"
            " show again.",
            LOADERS["token"],
        ),
    ),
    "Accounts": (
        Command(
            "link",
            "Link your account at Hugging Face or GitHub, by a token, or sign in at a host that"
            " asks.",
            LOADERS["link"],
        ),
        Command(
            "unlink", "Forget the token of an account, or your sign-in at a host.", LOADERS["link"]
        ),
        Command(
            "accounts",
            "List the accounts you have linked, and the hosts at which you are signed in.",
            LOADERS["link"],
        ),
        Command(
            "spaces",
            "Show your Spaces at Hugging Face and which host each is, or one Space.",
            LOADERS["spaces"],
        ),
        Command(
            "github",
            "Say whose your linked account at GitHub is; below it, its repositories and files.",
            LOADERS["github"],
        ),
    ),
    "Log": (
        Command(
            "replay",
            "Print facts from the log itself, oldest first, as JSON lines.",
            LOADERS["log"],
        ),
        Command(
            "audit",
            "Check what the log says about a task; the exit code is 0 only if every check holds.",
            LOADERS["log"],
        ),
        Command(
            "keys",
            "List the keys that permits are signed with: those that sign, will sign, or did.",
            LOADERS["keys"],
        ),
    ),
    "Other": (
        Command(
            "publisher",
            "List the outside services that may publish tasks on NATS, and as whom.",
            LOADERS["publisher"],
        ),
        Command(
            "access",
            "Show who came in and who was kept out, oldest first; for the roles auditor and admin.",
            LOADERS["access"],
        ),
        Command(
            "quota",
            "Show what a user may have and do, and what is used of it; without USER yourself.",
            LOADERS["quota"],
        ),
        Command(
            "clients",
            "List the programs that may ask people for tokens, oldest first.",
            LOADERS["clients"],
        ),
        Command(
            "restored",
            "List tasks that had ended, or got further, and that a log put back has open again.",
            LOADERS["restored"],
        ),
        Command(
            "provision",
            "Create or update the log's streams, consumers and buckets on a NATS server.",
            LOADERS["run"],
        ),
        Command("version", "Print the version.", LOADERS["version"]),
    ),
}
