"""What is compared, in every order: redirects, resources, proofs, and families of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.oauth import authorize, pages, rules
from services.gateway.oauth.rules import OAuthError, RefreshTurn
from tests.support.oauth_browser import challenge

RESOURCE = "https://t.example/mcp"


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 90)), max_size=20))
def test_of_a_family_one_token_is_good_and_thieves_end_it(shown: Sequence[tuple[int, int]]) -> None:
    number, rotated, now, used = 1, 0.0, 0.0, set[int]()
    for back, waited in shown:
        now += waited
        token = max(0, number - back)
        match rules.turn(number, rotated, token, now):
            case RefreshTurn.NEXT:
                assert token not in used
                used.add(token)
                number, rotated = number + 1, now
            case RefreshTurn.AGAIN:
                assert token == number - 1
                assert number not in used
                assert now - rotated <= rules.LOST_ANSWER_S
            case RefreshTurn.REUSE:
                assert token in used or token < 1
                return


@pytest.mark.parametrize(
    ("asked", "registered", "same"),
    [
        ("https://a.example/cb", "https://a.example/cb", True),
        ("https://a.example/cb/", "https://a.example/cb", False),
        ("https://a.example/cb?x=1", "https://a.example/cb", False),
        ("https://a.example:443/cb", "https://a.example/cb", False),
        ("https://A.example/cb", "https://a.example/cb", False),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1/cb", True),
        ("http://127.0.0.1/cb", "http://127.0.0.1:9/cb", True),
        ("http://localhost:65535/cb?a=b", "http://localhost:1/cb?a=b", True),
        ("http://[::1]:5/cb", "http://[::1]:6/cb", True),
        ("http://127.0.0.1:0/cb", "http://127.0.0.1/cb", False),
        ("http://127.0.0.1:65536/cb", "http://127.0.0.1/cb", False),
        ("http://127.0.0.2:1/cb", "http://127.0.0.1:1/cb", False),
        ("http://localhost:1/cb", "http://127.0.0.1:1/cb", False),
        ("http://127.0.0.1:1/cB", "http://127.0.0.1:1/cb", False),
        ("http://127.0.0.1:1@evil.example/cb", "http://127.0.0.1:1/cb", False),
        ("http://127.0.0.1.evil.example/cb", "http://127.0.0.1/cb", False),
        ("https://127.0.0.1:2/cb", "https://127.0.0.1:1/cb", False),
        ("cursor://a/cb", "cursor://a/cb", True),
        ("cursor://b/cb", "cursor://a/cb", False),
    ],
)
def test_redirects_are_compared_exactly_but_for_loopback_ports(
    asked: str, registered: str, same: bool
) -> None:
    assert rules.same_redirect(asked, registered) is same


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb",
        "http://127.0.0.1/",
        "http://localhost:33418/cb",
        "http://[::1]:1/x",
        "cursor://anysphere.cursor-retrieval/oauth/user-mcp/oauth/callback",
        "com.example.app:/cb",
    ],
)
def test_addresses_to_come_back_to(uri: str) -> None:
    assert rules.check_redirect(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/cb",
        "app.example/cb",
        "http://app.example/cb",
        "http://127.0.0.1.evil.example/",
        "https://app.example/cb#x",
        "https://user@app.example/",
        "https:///cb",
        "https://app.example:x/",
        "https://app.example/\\evil",
        "https://app.example/ x",
        "https://\u00e4.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "JAVASCRIPT:alert(1)",
        "https://a.example/" + "x" * 2048,
    ],
)
def test_addresses_that_nobody_is_sent_to(uri: str) -> None:
    with pytest.raises(OAuthError) as refused:
        rules.check_redirect(uri)
    assert refused.value.error == "invalid_redirect_uri"


@pytest.mark.parametrize(
    "asked", [(), (RESOURCE,), (f"{RESOURCE}/",), (f"{RESOURCE}/profile",), (RESOURCE, RESOURCE)]
)
def test_the_one_resource_stands_for_all_below_it(asked: Sequence[str]) -> None:
    rules.check_resource(asked, RESOURCE)


@pytest.mark.parametrize(
    "asked",
    ["https://t.example", "https://t.example/mcpx", "http://t.example/mcp", "https://x/mcp", "x"],
)
def test_other_resources_are_refused(asked: str) -> None:
    for given_ in ((asked,), (RESOURCE, asked)):
        with pytest.raises(OAuthError) as refused:
            rules.check_resource(given_, RESOURCE)
        assert refused.value.error == "invalid_target"


@given(st.text(max_size=200), st.text(max_size=60))
def test_only_the_verifier_proves(verifier: str, other: str) -> None:
    good = "a" * 43
    assert rules.proves(good, challenge(good))
    assert not rules.proves(good, other)
    assert not rules.proves(verifier, challenge(good)) or verifier == good


def test_scopes_are_known_ones_and_the_usual_one_by_default() -> None:
    assert rules.scopes_of(None) == ("mcp:call",)
    assert rules.scopes_of("offline_access") == ("mcp:call",)
    assert rules.scopes_of("tasks:read mcp:call tasks:read") == ("mcp:call", "tasks:read")
    assert rules.scopes_of(None, ("tasks:read",)) == ("tasks:read",)
    for wrong, allowed in (("x", ()), ("admin", ("mcp:call",))):
        with pytest.raises(OAuthError):
            rules.scopes_of(wrong, allowed)


@pytest.mark.parametrize(
    ("next_", "goes"),
    [
        ("/oauth/authorize?a=b&c=%20", "/oauth/authorize?a=b&c=%20"),
        (None, "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/x y", "/"),
        ("/\nx", "/"),
        ("/" + "x" * 9000, "/"),
    ],
)
def test_a_sign_in_goes_on_to_ours_alone(next_: str | None, goes: str) -> None:
    assert authorize.local(next_) == goes


def test_an_answer_keeps_what_the_redirect_has() -> None:
    assert rules.answered("https://a/cb", code="c d", state=None) == "https://a/cb?code=c+d"
    assert rules.answered("https://a/cb?x=1", code="c") == "https://a/cb?x=1&code=c"


def test_forms_may_lead_to_the_client() -> None:
    assert pages.form_target("https://a.example/cb") == "https://a.example"
    assert pages.form_target("http://127.0.0.1:5/cb") == "http://127.0.0.1:5"
    assert pages.form_target("http://[::1]:5/cb") == "http:"
    assert pages.form_target("cursor://x/cb") == "cursor:"
