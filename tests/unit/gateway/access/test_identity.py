"""Tokens, tickets, limits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access import identity
from services.gateway.access.identity import (
    FileIdentity,
    Identities,
    Principal,
    bearer,
    ensure_local_token,
    tokens_file,
)
from services.gateway.access.limits import RateLimit
from services.process.run import Fatal
from tests.unit.gateway.world import write_tokens

ALICE = Principal("alice", frozenset())


def test_the_local_token_is_made_once_and_private(tmp_path: Path) -> None:
    token = ensure_local_token(tmp_path)
    assert ensure_local_token(tmp_path) == token
    assert len(token) >= 40
    known = FileIdentity(tmp_path).of(token)
    assert known
    assert (known.user, known.roles) == ("local", {"auditor", "admin"})
    for path in (identity.token_file(tmp_path), identity.tokens_file(tmp_path)):
        assert path.stat().st_mode & 0o777 == 0o600
    assert token not in identity.tokens_file(tmp_path).read_text()
    assert (tmp_path / "credentials").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_file_of_tokens_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    ensure_local_token(tmp_path)
    path = tokens_file(tmp_path)
    path.write_text(text)
    with pytest.raises(Fatal, match=f"{path} holds no tokens: .* delete it"):
        ensure_local_token(tmp_path)
    assert path.read_text() == text
    path.unlink()
    assert ensure_local_token(tmp_path)


def test_the_local_token_joins_those_that_are_there(tmp_path: Path) -> None:
    write_tokens(tmp_path, {"a": {"user": "alice"}})
    token = ensure_local_token(tmp_path)
    known = FileIdentity(tmp_path)
    assert known.of("a") == ALICE
    assert known.of(token)


@pytest.mark.parametrize("user", ["-", "a.b", "", "a b", "x" * 65])
def test_who_can_be_no_user_is_nobody_whatever_the_file_says(tmp_path: Path, user: str) -> None:
    write_tokens(tmp_path, {"a": {"user": "alice"}, "b": {"user": user, "roles": ["admin"]}})
    known = Identities(FileIdentity(tmp_path))
    assert known.of("a") == ALICE
    assert known.of("b") is None


@given(st.text())
def test_other_tokens_are_nobodys(text: str) -> None:
    folder = Path(__file__).parent
    assert FileIdentity(folder / "no such folder").of(text) is None


def test_a_removed_or_expired_token_ends_at_once(tmp_path: Path) -> None:
    known = FileIdentity(tmp_path)
    write_tokens(
        tmp_path, {"a": {"user": "alice"}, "old": {"user": "x", "expires": time.time() - 1}}
    )
    assert known.of("a") == ALICE
    assert known.of("old") is None
    write_tokens(tmp_path, {"b": {"user": "bob"}})
    assert known.of("a") is None
    assert known.of("b")
    identity.tokens_file(tmp_path).write_text("{broken")
    assert known.of("b") is None


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer x", "x"), ("bearer  x ", "x"), ("Basic x", None), ("Bearer", None), (None, None)],
)
def test_bearer_headers(header: str | None, token: str | None) -> None:
    assert bearer(header) == token


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 5))
def test_no_window_holds_much_more_than_its_limit(steps: list[float], most: int) -> None:
    now = 0.0
    passed: list[float] = []
    limit = RateLimit(most, 10.0, lambda: now)
    for step in steps:
        now += step
        if not limit.over(ALICE, None):
            passed.append(now)
    # A sliding window estimated from two fixed ones lets at most twice the limit through.
    for start in passed:
        assert len([t for t in passed if start <= t < start + 10]) <= 2 * most


def test_limits_are_per_user_and_not_for_the_operator() -> None:
    limit = RateLimit(1, 10.0, lambda: 0.0)
    admin = Principal("root", frozenset({"admin"}))
    assert not limit.over(ALICE, None)
    assert limit.over(ALICE, None) > 0
    assert not limit.over(Principal("bob", frozenset()), None)
    assert not any(limit.over(admin, None) for _ in range(5))
    assert not limit.over(None, ("1.2.3.4", 5))
    assert limit.over(None, ("1.2.3.4", 6))
    assert not limit.over(None, ("1.2.3.5", 6))
