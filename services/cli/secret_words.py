"""Secrets on the command line: asked for without echo, or read from standard input."""

from __future__ import annotations

import getpass
import secrets
import sys
import warnings

from services.cli.common import CliError, Exit

MOST = 4096
RANDOM_BYTES = 15


def password_from_stdin() -> str:
    """The first line of standard input. Raises CliError."""
    line = sys.stdin.readline(MOST + 2)
    text = line.rstrip("\r\n")
    if not text or len(text) > MOST:
        raise CliError(Exit.USAGE, "Standard input has no password in its first line.")
    return text


def asked_password(prompt: str) -> str:
    """A password that is typed and not shown. Raises CliError where there is no terminal."""
    if not sys.stdin.isatty():
        text = "There is no terminal to ask for a password."
        raise CliError(Exit.USAGE, text, "Send it to standard input with --password-stdin.")
    try:
        with warnings.catch_warnings():
            # Where it would be shown nobody is asked.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt)
    except (EOFError, getpass.GetPassWarning):
        raise CliError(Exit.USAGE, "No password was given.") from None


def asked_value(name: str) -> str:
    """The value of a secret, typed and not shown; empty where nobody is there, or knows it."""
    if not sys.stdin.isatty():
        return ""
    try:
        return asked_password(f"Value of {name} (it is not shown; Enter leaves it out): ").strip()
    except CliError:
        return ""


def new_password(user: str) -> str:
    """A new one, asked for twice. Raises CliError."""
    first = asked_password(f"New password of {user} (it is not shown): ")
    if asked_password("The same again: ") != first:
        raise CliError(Exit.USAGE, "The two passwords are not the same.")
    return first


def random_password() -> str:
    """One that nobody guesses and that can be typed."""
    return secrets.token_urlsafe(RANDOM_BYTES)
