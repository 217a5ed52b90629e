"""Who publishes from outside: a list in the data folder, and a file with each one's credentials.

The list says what is to be; whoever runs the server makes it so. Each step leaves something whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from contracts.errors import Rejected
from contracts.ids import check_user
from contracts.publisher import DEFAULT_PUBLISHER, LIST_FILE, Publisher
from services.bus.names import JS_API, Credentials
from services.process import files
from services.up import nats_config

SERVED_FILE = Path("nats") / LIST_FILE
MOST = 256
"""Publishers of one deployment: each is an account of the server."""
_MADE_BYTES = 8


class PublishersUnreadable(Exception):
    """The list is not what it should be."""


class PublishersBusy(Exception):
    """Somebody else is changing the list."""


class NoPublisher(Exception):
    """There is none of this name."""


class PublisherTaken(Exception):
    """There is one of this name already, or there may be none."""


def read(
    data: Path, default: tuple[Publisher, ...] = (DEFAULT_PUBLISHER,)
) -> tuple[Publisher, ...]:
    """Who publishes; `default`: as long as nobody has said anything.

    Raises OSError, PublishersUnreadable.
    """
    path = data / LIST_FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=tuple[Publisher, ...])
        nats_config.users(found)
    except FileNotFoundError:
        return default
    except (msgspec.DecodeError, Rejected, ValueError) as error:
        raise PublishersUnreadable(f"{path} can't be read: {error}") from None
    return found


def credentials_file(data: Path, user: str) -> Path:
    """Where the credentials of a role or publisher lie (JSON, mode 0600)."""
    return data / "credentials" / f"{user}.json"


def new_credentials(data: Path, user: str, api: str = JS_API) -> Credentials:
    """Make a password, and the file with it. Raises OSError."""
    path = credentials_file(data, user)
    files.private_folder(path.parent)
    fresh = Credentials(user, secrets.token_urlsafe(32), api)
    files.write_private(path, msgspec.json.encode(fresh))
    return fresh


def read_credentials_of(data: Path, name: str) -> Credentials | None:
    """What a publisher shows; None if there is no file, or no good one. Raises OSError."""
    try:
        return msgspec.json.decode(credentials_file(data, name).read_bytes(), type=Credentials)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


@contextlib.contextmanager
def changing(data: Path) -> Iterator[None]:
    """Keep others from changing the list meanwhile. Raises PublishersBusy, OSError."""
    files.private_folder(data)
    held = files.lock(data / f".{LIST_FILE}.lock")
    if held is None:
        raise PublishersBusy("another command is changing the publishers")
    try:
        yield
    finally:
        os.close(held)


def add(data: Path, name: str, user: str) -> Credentials:
    """Let a service publish as a user; again, what was broken off is completed.

    Raises PublisherTaken, Rejected for names that are none, OSError, PublishersUnreadable.
    """
    listed = read(data)
    check_user(name, "publisher")
    known = next((one for one in listed if one.name == name), None)
    if known is not None and known.user != user:
        raise PublisherTaken(f"publisher {name} publishes as {known.user}: remove it first")
    there = None if known is None else read_credentials_of(data, name)
    if there is not None:
        return there
    others = tuple(one for one in listed if one.name != name)
    wanted = (*others, Publisher(name, user, _made()))
    try:
        nats_config.users(wanted)
    except ValueError as error:
        raise PublisherTaken(str(error)) from None
    if len(wanted) > MOST:
        raise PublisherTaken(f"there are {MOST} publishers already, and may be no more")
    # A password of one that was removed earlier is never good again.
    fresh = new_credentials(data, name)
    _write(data, wanted)
    return fresh


def rotate(data: Path, name: str) -> Credentials:
    """Give a publisher a new password; the old one ends. Raises NoPublisher and as `add`."""
    listed = read(data)
    if check_user(name, "publisher") not in (one.name for one in listed):
        raise NoPublisher(f"there is no publisher {name}")
    fresh = new_credentials(data, name)
    _write(
        data,
        tuple(
            msgspec.structs.replace(one, made=_made()) if one.name == name else one
            for one in listed
        ),
    )
    return fresh


def remove(data: Path, name: str) -> None:
    """Let a service publish no more; its file stays until `forget`. Raises NoPublisher and as
    `add`."""
    listed = read(data)
    rest = tuple(one for one in listed if one.name != check_user(name, "publisher"))
    if rest != listed:
        _write(data, rest)
    elif name in nats_config.users(()) or not credentials_file(data, name).exists():
        raise NoPublisher(f"there is no publisher {name}")


def forget(data: Path, name: str) -> None:
    """Take the credentials of a removed publisher away. Raises OSError."""
    credentials_file(data, check_user(name, "publisher")).unlink(missing_ok=True)


def served(data: Path) -> tuple[Publisher, ...] | None:
    """Whom the embedded server lets in; None: it has not said."""
    try:
        path = data / SERVED_FILE
        return msgspec.json.decode(path.read_bytes(), type=tuple[Publisher, ...])
    except (OSError, msgspec.DecodeError):
        return None


def write_served(data: Path, listed: tuple[Publisher, ...]) -> None:
    """Say whom the embedded server lets in. Raises OSError."""
    files.write_private(data / SERVED_FILE, msgspec.json.encode(listed))


def _made() -> str:
    return secrets.token_hex(_MADE_BYTES)


def _write(data: Path, listed: tuple[Publisher, ...]) -> None:
    body = msgspec.json.format(msgspec.json.encode(listed), indent=1)
    files.write_private(data / LIST_FILE, body + b"\n")
