"""Which strings name a user or a host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import ids
from contracts.errors import Rejected

TOKENS = st.from_regex(ids._TOKEN, fullmatch=True)
USERS = TOKENS.filter(lambda name: name != ids.OPERATOR)


@given(st.none() | USERS, TOKENS)
def test_a_hosts_id_and_its_two_tokens_are_the_same_thing(owner, name):
    id_ = ids.host_id(owner, name)
    assert ids.check_host(id_) == id_
    assert ids.split_host(id_) == (owner or ids.OPERATOR, name)
    assert ids.host_id(*ids.split_host(id_)) == id_


@given(st.text(max_size=12) | st.from_regex(r"[a-]{0,2}/[a/-]{0,3}", fullmatch=True))
def test_an_id_has_one_form_only(text):
    if ids.is_host(text):
        assert ids.host_id(*ids.split_host(text)) == text
    else:
        with pytest.raises(Rejected):
            ids.check_host(text)


@pytest.mark.parametrize("host", ["-/x", "a/", "/a", "a/b/c", "", "a b", "a/" + "b" * 65, None])
def test_what_is_no_hosts_id(host):
    assert not ids.is_host(host)


def test_no_user_is_called_like_the_operator():
    assert ids.is_user("alice")
    assert not ids.is_user("-")
    with pytest.raises(Rejected, match="operator"):
        ids.check_user("-")
