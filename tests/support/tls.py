"""Certificates from a CA of the test's own, and a nats-server that shows one of them."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.process.tls import NOTHING, ClientFiles
from services.up.nats_server import Embedded
from tests.support.nats import NatsServer

HERE = ("127.0.0.1", "localhost")
DAY = datetime.timedelta(days=1)


class Pair(NamedTuple):
    """Files with a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """A CA with a file of its own certificate, `ca`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"CA {name}")
        signs = x509.KeyUsage(
            **dict.fromkeys(("digital_signature", "key_cert_sign", "crl_sign"), True),
            **dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment"), False),
            **dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False),
        )
        own = self._begun(self._name, self._key.public_key(), ca=True).add_extension(signs, True)
        self._cert = own.sign(self._key, hashes.SHA256())
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *names: str, passphrase: bytes | None = None) -> Pair:
        """A certificate for these addresses (this machine's without any), its CA's after it."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [_address(one) for one in names or HERE]
        begun = self._begun(_named(name), key.public_key(), ca=False)
        cert = begun.add_extension(x509.SubjectAlternativeName(alternatives), False).sign(
            self._key, hashes.SHA256()
        )
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        chain = [one.public_bytes(serialization.Encoding.PEM) for one in (cert, self._cert)]
        pair.cert.write_bytes(b"".join(chain))
        locked = (
            serialization.BestAvailableEncryption(passphrase)
            if passphrase
            else serialization.NoEncryption()
        )
        form = serialization.PrivateFormat.PKCS8
        pair.key.touch(0o600)
        pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))
        return pair

    def trust(self) -> ssl.SSLContext:
        """What a foreign client does that believes this CA alone."""
        return ssl.create_default_context(cafile=self.ca)

    def _begun(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder(self._name, name, key, x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(issuer, False)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _address(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def tls_block(pair: Pair, ca: Path | None = None, more: str = "") -> str:
    """The part of nats-server's configuration; with a CA, clients need a certificate of it."""
    mutual = f'  ca_file: "{ca}"\n  verify: true\n' if ca else ""
    return f'tls {{\n  cert_file: "{pair.cert}"\n  key_file: "{pair.key}"\n{mutual}}}\n{more}'


class TlsNats(NatsServer):
    """The real server with the real accounts and a `tls` block; clients use `files`."""

    def __init__(self, data: Path, block: str, files: ClientFiles = NOTHING) -> None:
        super().__init__(data)
        self.embedded = _Embedded(data, block)
        self.files = files

    @property
    def url(self) -> str:
        return self.embedded.url.replace("nats://", "tls://")


class _Embedded(Embedded):
    def __init__(self, data: Path, block: str) -> None:
        super().__init__(data)
        self._block = block

    def _spawn(self, binary: Path) -> subprocess.Popen[bytes]:
        with (self.folder / "nats.conf").open("a") as file:
            file.write(self._block)
        return super()._spawn(binary)
