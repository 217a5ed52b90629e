"""What a client finds that knows the URL alone, and the page where people sign in."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.bus.bus import Bus
from services.gateway.oauth.places import OAuthPlaces, places
from services.gateway.people.users import changed
from services.gateway.settings import Settings
from tests.support.oauth_browser import PASSWORD, Browser, HandMade, ReadForm
from tests.unit.gateway.oauth.acting import people_of
from tests.unit.gateway.oauth.test_flow import refused
from tests.unit.gateway.world import SETTINGS, World, world

PUBLIC = "https://tasks.example.com"


async def test_a_stranger_is_told_where_to_ask(one: World) -> None:
    async with one.http(None) as http:
        for path in ("/mcp", "/mcp/", "/mcp/profile"):
            answer = await http.post(path, json={})
            assert answer.status_code == 401
            at = f"{one.url}/.well-known/oauth-protected-resource/mcp"
            told = f'Bearer resource_metadata="{at}", scope="mcp:call"'
            assert answer.headers["www-authenticate"] == told
            found = (await http.get(at)).json()
            assert found["resource"] == f"{one.url}/mcp"
            assert found["scopes_supported"] == ["mcp:call"]
            assert found["bearer_methods_supported"] == ["header"]
        plain = await http.get("/api/tasks")
        assert plain.headers["www-authenticate"] == "Bearer"


async def test_a_wrong_token_is_told_so(one: World) -> None:
    async with one.http("nonsense") as http:
        answer = await http.post("/mcp", json={})
        told = answer.headers["www-authenticate"]
        assert told.startswith('Bearer error="invalid_token", resource_metadata="')


async def test_addresses_come_from_settings_never_from_a_request(tmp_path: Path, bus: Bus) -> None:
    chosen = Settings(port=0, rate_limit_requests=0, public_url=f"{PUBLIC}/")
    async with world(tmp_path, bus, chosen) as one, one.http(None) as http:
        spoof = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        found = await http.get("/.well-known/oauth-authorization-server", headers=spoof)
        told = found.json()
        assert told["issuer"] == PUBLIC
        assert told["authorization_endpoint"] == f"{PUBLIC}/oauth/authorize"
        assert told["token_endpoint"] == f"{PUBLIC}/oauth/token"
        assert told["jwks_uri"] == f"{PUBLIC}/oauth/jwks.json"
        assert "evil" not in found.text
        asked = await http.post("/mcp", json={}, headers=spoof)
        at = f"{PUBLIC}/.well-known/oauth-protected-resource/mcp"
        assert f'resource_metadata="{at}"' in asked.headers["www-authenticate"]
        head = await http.head("/.well-known/oauth-authorization-server")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(found.content)


def test_where_we_are() -> None:
    assert places("https://t.example/", "http://0.0.0.0:8080") == OAuthPlaces("https://t.example")
    assert places("", "http://127.0.0.1:8080") == OAuthPlaces("http://127.0.0.1:8080")
    assert places("", "http://0.0.0.0:8080") is None
    assert places("", "http://10.0.0.1:8080") is None


async def test_a_gateway_that_does_not_know_its_address_says_so(one: World) -> None:
    oauth = one.site.oauth
    assert oauth is not None
    oauth.listening("http://10.0.0.1:80")
    async with one.http(None) as http:
        answer = await http.get("/.well-known/oauth-protected-resource")
        assert "METAMCP_GATEWAY_PUBLIC_URL" in refused(answer, "invalid_request", 404)
        asked = await http.post("/mcp", json={})
        assert asked.headers["www-authenticate"] == "Bearer"


async def test_what_the_server_says_of_itself(one: World) -> None:
    async with one.http(None) as http:
        told = (await http.get("/.well-known/oauth-authorization-server")).json()
        assert told == (await http.get("/.well-known/openid-configuration")).json()
    assert told["response_types_supported"] == ["code"]
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["authorization_response_iss_parameter_supported"] is True
    assert told["client_id_metadata_document_supported"] is True
    assert "none" in told["token_endpoint_auth_methods_supported"]
    assert set(told["grant_types_supported"]) == {
        "authorization_code",
        "refresh_token",
        "client_credentials",
    }
    assert {"mcp:call", "tasks:read", "admin"} <= set(told["scopes_supported"])


async def test_the_sign_in_page_is_ours_and_plain(one: World, browser: Browser) -> None:
    page = await browser.http.get(f"{one.url}/signin", params={"next": "/oauth/authorize?a=b&c"})
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'; frame-ancestors 'none'" in policy
    assert page.headers["x-frame-options"] == "DENY"
    form = ReadForm(page.text)
    assert form.action == "/signin"
    assert form.fields["next"] == "/oauth/authorize?a=b&c"
    assert form.links == []
    evil = await browser.http.get(f"{one.url}/signin", params={"next": '"><script>//evil'})
    assert ReadForm(evil.text).fields["next"] == "/"


async def test_who_has_the_password_gets_a_session(one: World, browser: Browser) -> None:
    page = await browser.http.get(f"{one.url}/signin", params={"next": "/api/docs"})
    wrong = await browser.sign_in(page, password="wrong")
    assert wrong.status_code == 401
    assert "Wrong" in wrong.text
    assert "set-cookie" not in wrong.headers
    assert ReadForm(wrong.text).fields["user"] == browser.user
    assert ReadForm(wrong.text).fields["password"] == ""
    done = await browser.post(ReadForm(page.text), user=browser.user, password=PASSWORD)
    assert done.headers["set-cookie"].startswith("metamcp=")
    assert ReadForm(done.text).goes == "/api/docs"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_no_other_site_signs_anybody_in(
    one: World, browser: Browser, headers: dict[str, str]
) -> None:
    data = {"user": browser.user, "password": PASSWORD}
    answer = await browser.http.post(f"{one.url}/signin", data=data, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_session_of_somebody_disabled_asks_anew(
    one: World, browser: Browser, client: HandMade
) -> None:
    await browser.visit(client.asks(), "deny")
    await people_of(one).change(browser.user, changed({"disabled": True}), "test")
    answer = await browser.http.get(client.asks())
    assert answer.headers["location"].startswith("/signin")


async def test_errors_of_pages_are_pages_and_those_of_programs_are_json(one: World) -> None:
    async with one.http(None) as http:
        page = await http.post("/oauth/consent", content=b"{}")
        assert page.headers["content-type"].startswith("text/html")
        assert page.status_code == 400
        many = await http.get("/oauth/authorize?" + "&".join(f"a{n}=1" for n in range(50)))
        assert many.status_code == 400
        put = await http.put("/oauth/token")
        assert (put.status_code, put.headers["allow"]) == (405, "POST")
        assert msgspec.json.decode(put.content)["error"] == "invalid_request"


async def test_the_sign_in_page_has_a_button_for_each_provider(tmp_path: Path, bus: Bus) -> None:
    settings = msgspec.structs.replace(SETTINGS, github_client_id="x", github_client_secret="y")
    async with world(tmp_path, bus, settings) as one, one.http(None) as nobody:
        page = await nobody.get("/signin", params={"next": "/oauth/authorize?a=b&c"})
    back = "/api/auth/github/start?next=%2Foauth%2Fauthorize%3Fa%3Db%26c"
    assert ReadForm(page.text).links == [back]
