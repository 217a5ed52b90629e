"""What hosts and authorization servers say of themselves, and what of it is believed."""

from __future__ import annotations

import pytest

from services.gateway.hostauth import metadata
from services.gateway.hostauth.metadata import BadMetadata, HostChallenge, Resource
from services.outside.challenge import missing_scope

HOST = "https://mcp.example.com/a/mcp"
PRM, SERVER, OPENID = metadata.PRM, metadata.SERVER, metadata.OPENID
SAID = {
    "issuer": "https://as.example.com",
    "authorization_endpoint": "https://as.example.com/authorize",
    "token_endpoint": "https://as.example.com/token",
    "code_challenge_methods_supported": ["plain", "S256"],
}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer resource_metadata="https://x/y", scope="a b"', ("https://x/y", ("a", "b"), "")),
        ("Bearer error=invalid_token , scope=a", ("", ("a",), "invalid_token")),
        ('Basic realm="x", Bearer resource_metadata="https://x"', ("https://x", (), "")),
        (r'Bearer error="a\"b"', ("", (), 'a"b')),
        ("Bearer", ("", (), "")),
        ("", ("", (), "")),
    ],
)
def test_a_refusal_says_where_to_look(
    header: str, expected: tuple[str, tuple[str, ...], str]
) -> None:
    assert metadata.challenge_in([header]) == HostChallenge(*expected)


@pytest.mark.parametrize(
    ("url", "named", "expected"),
    [
        (HOST, "", (f"https://mcp.example.com{PRM}/a/mcp", f"https://mcp.example.com{PRM}")),
        ("https://x.example/", "", (f"https://x.example{PRM}",)),
        ("https://x.example:8443", "", (f"https://x.example:8443{PRM}",)),
        (HOST, "https://x.example/named", ("https://x.example/named",)),
    ],
)
def test_a_hosts_metadata_is_looked_for_in_order(
    url: str, named: str, expected: tuple[str, ...]
) -> None:
    assert metadata.resource_places(url, HostChallenge(named)) == expected


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("https://as.example.com", (SERVER, OPENID)),
        ("https://as.example.com/", (SERVER, OPENID)),
        ("https://as.example.com/t1", (f"{SERVER}/t1", f"{OPENID}/t1", f"/t1{OPENID}")),
    ],
)
def test_a_servers_metadata_is_looked_for_in_order(issuer: str, expected: tuple[str, ...]) -> None:
    places = metadata.server_places(issuer)
    assert places == tuple(f"https://as.example.com{path}" for path in expected)


@pytest.mark.parametrize(
    ("resource", "fits"),
    [
        (HOST, True),
        (f"{HOST}/", True),
        ("https://mcp.example.com", True),
        ("https://mcp.example.com/a", True),
        ("https://MCP.example.com:443/a", True),
        ("https://mcp.example.com/a/mc", False),
        ("https://mcp.example.com/b", False),
        ("https://evil.example.com/a/mcp", False),
        ("http://mcp.example.com/a/mcp", False),
        ("https://mcp.example.com:8443/a/mcp", False),
        ("https://[", False),
        (7, False),
    ],
)
def test_a_resource_is_the_hosts_own_address_or_above_it(resource: object, fits: bool) -> None:
    said = {"resource": resource, "authorization_servers": ["https://as.example.com"]}
    if fits:
        assert metadata.resource_of(said, HOST).servers == ("https://as.example.com",)
    else:
        with pytest.raises(BadMetadata, match="resource"):
            metadata.resource_of(said, HOST)


@pytest.mark.parametrize("servers", [None, [], [7], "https://as.example.com"])
def test_a_host_names_an_authorization_server(servers: object) -> None:
    with pytest.raises(BadMetadata, match="authorization_servers"):
        metadata.resource_of({"resource": HOST, "authorization_servers": servers}, HOST)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"issuer": "https://evil.example.com"}, "issuer"),
        ({"issuer": None}, "issuer"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"code_challenge_methods_supported": None}, "PKCE"),
        ({"authorization_endpoint": "http://as.example.com/authorize"}, "authorization_endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint"),
        ({"token_endpoint": "https://me:pw@as.example.com/token"}, "token_endpoint"),
        ({"token_endpoint": None}, "token_endpoint"),
    ],
)
def test_a_server_that_is_not_to_be_trusted_is_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(BadMetadata, match=why):
        metadata.server_of(SAID | change, "https://as.example.com")


def test_a_server_says_what_it_can() -> None:
    more = {
        "registration_endpoint": "http://as.example.com/register",
        "revocation_endpoint": "https://as.example.com/revoke",
        "client_id_metadata_document_supported": True,
    }
    server = metadata.server_of(SAID | more, "https://as.example.com/")
    assert (server.register, server.revoke) == ("", "https://as.example.com/revoke")
    assert server.documents
    assert not server.names_itself


@pytest.mark.parametrize(
    ("names_itself", "issuer", "fits"),
    [
        (True, "https://as.example.com", True),
        (True, None, False),
        (False, None, True),
        (False, "https://evil.example.com", False),
    ],
)
def test_an_answer_has_to_be_of_the_server_that_was_asked(
    names_itself: bool, issuer: str | None, fits: bool
) -> None:
    said = SAID | {"authorization_response_iss_parameter_supported": names_itself}
    server = metadata.server_of(said, "https://as.example.com")
    assert metadata.came_from(server, issuer) is fits


def test_what_is_asked_for_is_what_the_refusal_names_and_what_the_user_adds() -> None:
    server = metadata.server_of(SAID | {"scopes_supported": ["offline_access"]}, SAID["issuer"])  # type: ignore[arg-type]
    known = Resource(HOST, (), ("all",))
    wanted = metadata.wanted_scopes
    assert wanted(HostChallenge(scopes=("a",)), known, server, ("b",)) == (
        *("a", "b"),
        "offline_access",
    )
    assert wanted(HostChallenge(), known, server) == ("all", "offline_access")


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://x.example", True),
        ("http://127.0.0.1:7", True),
        ("http://localhost/x", True),
        ("http://x.example", False),
        ("https://x.example/#a", False),
        ("https://a@x.example", False),
        ("https://x.example:99999", False),
        ("", False),
    ],
)
def test_credentials_travel_by_https_or_stay_here(url: str, fits: bool) -> None:
    assert metadata.secure(url) is fits


@pytest.mark.parametrize(
    ("header", "scope"),
    [
        ('Bearer error="insufficient_scope", scope="a b"', "a b"),
        ('Bearer error="invalid_token", scope="a"', ""),
        ('Bearer error="insufficient_scope", scope="a\'; rm"', ""),
        ('Bearer error="insufficient_scope"', ""),
    ],
)
def test_a_missing_scope_is_named(header: str, scope: str) -> None:
    assert missing_scope([header]) == scope
