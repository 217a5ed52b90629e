"""What a browser keeps while it is away, and how many may be away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bus.bus import Bus
from services.gateway.people.providers import logins, page, pkce
from services.gateway.people.providers.base import NotSignedIn
from services.gateway.people.records import ProviderLogin
from tests.unit.gateway.people.providers.signing import NAME, Signing, browser, signing

LOGIN = ProviderLogin(provider="p", browser="", redirect="r", expires=0.0)
SECRET = "s" * 43


async def test_behind_https_the_cookie_is_for_this_host_alone(
    own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    given = chosen | {"public_url": "https://tasks.example.com"}
    async with signing(tmp_path, own_bus, given) as gateway, browser(gateway) as ann:
        answer = await ann.start(NAME)
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == "__Host-metamcp_login"
    assert rest.split("; ")[1:] == ["Path=/", "Max-Age=600", "HttpOnly", "SameSite=Lax", "Secure"]
    assert "redirect_uri=https%3A%2F%2Ftasks.example.com%2F" in answer.headers["location"]


async def test_the_address_is_never_taken_from_a_request(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        answer = await ann.get(f"/api/auth/{NAME}/start", headers=headers)
    assert "evil.example" not in answer.headers["location"]


async def test_without_an_address_nobody_is_sent_away(
    own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    async with (
        signing(tmp_path, own_bus, chosen | {"public_url": ""}) as gateway,
        browser(gateway) as ann,
    ):
        answer = await ann.start(NAME)
        assert (answer.status_code, "METAMCP_GATEWAY_PUBLIC_URL" in answer.text) == (503, True)
    async with (
        signing(
            tmp_path,
            own_bus,
            chosen | {"public_url": "", "github_redirect_uri": "http://localhost:3000/back"},
        ) as gateway,
        browser(gateway) as ann,
    ):
        answer = await ann.start("github")
        assert "redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fback" in answer.headers["location"]


async def test_so_many_may_be_away_and_no_more(
    gateway: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "MOST_LOGINS", 3)
    kept = gateway.door._logins
    for _ in range(3):
        await kept.begin(None, LOGIN)
    with pytest.raises(NotSignedIn, match="too many people"):
        await kept.begin(None, LOGIN)
    # Those whose time is over make room.
    for key, held in list(kept._table.held.items()):
        old = msgspec.structs.replace(held.value, expires=1.0)
        kept._table.take(key, msgspec.structs.replace(held, value=old))
    await kept.begin(None, LOGIN)


@pytest.mark.parametrize(
    ("cookie", "secret"),
    [
        (f"metamcp_login={SECRET}", SECRET),
        (f'a="b; c=d; metamcp_login={SECRET}; x', SECRET),
        (f"metamcp_login={SECRET[1:]}", None),
        (f"metamcp_login={SECRET}x", None),
        (f"xmetamcp_login={SECRET}", None),
        (f"__Host-metamcp_login={SECRET}", None),
        ("metamcp_login", None),
        ("", None),
    ],
)
def test_a_cookie_is_read(cookie: str, secret: str | None) -> None:
    assert logins.shown({"cookie": cookie}, secure=False) == secret
    hosts = cookie.replace("metamcp_login", "__Host-metamcp_login")
    if cookie.startswith("metamcp_login"):
        assert logins.shown({"cookie": hosts}, secure=True) == secret


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_what_is_derived_is_different_for_each(one: str, two: str, state: str, other: str) -> None:
    made = {
        pkce.derived(browser_, state_, use)
        for browser_ in {one, two}
        for state_ in {state, other}
        for use in ("nonce", "verifier")
    }
    assert len(made) == 2 * len({one, two}) * len({state, other})
    assert all(len(text) == 43 for text in made)


def test_a_challenge_is_that_of_rfc_7636() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert pkce.challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_words_of_others_are_no_markup() -> None:
    evil = '"><script>alert(1)</script>'
    made = page.confirm(*[evil] * 5)
    assert "<script>" not in made
    assert '""' not in made
