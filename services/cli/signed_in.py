"""What `metamcp login` was given, by gateway: kept in a private file, refreshed when it is needed.

Commands that run at once refresh one after the other, so that none shows what is used up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from services.cli.common import CliError, Exit, Options
from services.cli.http import httpx
from services.process.files import is_private, private_folder, write_private

EARLY_S = 60.0
"""So long before its end an access token is not shown any more."""
MOST_KEPT = 100
"""Gateways; the one that was signed in to longest ago is forgotten."""
REQUEST_S = 30.0


class KeptSignIn(msgspec.Struct, frozen=True):
    """What one gateway has given."""

    user: str
    session: str
    access: str
    access_until: float
    """Seconds since the epoch."""
    refresh: str
    refresh_until: float

    def __repr__(self) -> str:
        return f"KeptSignIn(user={self.user!r}, session={self.session!r}, …)"


_kept: msgspec.json.Decoder[dict[str, KeptSignIn]] = msgspec.json.Decoder(dict[str, KeptSignIn])


def kept_path(options: Options) -> Path:
    """The file: METAMCP_CLI_SIGN_INS, else in the user's configuration folder."""
    if (named := options.settings.sign_ins) is not None:
        return named.expanduser()
    given = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(given) if os.path.isabs(given) else Path.home() / ".config"
    return folder / "metamcp" / "sign-ins.json"


def kept_for(options: Options, url: str) -> KeptSignIn | None:
    """What is kept of a gateway, also if it is over. Raises CliError."""
    return _read(kept_path(options)).get(url)


def keep(options: Options, url: str, session: Mapping[str, Any]) -> KeptSignIn:
    """Keep what a sign-in gave. Raises CliError."""
    with _held(path := kept_path(options)):
        return _store(path, url, session)


def forget(options: Options, url: str) -> bool:
    """Keep nothing of a gateway; False: nothing was. Raises CliError."""
    path = kept_path(options)
    if url not in _read(path):
        return False
    with _held(path):
        every = _read(path)
        found = every.pop(url, None)
        _write(path, every)
    return found is not None


def token_for(options: Options, url: str, trust: ssl.SSLContext | None) -> str | None:
    """An access token of who is signed in to a gateway; None: nobody is. Raises CliError."""
    path = kept_path(options)
    found = _read(path).get(url)
    if found is None:
        return None
    if found.access_until - EARLY_S > time.time():
        return found.access
    with _held(path):
        # Somebody else may have refreshed it in the meantime.
        found = _read(path).get(url)
        if found is None:
            return None
        if found.access_until - EARLY_S > time.time():
            return found.access
        return _store(path, url, _refreshed(url, found, trust)).access


def _refreshed(url: str, kept: KeptSignIn, trust: ssl.SSLContext | None) -> Mapping[str, Any]:
    here = httpx.URL(url).host in ("localhost", "127.0.0.1", "::1")
    verify = trust or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        with httpx.Client(trust_env=not here, verify=verify, timeout=REQUEST_S) as client:
            body = {"refresh_token": kept.refresh}
            answer = client.post(f"{url}/api/auth/refresh", json=body)
    except httpx.HTTPError as error:
        text = f"The gateway at {url} can't be reached: {error or type(error).__name__}"
        hint = "Is `metamcp up` running? Another address: --url or METAMCP_URL."
        raise CliError(Exit.UNREACHABLE, text, hint) from error
    if answer.status_code == 401:
        raise CliError(
            Exit.REFUSED,
            f"Your sign-in as {kept.user} at {url} is over.",
            "Sign in again with `metamcp login`; `metamcp logout` forgets it.",
        )
    if not answer.is_success:
        text = f"The gateway at {url} gave no new token: it answered {answer.status_code}."
        raise CliError(Exit.UNREACHABLE, text, "Try again.")
    data: Mapping[str, Any] = msgspec.json.decode(answer.content)["data"]
    return data


def _store(path: Path, url: str, session: Mapping[str, Any]) -> KeptSignIn:
    now = time.time()
    kept = KeptSignIn(
        user=session["user"],
        session=session["session"],
        access=session["access_token"],
        access_until=now + session["expires_in"],
        refresh=session["refresh_token"],
        refresh_until=now + session["refresh_expires_in"],
    )
    every = _read(path) | {url: kept}
    newest = sorted(every, key=lambda one: every[one].refresh_until)[-MOST_KEPT:]
    _write(path, {one: every[one] for one in newest})
    return kept


def _read(path: Path) -> dict[str, KeptSignIn]:
    try:
        if not is_private(path):
            text = f"{path} can be read by others: what it holds lets them act for you."
            hint = f"Run `chmod 600 {path}`, or `rm {path}` and sign in again."
            raise CliError(Exit.REFUSED, text, hint)
        return _kept.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CliError(Exit.FAILED, f"{path} can't be read: {error.strerror}.") from None
    except msgspec.DecodeError:
        text = f"{path} is not as `metamcp login` writes it."
        raise CliError(Exit.FAILED, text, f"Run `rm {path}` and sign in again.") from None


def _write(path: Path, every: Mapping[str, KeptSignIn]) -> None:
    try:
        write_private(path, msgspec.json.encode(every))
    except OSError as error:
        raise CliError(Exit.FAILED, f"{path} can't be written: {error.strerror}.") from None


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Change the file while nobody else does; waits for whoever is at it."""
    try:
        private_folder(path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path.with_name(f"{path.name}.lock"), flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise CliError(Exit.FAILED, f"{path.parent} can't be used: {error.strerror}.") from None
    try:
        yield
    finally:
        os.close(descriptor)
