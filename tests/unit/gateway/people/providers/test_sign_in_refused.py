"""What is refused when people sign in with others: each way in which an answer may be wrong."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import pytest
from aiohttp import web

from services.bus.bus import Bus
from services.gateway.people.providers import asking
from tests.support.github_sign_in import GitHubOAuth
from tests.support.oidc import OidcServer
from tests.unit.gateway.people.providers.signing import (
    HTML,
    NAME,
    Signing,
    browser,
    refused,
    replaced,
    value,
)
from tests.unit.gateway.world import error_of


async def test_a_state_that_was_never_given(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        back = replaced(await ann.away(NAME), "state", "x" * 43)
        await refused(gateway, back, ann, "unknown_state", 400)


@pytest.mark.parametrize("missing", ["state", "code"])
async def test_an_answer_without_what_it_needs(gateway: Signing, missing: str) -> None:
    async with browser(gateway) as ann:
        back = replaced(await ann.away(NAME), missing, None)
        await refused(gateway, back, ann, "bad_answer", 400)


@pytest.mark.parametrize("twice", ["state", "code", "iss"])
async def test_an_answer_that_says_something_twice(gateway: Signing, twice: str) -> None:
    async with browser(gateway) as ann:
        back = await ann.away(NAME)
        await refused(gateway, f"{back}&{twice}=other", ann, "bad_answer", 400)


async def test_the_state_of_another_browser(gateway: Signing) -> None:
    async with browser(gateway) as ann, browser(gateway) as eve:
        hers = await eve.away(NAME)
        await refused(gateway, hers, ann, "other_browser", 400)
        # Nor with a cookie of her own.
        await ann.away(NAME)
        await refused(gateway, hers, ann, "other_browser", 400)
        assert (await eve.get(hers)).status_code == 303


async def test_a_state_counts_once(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        back = await ann.away(NAME)
        assert (await ann.get(back)).status_code == 303
        ann.client.cookies.delete("metamcp")
        await refused(gateway, back, ann, "used_state", 400)


async def test_a_state_ends(gateway: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    async with browser(gateway) as ann:
        back = await ann.away(NAME)
        later = time.time() + 601
        monkeypatch.setattr("services.gateway.people.state.time.time", lambda: later)
        await refused(gateway, back, ann, "unknown_state", 400)


async def test_a_code_of_another_sign_in(gateway: Signing) -> None:
    """Eve has her code, and her browser, but somebody else's state has other proof."""
    async with browser(gateway) as ann, browser(gateway) as eve:
        stolen = value(await ann.away(NAME), "code")
        hers = replaced(await eve.away(NAME), "code", stolen)
        await refused(gateway, hers, eve, "invalid_grant", 403)


async def test_a_code_of_another_sign_in_at_github(gateway: Signing) -> None:
    async with browser(gateway) as ann, browser(gateway) as eve:
        stolen = value(await ann.away("github"), "code")
        hers = replaced(await eve.away("github"), "code", stolen)
        await refused(gateway, hers, eve, "bad_verification_code", 403)


async def test_a_code_counts_once(gateway: Signing, company: OidcServer) -> None:
    async with browser(gateway) as ann:
        back = await ann.away(NAME)
        company.codes.clear()
        await refused(gateway, back, ann, "invalid_grant", 403)


@pytest.mark.parametrize("issuer", ["https://evil.example", "", "github"])
async def test_an_answer_of_another_provider(
    gateway: Signing, company: OidcServer, github: GitHubOAuth, issuer: str
) -> None:
    wrong = f"{github.url}/login/oauth" if issuer == "github" else issuer
    async with browser(gateway) as ann:
        back = replaced(await ann.away(NAME), "iss", wrong)
        await refused(gateway, back, ann, "wrong_issuer", 400)
    assert "token" not in company.asked


async def test_a_provider_that_names_itself_always_does(
    gateway: Signing, company: OidcServer
) -> None:
    async with browser(gateway) as ann:
        back = replaced(await ann.away(NAME), "iss", None)
        await refused(gateway, back, ann, "wrong_issuer", 400)
    assert "token" not in company.asked


@pytest.mark.parametrize("provider", ["github", "huggingface"])
async def test_one_that_need_not_name_itself_does_not_name_another(
    gateway: Signing, company: OidcServer, provider: str
) -> None:
    async with browser(gateway) as ann:
        back = await ann.away(provider) + f"&iss={company.issuer}"
        await refused(gateway, back, ann, "wrong_issuer", 400)


