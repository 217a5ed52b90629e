"""How tokens for hosts are renewed: once, by one gateway, whoever asks."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.errors import Reason, Rejected
from services.bus.bus import Bus
from services.gateway.access.identity import LOCAL_USER, digest
from services.gateway.hostauth import tokens
from services.gateway.hostauth.records import HostLink
from services.keys.vault import KeyFile
from services.process.files import write_private
from tests.support.host_auth import HostAuth
from tests.unit.gateway.hostauth.linking import Linking


async def changed(one: Linking, host: str, **fields: Any) -> HostLink:
    """Have a link be otherwise, for all gateways."""
    table, key = one.links.kept.table, tokens.link_key(LOCAL_USER, host)
    held = table.get(key)
    assert held is not None
    put = await table.put(key, msgspec.structs.replace(held.value, **fields), held.revision)
    assert put is not None
    return put.value


async def old(one: Linking, host: str) -> None:
    """Let a link's token be about to end."""
    now = time.time()
    await changed(one, host, made=now - 3600, ends=now + 5)


@pytest.mark.parametrize(
    ("made", "ends", "now", "due"),
    [
        (0, 3600, 3539, False),
        (0, 3600, 3540, True),
        (0, 8, 5, False),
        (0, 8, 6, True),
        (0, None, 1e9, False),
    ],
)
def test_a_token_is_renewed_before_its_end(
    made: float, ends: float | None, now: float, due: bool
) -> None:
    server: Any = None
    link = HostLink(
        **{name: "x" for name in ("user", "host", "url", "resource", "client", "how")},
        server=server,
        access=b"",
        made=made,
        ends=ends,
        linked=0.0,
    )
    assert tokens.is_due(link, now) is due


async def test_a_token_about_to_end_is_renewed_and_its_refresh_token_with_it(
    one: Linking, auth: HostAuth
) -> None:
    host = one.host()
    await one.link(host)
    first = await one.token(host)
    for _ in range(2):
        await old(one, host.id)
        assert await one.token(host) not in (first, "")
    assert auth.count("refresh_token") == 2
    assert auth.asked[-1][1]["resource"] == auth.resource


async def test_a_server_that_does_not_rotate_is_asked_with_the_same(
    one: Linking, auth: HostAuth
) -> None:
    auth.rotates = False
    host = one.host()
    await one.link(host)
    for _ in range(2):
        await old(one, host.id)
        await one.token(host)
    used = [form["refresh_token"] for _, form in auth.asked[1:]]
    assert used[0] == used[1]


async def test_two_gateways_renew_a_token_once(bus: Bus, key: KeyFile, auth: HostAuth) -> None:
    one, two = Linking(bus, key, auth), Linking(bus, key, auth)
    host = one.host()
    await one.link(host)
    await old(one, host.id)
    auth.go.clear()
    asking = [asyncio.ensure_future(each.token(host)) for each in (one, two, one, two)]
    await auth.refreshing.wait()
    waiting = await asyncio.wait(asking, timeout=0.3)
    assert not waiting[0]
    auth.go.set()
    assert len(set(await asyncio.gather(*asking))) == 1
    assert auth.count("refresh_token") == 1


async def test_a_refused_token_is_renewed_once_whoever_reports_it(
    one: Linking, auth: HostAuth
) -> None:
    host = one.host()
    await one.link(host)
    refused = await one.token(host)
    await changed(one, host.id, made=time.time() - 60)
    stale = digest(refused)
    found = await asyncio.gather(*(one.token(host, stale=stale) for _ in range(3)))
    assert len(set(found)) == 1
    assert found[0] != refused
    assert auth.count("refresh_token") == 1


async def test_a_host_that_takes_no_token_at_all_does_not_wear_the_link_out(
    one: Linking, auth: HostAuth
) -> None:
    host = one.host()
    await one.link(host)
    with pytest.raises(Rejected, match="made just now"):
        await one.token(host, stale=digest(await one.token(host)))
    assert not auth.count("refresh_token")
    assert await one.token(host)


async def test_a_refresh_token_that_was_taken_back_ends_the_link(
    one: Linking, auth: HostAuth
) -> None:
    host = one.host()
    await one.link(host)
    await old(one, host.id)
    auth.refreshes.clear()
    for _ in range(2):
        with pytest.raises(Rejected, match=f"metamcp link {host.id}") as caught:
            await one.token(host)
        assert caught.value.reason is Reason.NOT_FOUND
    assert auth.count("refresh_token") == 1
    link = await one.links.kept.of(LOCAL_USER, host.id)
    assert link is not None
    assert (link.access, link.refresh) == (b"", b"")
    await one.link(host)
    assert await one.token(host)


async def test_after_a_death_in_a_renewal_the_link_is_to_be_made_again(
    one: Linking, auth: HostAuth
) -> None:
    host = one.host()
    await one.link(host)
    await old(one, host.id)
    auth.go.clear()
    dying = asyncio.ensure_future(one.token(host))
    await auth.refreshing.wait()
    dying.cancel()
    await asyncio.wait([dying])
    auth.go.set()
    auth.refreshes.clear()  # The server has carried the renewal out.
    await changed(one, host.id, leased=time.time() - 1)
    with pytest.raises(Rejected, match="link"):
        await one.token(host)


async def test_with_another_master_key_one_links_again(
    one: Linking, bus: Bus, auth: HostAuth, tmp_path: Path
) -> None:
    auth.secret = "client-s3cret"
    host = one.host()
    await one.link(host)
    write_private(tmp_path / "other.key", b"6b" * 32)
    other = Linking(bus, KeyFile(tmp_path / "other.key"), auth)
    with pytest.raises(Rejected, match=f"metamcp link {host.id}"):
        await other.token(host)
    await other.link(host)
    assert await other.token(host) in auth.tokens
    assert len(auth.clients) == 2
    assert await other.links.unlink(LOCAL_USER, host.id) == (True, True)


async def test_while_the_server_is_away_nothing_is_lost(one: Linking, auth: HostAuth) -> None:
    host = one.host()
    link = await one.link(host)
    away = msgspec.structs.replace(link.server, token="http://127.0.0.1:1/token")
    await changed(one, host.id, ends=time.time() + 5, made=0.0, server=away)
    with pytest.raises(Rejected) as caught:
        await one.token(host)
    assert caught.value.reason is Reason.UNAVAILABLE
    await changed(one, host.id, server=link.server)
    assert await one.token(host)


async def test_who_waits_too_long_for_anothers_renewal_is_told(
    one: Linking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "WAIT_S", 0.0)
    host = one.host()
    await one.link(host)
    await old(one, host.id)
    await changed(one, host.id, leased=time.time() + 30)
    with pytest.raises(Rejected, match="being renewed"):
        await one.token(host)
