"""TLS to NATS, where nats-py is too trusting or too patient.

It speaks in the clear with a server that offers no TLS, even at `tls://`; here no password is sent.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from typing import Any
from urllib.parse import ParseResult

import nats.errors
from nats.aio.transport import TcpTransport

from services.process.timeouts import timeout
from services.process.tls import ClientFiles, is_other_name

GOODBYE_S = 1.0
"""How long a server may take to end a connection; one that is frozen never does."""
_NO_CLIENT = "METAMCP_NATS_TLS_CERT and METAMCP_NATS_TLS_KEY"


class TlsRefused(nats.errors.Error):
    """What the server offers is not what is wanted."""


class Transport(TcpTransport):
    """nats-py's, whose stream over TLS can hold the server back and whose end is bounded."""

    async def connect_tls(self, *args: Any, **options: Any) -> None:
        """Go on over TLS."""
        await super().connect_tls(*args, **options)
        assert self._io_writer is not None
        transport = self._io_writer.transport
        # A server that refuses us may be gone by now.
        if (protocol := transport.get_protocol()) is not None:
            # Without this the stream never learns of its transport and buffers whatever arrives.
            protocol.connection_made(transport)

    async def wait_closed(self) -> None:
        """Wait for the end, but not for a peer that says nothing any more."""
        if (writer := self._io_writer) is None:
            return
        try:
            async with timeout(GOODBYE_S):
                await writer.wait_closed()
        except TimeoutError:
            writer.transport.abort()


def settle(info: dict[str, Any], uri: ParseResult, files: ClientFiles) -> None:
    """Make sure of TLS where it is wanted: at `tls://`, or once the settings name a file for it.

    A server on this machine may do without, such as the embedded one. Raises TlsRefused.
    """
    if uri.scheme in ("ws", "wss"):
        return
    if info.get("tls_available") and (uri.scheme == "tls" or files.given):
        info["tls_required"] = True
    if not info.get("tls_required"):
        if uri.scheme == "tls" or (files.given and not _on_this_machine(uri.hostname or "")):
            raise TlsRefused(
                "offers no TLS, so no password was sent. Turn TLS on there; to do without, write nats://"
                " in METAMCP_NATS_URL and set neither METAMCP_NATS_CA nor METAMCP_NATS_TLS_CERT."
            )
    elif info.get("tls_verify") and files.cert is None:
        raise TlsRefused(f"wants a certificate of its clients: set {_NO_CLIENT}.")


def refusal(error: Exception, files: ClientFiles) -> str:
    """What is wrong with TLS and what to do, if waiting does not help; else nothing."""
    if isinstance(error, TlsRefused):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return f"demands TLS, and its certificate is not accepted: {why}. {_advice(error, files)}"
    if isinstance(error, ssl.SSLError) and "_ALERT_" in (error.reason or ""):
        # An alert is what the server says of us.
        why = (error.reason or "").partition("_ALERT_")[2].replace("_", " ").lower()
        return f"does not accept this client's TLS: {why}. Check {_NO_CLIENT}."
    return ""


def _advice(error: ssl.SSLCertVerificationError, files: ClientFiles) -> str:
    if is_other_name(error):
        return "Use an address in METAMCP_NATS_URL that its certificate names."
    if files.ca is None:
        return "Set METAMCP_NATS_CA to a file (PEM) with the CA's certificate that signed it."
    return f"METAMCP_NATS_CA is {files.ca}: is that the CA that signed it?"


def _on_this_machine(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