async def test_an_answer_that_comes_to_another_providers_address(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        back = await ann.away("github")
        mixed = back.replace("/github/", f"/{NAME}/")
        await refused(gateway, mixed, ann, "wrong_provider", 400)
        # It was no sign-in, so the right one still is.
        assert (await ann.get(back)).status_code == 303


async def test_metadata_of_another_issuer(gateway: Signing, company: OidcServer) -> None:
    company.more = {"issuer": "https://evil.example"}
    async with browser(gateway) as ann:
        answer = await ann.start(NAME)
        assert answer.status_code == 503
        assert "not of this issuer" in answer.text


@pytest.mark.parametrize("error", ["access_denied", "temporarily_unavailable", "e" * 99, "<b>"])
@pytest.mark.parametrize("provider", ["github", NAME])
async def test_errors_of_the_provider_in_plain_words(
    gateway: Signing, github: GitHubOAuth, company: OidcServer, provider: str, error: str
) -> None:
    github.error = company.error = error
    words = {
        "access_denied": ("access_denied", 403, "You did not allow it at"),
        "temporarily_unavailable": ("temporarily_unavailable", 503, "is busy"),
    }
    word, status, text = words.get(error, ("unknown_error", 403, "unknown_error"))
    async with browser(gateway) as ann:
        shown = await refused(gateway, await ann.away(provider), ann, word, status)
    assert text in shown
    assert "<script>" not in shown
    assert "<b>" not in shown


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("bad_verification_code", "used already or is too old"),
        ("incorrect_client_credentials", "for the operator of this server"),
        ("redirect_uri_mismatch", "another callback address"),
        ("unverified_user_email", "Verify your e-mail address"),
        ("something_new", "something_new"),
    ],
)
async def test_errors_of_github_that_come_with_200(
    gateway: Signing, github: GitHubOAuth, error: str, words: str
) -> None:
    github.token_error = error
    async with browser(gateway) as ann:
        assert words in await refused(gateway, await ann.away("github"), ann, error, 403)


@pytest.mark.parametrize("path", ["/user", "/user/emails"])
@pytest.mark.parametrize("status", [401, 403, 500])
async def test_an_api_of_github_that_does_not_say_who(
    gateway: Signing, github: GitHubOAuth, path: str, status: int
) -> None:
    github.status[path] = status
    async with browser(gateway) as ann:
        await refused(gateway, await ann.away("github"), ann, "provider_away", 503)


def huge() -> web.Response:
    return web.json_response({"access_token": "x" * (asking.MOST_BYTES + 1)})


def elsewhere() -> web.Response:
    return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})


def no_json() -> web.Response:
    return web.Response(text="<html>")


def deep() -> web.Response:
    return web.Response(text="[" * 100_000)


def no_token() -> web.Response:
    return web.json_response({"access_token": "", "token_type": "Bearer"})


def odd_token() -> web.Response:
    return web.json_response({"access_token": "x", "token_type": "mac"})


@pytest.mark.parametrize("instead", [huge, elsewhere, no_json, deep, no_token, odd_token])
async def test_an_answer_that_is_none(gateway: Signing, company: OidcServer, instead: Any) -> None:
    company.instead["token"] = instead
    async with browser(gateway) as ann:
        await refused(gateway, await ann.away(NAME), ann, "provider_away", 503)


@pytest.mark.parametrize("endpoint", ["token", "jwks", "userinfo"])
async def test_an_answer_that_never_comes(
    gateway: Signing, company: OidcServer, endpoint: str
) -> None:
    company.hangs.add(endpoint)
    gateway.door.providers[NAME]._asking._wait_s = 0.2  # type: ignore[attr-defined]
    async with browser(gateway) as ann:
        back = await ann.away(NAME)
        text = await refused(gateway, back, ann, "provider_away", 503)
    assert "no answer within 0.2 s" in text


async def test_a_provider_that_is_not_there(gateway: Signing, company: OidcServer) -> None:
    gateway.door.providers[NAME].authority = "http://127.0.0.1:1"
    async with browser(gateway) as ann:
        answer = await ann.start(NAME)
        assert (answer.status_code, "ConnectError" in answer.text) == (503, True)


async def test_a_provider_that_nobody_signs_in_with(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        for path in ("start", "callback?state=x&code=y"):
            answer = await ann.get(f"/api/auth/nobody/{path}")
            assert answer.status_code == 404


@pytest.mark.parametrize(
    "there",
    [
        *("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example"),
        *("evil", "", "javascript:alert(1)", "/\t/evil.example", "/a b", "/\u00e9"),
        *("http:/evil.example", "///evil.example", "/" + "a" * 2000),
    ],
)
async def test_a_way_on_that_leads_elsewhere(gateway: Signing, there: str) -> None:
    async with browser(gateway) as ann:
        answer = await ann.start(NAME, next=there)
        assert answer.status_code == 400
        assert "expected a path of this server" in answer.text


async def test_a_program_is_told_as_programs_are(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        back = replaced(await ann.away(NAME), "state", "x" * 43)
        answer = await ann.get(back, headers={"Accept": "application/json"})
        error = error_of(answer)
        assert (error.code, error.reason) == (400, "bad_request")
        assert "Sign in again" in error.message


async def test_without_nats_a_person_gets_a_page_and_a_program_json(
    gateway: Signing, own_bus: Bus
) -> None:
    async with browser(gateway) as ann:
        back = await ann.away(NAME)
        await own_bus.close()
        shown = await ann.get(back)
        assert (shown.status_code, shown.headers["retry-after"]) == (503, "2")
        assert shown.headers["content-type"].startswith("text/html")
        assert "can&#x27;t reach its own storage right now" in shown.text
        assert 'href="/signin"' in shown.text
        told = await ann.get(back, headers={"Accept": "application/json"})
        assert (error_of(told).code, error_of(told).reason) == (503, "unavailable")
        again = await ann.start("github", link="maybe")
        assert (again.status_code, "<h1>This did not work</h1>" in again.text) == (400, True)


async def test_the_page_of_a_problem_runs_nothing(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        answer = await ann.get("/api/auth/company/callback", headers=HTML)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    for part in ("form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    mark = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{mark}'" in policy
    assert answer.headers["x-request-id"] in answer.text


async def test_parameters_that_providers_add_do_no_harm(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        back = await ann.away(NAME) + "&session_state=a.b&authuser=0&hd=example.com"
        assert (await ann.get(back)).status_code == 303
