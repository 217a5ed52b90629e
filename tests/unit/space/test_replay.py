"""Permits pass once, in memory."""

from __future__ import annotations

import permit
import pytest
import replay

from tests.support.space import Issuer


def test_a_guard_lets_a_permit_pass_once_until_its_end() -> None:
    guard = replay.ReplayGuard(limit=2)
    issuer = Issuer()

    def claims(task: str, user: str = "ann", exp: int = 1000) -> permit.Claims:
        made = issuer.claims(b"{}", task=task, user=user) | {"exp": exp}
        return permit.Claims(**made)

    guard.admit(claims("t1"), now=0)
    guard.admit(claims("t1", "bob", exp=100), now=0)
    with pytest.raises(permit.PermitError) as caught:
        guard.admit(claims("t1"), now=999)
    assert caught.value.reason == "replayed"
    guard.admit(claims("t2"), now=100 + replay.FORGET_S)
    with pytest.raises(permit.PermitError) as caught:
        guard.admit(claims("t3"), now=100 + replay.FORGET_S)
    assert caught.value.reason == "full"
