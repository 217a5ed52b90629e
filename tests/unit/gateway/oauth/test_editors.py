"""What editors and agents document that they need of a server: each row of docs/mcp.md's table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from services.gateway.oauth import documents, rules
from services.gateway.oauth.clients import of_document
from services.outside.site import SitePage
from tests.support.oauth_browser import Browser, HandMade, query
from tests.unit.gateway.oauth.acting import oauth_of
from tests.unit.gateway.oauth.test_flow import comes_in
from tests.unit.gateway.world import World

PAGE = Path(__file__).parents[4] / "docs" / "mcp.md"
CLAUDE = "http://localhost:64236/callback"
CURSOR = "cursor://anysphere.cursor-mcp/oauth/callback"
CURSORS = [
    CURSOR,
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "http://localhost:8787/callback",
]
VS_CODE = [
    "https://insiders.vscode.dev/redirect",
    "https://vscode.dev/redirect",
    "http://127.0.0.1/",
    "http://127.0.0.1:33418/",
]
REGISTERED: dict[str, dict[str, Any]] = {
    "Claude Code": {
        "client_name": "Claude Code (metamcp)",
        "redirect_uris": [CLAUDE],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "scope": "openid profile email offline_access",
    },
    "VS Code": {
        "client_name": "Visual Studio Code",
        "client_uri": "https://code.visualstudio.com",
        "redirect_uris": VS_CODE,
        "grant_types": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    },
    "Cursor": {
        "client_name": "Cursor",
        "redirect_uris": CURSORS,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    },
}
"""How each registers itself."""
COMES_BACK = {
    "Claude Code": [CLAUDE, "http://localhost:50000/callback"],
    "VS Code": [
        "http://127.0.0.1:33418/",
        "http://127.0.0.1:50123/",
        "https://vscode.dev/redirect",
    ],
    "Cursor": CURSORS,
}
DESCRIBED: dict[str, dict[str, Any]] = {
    "Claude Code": {
        "client_id": "https://claude.ai/oauth/claude-code-client-metadata",
        "client_name": "Claude Code",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    },
    "VS Code": {
        "client_id": "https://vscode.dev/oauth/client-metadata.json",
        "client_name": "Visual Studio Code",
        "client_uri": "https://vscode.dev/product",
        "redirect_uris": ["http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
        "grant_types": REGISTERED["VS Code"]["grant_types"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    },
}
"""The description that is the id of one."""


def test_the_table_has_these_clients() -> None:
    part = PAGE.read_text().partition("## By OAuth")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z][\w ]+?) \| .+? \| `(test_\w+)` \| .+? \|$", part, re.MULTILINE)
    assert {name for name, _ in rows} == set(REGISTERED)
    assert len(rows) == len(re.findall(r"^\| [A-Z]", part, re.MULTILINE)), "one says no test"
    tests = {test for _, test in rows}
    assert tests <= set(globals())
    assert tests == {name for name in globals() if name.startswith("test_")} - {
        "test_the_table_has_these_clients"
    }


@pytest.mark.parametrize("name", REGISTERED)
async def test_it_registers_and_comes_back_where_it_wants(
    one: World, browser: Browser, name: str
) -> None:
    client = HandMade(browser.http, one.url)
    answer = await client.register(**REGISTERED[name])
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["redirect_uris"] == REGISTERED[name]["redirect_uris"]
    assert set(told["grant_types"]) == {"authorization_code", "refresh_token"}
    assert "client_secret" not in told
    for redirect in COMES_BACK[name]:
        back = await browser.visit(client.asks(redirect_uri=redirect))
        assert back.startswith(redirect)
        tokens = (await client.fetches(query(back)["code"], redirect_uri=redirect)).json()
        assert (await comes_in(one, tokens["access_token"])).status_code == 200
        refreshed = (await client.refreshes(tokens["refresh_token"])).json()
        assert (await comes_in(one, refreshed["access_token"])).status_code == 200


async def test_everything_is_found_from_the_401(one: World) -> None:
    async with one.http(None) as http:
        asked = await http.post("/mcp", json={})
        told = asked.headers["www-authenticate"]
        found = re.search(r'resource_metadata="([^"]+)"', told)
        assert found is not None
        assert 'scope="mcp:call"' in told
        resource = (await http.get(found[1])).json()
        (issuer,) = resource["authorization_servers"]
        server = (await http.get(f"{issuer}/.well-known/oauth-authorization-server")).json()
    assert server["issuer"] == issuer
    assert server["registration_endpoint"]
    assert server["code_challenge_methods_supported"] == ["S256"]
    assert "none" in server["token_endpoint_auth_methods_supported"]


async def test_everything_is_found_without_reading_the_header(one: World) -> None:
    async with one.http(None) as http:
        for path in (
            "/.well-known/oauth-protected-resource/mcp",
            "/.well-known/oauth-protected-resource",
        ):
            assert (await http.get(path)).json()["resource"] == f"{one.url}/mcp"
        for path in (
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration",
        ):
            assert (await http.get(path)).json()["issuer"] == one.url


@pytest.mark.parametrize(
    "scope", [None, "mcp:call offline_access", "openid profile email", "mcp:call"]
)
async def test_it_asks_for_the_scopes_that_it_asks_everybody_for(
    one: World, browser: Browser, client: HandMade, scope: str | None
) -> None:
    tokens = await client.granted(browser, scope=scope)
    assert tokens["scope"] == "mcp:call"
    assert tokens["refresh_token"]


@pytest.mark.parametrize("name", DESCRIBED)
def test_its_description_is_its_id(name: str) -> None:
    described = DESCRIBED[name]
    body = json.dumps(described).encode()
    page = SitePage(200, "application/json", None, body)
    client = of_document(described["client_id"], documents.read(page))
    assert (client.id, client.name) == (described["client_id"], described["client_name"])
    for redirect in COMES_BACK[name]:
        assert rules.redirect_of(redirect, client.redirects) == redirect


@pytest.mark.parametrize("redirect", [CURSOR, "http://localhost:8123/callback"])
async def test_an_administrator_gives_it_an_id_and_a_secret(
    one: World, browser: Browser, redirect: str
) -> None:
    client = HandMade(browser.http, one.url)
    async with one.http("admin-token") as admin:
        body = {"name": "Editor", "redirects": [redirect]}
        made = (await admin.post("/api/clients", json=body)).json()["data"]
    client.id, client.secret = made["id"], made["secret"]
    back = await browser.visit(client.asks(redirect_uri=redirect))
    answer = await client.fetches(query(back)["code"], redirect_uri=redirect)
    assert answer.status_code == 200, answer.text
    assert oauth_of(one).clients.known(client.id) is not None


async def test_it_asks_for_more_when_it_is_told_so(
    one: World, browser: Browser, client: HandMade
) -> None:
    tokens = await client.granted(browser, scope="tasks:read")
    refused = await comes_in(one, tokens["access_token"])
    assert refused.status_code == 403
    found = re.search(
        r'error="insufficient_scope", scope="([^"]+)"', refused.headers["www-authenticate"]
    )
    assert found is not None
    tokens = await client.granted(browser, scope=f"tasks:read {found[1]}")
    assert (await comes_in(one, tokens["access_token"])).status_code == 200
