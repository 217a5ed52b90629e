"""Seals users' tokens with AES-GCM under the installation's master key.

What is sealed for one user and provider opens for no other: both are part of what is authenticated.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.account import Account, Credential
from services.process.files import create_private, is_private

KEY_BYTES = 32
_NONCE = 12
_VERSION = 1


class VaultError(Exception):
    """The master key is missing or unusable, or something was not sealed with it."""


class SealedElsewhere(VaultError):
    """It was sealed with another key, or for somebody else; what it says is for its owner."""


class Vault:
    """Seals and opens. Raises VaultError; never says what is inside."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultError(f"a master key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)

    def seal(self, user: str, account: Account, token: str) -> Credential:
        """Return what may be stored: the account, and its token for this user alone."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._cipher.encrypt(nonce, token.encode(), _bound(user, account))
        return Credential(account, nonce, sealed, _VERSION)

    def open(self, user: str, credential: Credential) -> str:
        """Return the token."""
        if credential.version != _VERSION:
            raise VaultError(f"version {credential.version} of a credential is not known here")
        try:
            bound = _bound(user, credential.account)
            return self._cipher.decrypt(credential.nonce, credential.sealed, bound).decode()
        except (InvalidTag, ValueError):
            raise SealedElsewhere(
                f"the {credential.account.provider} credential of user {user} was not sealed with"
                " this master key: link the account again"
            ) from None

    def wrap(self, purpose: str, secret: bytes) -> bytes:
        """Return what may be stored of a secret of the installation: opens for this purpose."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, secret, _bound_to(purpose))

    def unwrap(self, purpose: str, wrapped: bytes) -> bytes:
        """Return the secret."""
        try:
            nonce, sealed = wrapped[:_NONCE], wrapped[_NONCE:]
            return self._cipher.decrypt(nonce, sealed, _bound_to(purpose))
        except (InvalidTag, ValueError):
            raise SealedElsewhere(f"{purpose} was not sealed with this master key") from None


class KeyFile:
    """The master key in a file; read when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._vault: Vault | None = None

    def vault(self) -> Vault:
        """Raises VaultError."""
        if self._vault is None:
            self._vault = Vault(self._read())
        return self._vault

    def ensure(self) -> None:
        """Make the file, mode 0600, unless it is there. Raises VaultError."""
        if self._path.exists():
            # Nothing is written: the disk may be full.
            return
        try:
            create_private(self._path, secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
        except OSError as error:
            raise VaultError(f"{self._path} can't be made: {error.strerror}") from None

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                if not is_private(file.fileno()):
                    text = f"{self._path} can be read by others: run `chmod 600 {self._path}`"
                    raise VaultError(text)
                text_ = file.read(4 * KEY_BYTES).strip()
        except OSError as error:
            raise VaultError(
                f"the master key {self._path} can't be read ({error.strerror}): copy it from the"
                " gateway's data folder, or name it with METAMCP_MASTER_KEY"
            ) from None
        try:
            return bytes.fromhex(text_.decode())
        except ValueError:
            raise VaultError(f"{self._path} holds no master key: expected 64 hex digits") from None


def key_path(data: Path, chosen: Path | None) -> Path:
    """Where the master key lies."""
    return chosen if chosen is not None else data / "credentials" / "master.key"


def _bound(user: str, account: Account) -> bytes:
    return f"metamcp/{_VERSION}/{account.provider}/{user}/{account.name}".encode()


def _bound_to(purpose: str) -> bytes:
    # No provider is called so: what is sealed for a user opens as nothing else.
    return f"metamcp/{_VERSION}/-/{purpose}".encode()
