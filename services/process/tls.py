"""TLS from PEM files: contexts for servers and clients, and what is wrong with a file.

Every client's context verifies the server; nothing here can turn that off.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import msgspec

_END = "-----END CERTIFICATE-----"
_OTHER_NAME = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH."""
_NOT_A_PAIR = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


class TlsError(Exception):
    """A file can't be used for TLS; the text says which one and why."""


class ClientFiles(msgspec.Struct, frozen=True):
    """What a client of a server has for TLS, as the settings name it."""

    ca: Path | None = None
    """Its certificates alone are believed; None: those of the system."""
    cert: Path | None = None
    key: Path | None = None

    @property
    def given(self) -> bool:
        """Whether the settings say anything."""
        return self != NOTHING

    def context(self) -> ssl.SSLContext:
        """Read the files. Raises TlsError."""
        context = client(self.ca)
        if self.cert is not None and self.key is not None:
            _load_pair(context, self.cert, self.key)
        return context


NOTHING = ClientFiles()


def check_pair(cert: Path, key: Path) -> None:
    """See that a server can show this certificate. Raises TlsError."""
    _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert, key)


def client(ca: Path | None = None) -> ssl.SSLContext:
    """A client's context that believes the certificates in `ca`, else the system's CAs.

    A server's own certificate may stand in the file as well as a CA's. Raises TlsError.
    """
    if ca is None:
        return ssl.create_default_context()
    context = ssl.create_default_context(cadata=_certificates(ca))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def pinned(certificate: str) -> ssl.SSLContext:
    """A client's context that takes exactly this certificate (PEM), whatever the server's address.

    Without one it takes none. Raises TlsError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Who has the key of this very certificate is the one that is meant, by whatever name.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if certificate:
        try:
            context.load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError, TypeError):
            raise TlsError("that is no certificate in PEM form") from None
    return context


def first_certificate(path: Path) -> str:
    """A server's own certificate (PEM) out of the file with its chain. Raises TlsError."""
    text = _certificates(path)
    return text[text.index("-----BEGIN") : text.index(_END) + len(_END)] + "\n"


def set_together(settings: object, cert: str, key: str) -> None:
    """Refuse settings that name only one of the two files of a pair. Raises ValueError."""
    if (getattr(settings, cert) is None) != (getattr(settings, key) is None):
        raise ValueError(f"{cert} and {key} are set together, or neither is")


def others_may_read(key: Path) -> bool:
    """Whether every user of this machine can read the file."""
    return bool(key.stat().st_mode & stat.S_IROTH)


def failure(error: BaseException | None) -> ssl.SSLError | None:
    """The error of TLS that caused this one, if that was it."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def is_other_name(error: ssl.SSLCertVerificationError) -> bool:
    """Whether the certificate is fine, but for another address."""
    return error.verify_code in _OTHER_NAME


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    _certificates(cert)
    _read(key)

    def passphrase() -> str:
        raise TlsError(f"the key in {key} is locked with a passphrase; store it without one")

    try:
        context.load_cert_chain(cert, key, passphrase)
    except ssl.SSLError as error:
        if error.reason in _NOT_A_PAIR:
            raise TlsError(
                f"the key in {key} does not belong to the certificate in {cert}"
            ) from None
        raise TlsError(f"there is no usable private key in PEM form in {key}") from None


def _certificates(path: Path) -> str:
    """The text of a file with certificates. Raises TlsError."""
    # What stands around the certificates may be in any language.
    text = _read(path).decode("ascii", "ignore")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise TlsError(f"there is no certificate in PEM form in {path}") from None
    return text


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path} can't be read: {error.strerror}") from None
