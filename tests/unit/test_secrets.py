"""Secrets come from files or the environment, the user's own first, and never from open files."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import Rejected
from services.secrets import MissingSecret, Secrets


def put(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_the_users_own_goes_before_the_shared_one_before_the_environment(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {"HF_TOKEN": " from-environment\n"})
    assert secrets.get("HF_TOKEN", "ann") == "from-environment"
    put(tmp_path / "HF_TOKEN", "shared\n")
    assert secrets.get("HF_TOKEN", "ann") == "shared"
    put(tmp_path / "ann" / "HF_TOKEN", "anns")
    assert secrets.get("HF_TOKEN", "ann") == "anns"
    assert secrets.get("HF_TOKEN", "bob") == secrets.get("HF_TOKEN") == "shared"


def test_a_host_that_a_user_registered_gets_that_users_own_secret_only(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {"AWS_KEY": "the operator's", "SHARED": "from environment"})
    put(tmp_path / "SHARED", "shared")
    for name in ("AWS_KEY", "SHARED"):
        assert secrets.get(name, "ann")
        with pytest.raises(MissingSecret, match=rf"own secret {name} is missing: .*/ann/{name}"):
            secrets.get(name, "ann", only_own=True)
        with pytest.raises(MissingSecret, match=r"is missing$"):
            secrets.get(name, only_own=True)
    put(tmp_path / "ann" / "SHARED", "anns")
    assert secrets.get("SHARED", "ann", only_own=True) == "anns"
    with pytest.raises(MissingSecret):
        secrets.get("SHARED", "bob", only_own=True)


def test_a_replaced_secret_counts_at_once(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {})
    put(tmp_path / "KEY", "old")
    assert secrets.get("KEY") == "old"
    put(tmp_path / "KEY", "new")
    assert secrets.get("KEY") == "new"


def test_a_missing_one_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(MissingSecret, match=r"KEY is missing: put it into .*/KEY"):
        Secrets(tmp_path, {"KEY": "  "}).get("KEY")


@pytest.mark.parametrize("text", ["", "  \n", "two\nlines", "x" * 20_000, "\x00"])
def test_what_is_no_secret_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    put(tmp_path / "KEY", text)
    with pytest.raises(MissingSecret, match=r"holds no secret: expected one line of text$"):
        Secrets(tmp_path, {}).get("KEY")


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "KEY", "open", 0o644)
    with pytest.raises(MissingSecret, match="chmod 600"):
        Secrets(tmp_path, {"KEY": "environment"}).get("KEY")


@pytest.mark.parametrize("name", ["", "../KEY", "a/b", "K.E", "1K", "K" * 65])
def test_a_name_can_not_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingSecret, match="no name of a secret"):
        Secrets(tmp_path, {}).get(name)


def test_a_user_can_not_lead_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(Rejected):
        Secrets(tmp_path, {}).get("KEY", "../other")
