"""Tokens are sealed for one user and provider; whatever is changed, they stay shut."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.account import Account, Credential, Provider
from services.keys.vault import KeyFile, Vault, VaultError, key_path

ACCOUNT = Account(Provider.HUGGINGFACE, "ann", 1.0, ("write",))
KEY = bytes(range(32))
TOKENS = st.text(min_size=1, max_size=200)


@given(TOKENS, st.text(min_size=1, max_size=64))
def test_what_was_sealed_opens_again(token: str, user: str) -> None:
    vault = Vault(KEY)
    credential = vault.seal(user, ACCOUNT, token)
    assert vault.open(user, credential) == token
    stored = msgspec.json.encode(credential)
    assert vault.open(user, msgspec.json.decode(stored, type=Credential)) == token


def test_nothing_of_a_token_can_be_seen() -> None:
    vault = Vault(KEY)
    one, two = (vault.seal("ann", ACCOUNT, "hf_secret") for _ in range(2))
    assert one.sealed != two.sealed
    assert b"hf_secret" not in msgspec.json.encode(one)
    assert "hf_secret" not in repr(one)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_changed_bit_is_noticed(place: int, bit: int) -> None:
    vault = Vault(KEY)
    good = vault.seal("ann", ACCOUNT, "hf_secret")
    for field in ("sealed", "nonce"):
        data = bytearray(getattr(good, field))
        data[place % len(data)] ^= 1 << bit
        with pytest.raises(VaultError):
            vault.open("ann", msgspec.structs.replace(good, **{field: bytes(data)}))


def test_it_opens_for_nobody_else() -> None:
    vault = Vault(KEY)
    good = vault.seal("ann", ACCOUNT, "hf_secret")
    others = [
        ("bob", good),
        ("ann", msgspec.structs.replace(good, account=Account(Provider.GITHUB, "ann", 1.0))),
        ("ann", msgspec.structs.replace(good, version=2)),
        ("ann", msgspec.structs.replace(good, nonce=b"")),
    ]
    for user, credential in others:
        with pytest.raises(VaultError) as error:
            vault.open(user, credential)
        assert "hf_secret" not in str(error.value)
    with pytest.raises(VaultError, match="link the account again"):
        Vault(secrets.token_bytes(32)).open("ann", good)


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = key_path(tmp_path, None)
    KeyFile(path).ensure()
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    KeyFile(path).ensure()
    assert path.read_text() == before
    credential = KeyFile(path).vault().seal("ann", ACCOUNT, "hf_secret")
    assert KeyFile(path).vault().open("ann", credential) == "hf_secret"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_no_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(VaultError, match="can't be read"):
        KeyFile(path).vault()
    path.write_text("00" * 32)
    path.chmod(0o644)
    with pytest.raises(VaultError, match="chmod 600"):
        KeyFile(path).vault()
    path.chmod(0o600)
    for text in ("xyz", "00" * 8, ""):
        path.write_text(text)
        with pytest.raises(VaultError):
            KeyFile(path).vault()
    with pytest.raises(VaultError, match="can't be made"):
        KeyFile(Path("/proc/none/key")).ensure()


def test_a_key_that_is_there_costs_no_writing(tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "master.key")
    key.ensure()
    before = tmp_path.stat().st_mtime_ns
    key.ensure()
    assert tmp_path.stat().st_mtime_ns == before
