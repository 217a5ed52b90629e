"""Which gateway the command line talks to, with which token, and which certificates it believes."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from services.cli.common import CliError, Exit, Options
from services.cli.http import httpx
from services.cli.signed_in import token_for
from services.process import tls
from services.up.announced import Announced, read_announced


class Target(msgspec.Struct, frozen=True):
    """Where the gateway is, and the token it is shown."""

    url: str
    token: str
    trust: ssl.SSLContext | None = None
    """Which certificates are believed; None: there is no TLS."""

    @property
    def stream(self) -> str:
        """Address of the websocket."""
        return "ws" + self.url.removeprefix("http") + "/api/stream"

    @property
    def here(self) -> bool:
        """On this machine, so that no proxy is asked."""
        return httpx.URL(self.url).host in ("localhost", "127.0.0.1", "::1")

    @property
    def headers(self) -> dict[str, str]:
        """What says who is asking."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def find_place(options: Options) -> Target:
    """Find the gateway, without any token: options, settings, then the data folder.

    Raises CliError that says how to name it.
    """
    named = options.url or options.settings.url
    found = Announced(named) if named else _announced(options.folder)
    url = _checked(found.url)
    return Target(url, "", _trust(url, found.certificate, options))


def find_target(options: Options, *, signed_in_only: bool = False) -> Target:
    """Find the gateway and the token: settings, who has signed in there, then the data folder.

    Raises CliError that says how to name them.
    """
    place = find_place(options)
    token = None if signed_in_only else options.settings.token
    token = token or token_for(options, place.url, place.trust) or _token_of(options.folder)
    return msgspec.structs.replace(place, token=token)


def _trust(url: str, certificate: str, options: Options) -> ssl.SSLContext | None:
    """A gateway that is found in the data folder is believed by the certificate it has left there.

    One that is named needs a certificate of a CA: the one of `--ca` or METAMCP_CLI_CA, else any
    that this system knows. Raises CliError.
    """
    if not url.startswith("https:"):
        return None
    try:
        if certificate and options.ca is None:
            return tls.pinned(certificate)
        return tls.client(options.ca or options.settings.ca)
    except tls.TlsError as error:
        raise CliError(
            Exit.USAGE, f"The gateway's certificate can't be checked: {error}.", "See --ca."
        ) from None


def _checked(url: str) -> str:
    """An http(s) URL without a slash at its end; HOST:PORT is short for one."""
    full = f"http://{url}" if "://" not in url and ":" in url else url
    try:
        parsed = httpx.URL(full)
        good = parsed.scheme in ("http", "https") and parsed.host and (parsed.port or 1) < 65536
    except httpx.InvalidURL:
        good = False
    if not good or not full.isprintable() or " " in full:
        raise CliError(
            Exit.USAGE,
            f"{url!r} is no http or https URL.",
            "Write --url or METAMCP_URL like http://127.0.0.1:8080",
        )
    return full.rstrip("/")


def _announced(folder: Path) -> Announced:
    try:
        return read_announced(folder)
    except (OSError, msgspec.DecodeError):
        raise CliError(
            Exit.UNREACHABLE,
            f"Nothing runs in the data folder {folder}.",
            "Start it with `metamcp up`, or name a gateway with --url or METAMCP_URL.",
        ) from None


def _token_of(folder: Path) -> str:
    path = folder / "credentials" / "token"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise CliError(
            Exit.REFUSED,
            f"There is no token: {path} can't be read ({error.strerror}).",
            "Sign in with `metamcp login`, set METAMCP_TOKEN, or name the data folder with --data.",
        ) from None
