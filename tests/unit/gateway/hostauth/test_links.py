"""What a sign-in at a host comes to, done right and done wrong."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.errors import Reason, Rejected
from contracts.host import COMMAND, Execute, StreamableHttp
from services.bus.bus import Bus
from services.gateway.access.identity import LOCAL_USER
from services.gateway.hostauth.exchange import KnownAs
from services.gateway.hostauth.links import HostWish
from services.keys.vault import KeyFile
from tests.support.host_auth import HostAuth
from tests.unit.gateway.hostauth.linking import Linking, visited


async def refusal(work: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        await work
    return caught.value


async def test_whoever_signs_in_gets_the_hosts_token(one: Linking, auth: HostAuth) -> None:
    host = one.host()
    link = await one.link(host)
    assert (link.user, link.host, link.scopes) == (LOCAL_USER, host.id, ("files:read",))
    assert await one.token(host) in auth.tokens
    form = auth.asked[0][1]
    assert form["resource"] == auth.resource
    assert len(form["code_verifier"]) >= 43


async def test_a_server_that_gives_clients_a_secret_is_shown_it(
    one: Linking, auth: HostAuth
) -> None:
    auth.secret = "s3cr%t:+/"
    await one.link(one.host())
    assert auth.asked[0][0] == "client-1"
    assert "client_secret" not in auth.asked[0][1]


async def test_one_registers_once(one: Linking, auth: HostAuth) -> None:
    for user in (LOCAL_USER, "ann"):
        await one.link(one.host(), user)
    assert list(auth.clients) == ["client-1"]
    known = auth.clients["client-1"]
    assert known["redirect_uris"] == ["http://127.0.0.1:7/link/callback"]
    assert known["application_type"] == "native"


async def test_a_client_of_the_operators_goes_first(bus: Bus, key: KeyFile, auth: HostAuth) -> None:
    one = Linking(bus, key, auth, KnownAs("by-hand"))
    await one.link(one.host())
    assert auth.asked[0][0] == "by-hand"
    assert not auth.clients


async def test_a_server_that_takes_descriptions_is_shown_ours(one: Linking, auth: HostAuth) -> None:
    auth.documents = True
    one.links.clients._base = lambda: "https://tasks.example.com"
    _, login = await one.links.begin(HostWish("ann", one.host()))
    assert login.client == "https://tasks.example.com/link/client.json"
    shown = one.links.clients.document()
    assert shown["client_id"] == login.client
    assert shown["redirect_uris"] == ["https://tasks.example.com/link/callback"]
    assert not auth.clients


async def test_a_host_that_lets_everybody_begin_says_later_what_it_wants(
    one: Linking, auth: HostAuth
) -> None:
    auth.begins = 200
    assert (await one.link(one.host())).scopes == ("files:read",)


async def test_whoever_asks_for_more_keeps_what_he_has(one: Linking, auth: HostAuth) -> None:
    host = one.host()
    await one.link(host)
    auth.scope = "files:list"
    _, login = await one.links.begin(HostWish(LOCAL_USER, host, scopes=("files:write",)))
    assert login.scopes == ("files:list", "files:read", "files:write")
    _, anew = await one.links.begin(HostWish(LOCAL_USER, host))
    assert anew.scopes == ("files:list",)


async def test_who_answers_is_compared_to_the_letter(one: Linking, auth: HostAuth) -> None:
    auth.iss = f"{auth.url}/"
    url, _ = await one.links.begin(HostWish(LOCAL_USER, one.host()))
    refused = await refusal(one.links.finish(await visited(url), None))
    assert "another server" in refused.message


async def test_without_a_way_to_be_known_the_operator_is_told(one: Linking, auth: HostAuth) -> None:
    auth.registers = False
    refused = await refusal(one.links.begin(HostWish("ann", one.host())))
    assert refused.reason is Reason.CONFLICT
    assert "METAMCP_GATEWAY_HOST_CLIENTS" in refused.message


@pytest.mark.parametrize(
    ("prm", "metadata", "why"),
    [
        ({"resource": "https://evil.example.com/mcp"}, {}, "resource"),
        ({"authorization_servers": ["http://evil.example.com"]}, {}, "https"),
        ({}, {"issuer": "https://evil.example.com"}, "issuer"),
        ({}, {"code_challenge_methods_supported": None}, "PKCE"),
        ({}, {"token_endpoint": "http://evil.example.com/token"}, "token_endpoint"),
    ],
)
async def test_a_host_that_lies_is_not_linked(
    one: Linking, auth: HostAuth, prm: dict[str, Any], metadata: dict[str, Any], why: str
) -> None:
    auth.prm, auth.metadata = prm, metadata
    refused = await refusal(one.links.begin(HostWish("ann", one.host())))
    assert refused.reason is Reason.CONFLICT
    assert why in refused.message
    assert not auth.clients


@pytest.mark.parametrize(
    "endpoint",
    [
        Execute("https://x.example"),
        StreamableHttp("https://x.example", bearer_from="TOKEN"),
        StreamableHttp("https://x.example", headers={"Authorization": "{secret:X}"}),
        StreamableHttp("hf://ann/space"),
        StreamableHttp("http://x.example/mcp"),
    ],
)
async def test_hosts_that_nobody_signs_in_at(one: Linking, endpoint: Any) -> None:
    refused = await refusal(one.links.begin(HostWish("ann", one.host(endpoint=endpoint))))
    assert refused.reason is Reason.CONFLICT


async def test_a_users_host_leads_to_no_private_address(one: Linking, auth: HostAuth) -> None:
    host = one.host("ann/closed", owner="ann", source=COMMAND)
    refused = await refusal(one.links.begin(HostWish("ann", host)))
    assert refused.reason is Reason.UNAVAILABLE
    assert not auth.called


async def test_an_answer_counts_once(one: Linking, auth: HostAuth) -> None:
    url, _ = await one.links.begin(HostWish(LOCAL_USER, one.host()))
    answer = await visited(url)
    await one.links.finish(answer, None)
    refused = await refusal(one.links.finish(answer, None))
    assert "finished already" in refused.message
    assert auth.count("authorization_code") == 1


@pytest.mark.parametrize("browser", [None, "bob"])
async def test_nobody_gets_the_sign_in_of_another(one: Linking, browser: str | None) -> None:
    host = one.host()
    url, _ = await one.links.begin(HostWish("ann", host))
    refused = await refusal(one.links.finish(await visited(url), browser))
    assert refused.reason is Reason.FORBIDDEN
    assert await one.links.kept.of("ann", host.id) is None


@pytest.mark.parametrize(
    ("iss", "error", "change", "why"),
    [
        ("https://evil.example.com", "", {}, "another server"),
        (None, "", {}, "another server"),
        ("", "access_denied", {}, "did not allow"),
        ("", "<script>", {}, "unknown_error"),
        ("", "", {"state": "x" * 43}, "not begun here"),
        ("", "", {"code": "guessed"}, "invalid_grant"),
        ("", "", {"code": None}, "refused"),
    ],
)
async def test_what_goes_wrong_links_nothing(
    one: Linking,
    auth: HostAuth,
    iss: str | None,
    error: str,
    change: dict[str, str | None],
    why: str,
) -> None:
    auth.iss, auth.error = iss, error
    host = one.host()
    url, _ = await one.links.begin(HostWish(LOCAL_USER, host))
    refused = await refusal(one.links.finish(await visited(url) | change, None))
    assert why in refused.message
    assert await one.links.kept.of(LOCAL_USER, host.id) is None


async def test_unlinking_ends_the_tokens_there(one: Linking, auth: HostAuth) -> None:
    host = one.host()
    await one.link(host)
    access = await one.token(host)
    assert await one.links.unlink(LOCAL_USER, host.id) == (True, True)
    assert access in auth.revoked
    assert len(auth.revoked) == 2
    assert (await refusal(one.token(host))).reason is Reason.NOT_FOUND
    assert await one.links.unlink(LOCAL_USER, host.id) == (False, False)


async def test_tools_are_listed_with_what_an_administrator_has_linked(
    one: Linking, auth: HostAuth
) -> None:
    host = one.host()
    await one.link(host, "ann")
    assert (await refusal(one.token(host, ""))).reason is Reason.NOT_FOUND
    await one.link(host, "root", shared=True)
    assert await one.token(host, "") == await one.token(host, "root")


async def test_a_host_that_has_moved_is_shown_no_token(one: Linking) -> None:
    host = one.host()
    await one.link(host)
    moved = one.host(host.id, endpoint=StreamableHttp("https://elsewhere.example.com/mcp"))
    refused = await refusal(one.token(moved))
    assert refused.reason is Reason.NOT_FOUND
    assert "another address" in refused.message


async def test_who_gets_the_name_of_a_deleted_account_gets_none_of_its_sign_ins(
    one: Linking,
) -> None:
    host = one.host()
    link = await one.link(host, "ann", shared=True)
    one.since["ann"] = link.linked + 1
    for user in ("ann", ""):
        assert (await refusal(one.token(host, user))).reason is Reason.NOT_FOUND
    assert await one.links.kept.of("ann", host.id) is None
    assert host.id not in [each.host for each in one.links.kept.every("ann")]


async def test_tokens_are_nowhere_to_be_read(
    one: Linking, auth: HostAuth, bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    auth.secret = "client-s3cret"
    with capture_logs() as lines:
        host = one.host()
        link = await one.link(host)
        access = await one.token(host)
        await one.links.unlink(LOCAL_USER, host.id)
    secrets = (access, *auth.refreshes, "client-s3cret", auth.asked[0][1]["code_verifier"])
    stored = [entry.value.decode() for entry in (await one.links._state.bucket.all()).values()]
    shown = [str(lines), repr(link), *stored]
    assert not [text for text in shown for secret in secrets if secret in text]
