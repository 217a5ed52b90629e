"""Tokens on their way to those who call hosts: who may ask, and what travels."""

from __future__ import annotations

import pytest

from services.bus.bus import Bus
from services.bus.errors import BusError
from services.gateway.access.identity import LOCAL_USER
from services.keys.gateway import host_tokens
from services.keys.hosttokens import NotSignedInThere
from services.keys.vault import KeyFile
from tests.support.nats import NatsServer
from tests.unit.gateway.hostauth.linking import Linking


@pytest.mark.parametrize("role", ["executor", "registry"])
async def test_whoever_calls_hosts_is_given_a_token(
    one: Linking, fresh_nats: NatsServer, key: KeyFile, role: str
) -> None:
    async with fresh_nats.connected("gateway") as gateway, fresh_nats.connected(role) as caller:
        linking = Linking(gateway, key, one.auth)
        await gateway.serve("gateway", "1.0.0", {"host_token": linking.links.token})
        host = linking.host()
        tokens = host_tokens(caller, key)
        with pytest.raises(NotSignedInThere, match=f"metamcp link {host.id}"):
            await tokens.instead(host, LOCAL_USER, None)
        await linking.link(host)
        assert await tokens.instead(host, LOCAL_USER, None) in one.auth.tokens


@pytest.mark.parametrize("role", ["results", "router"])
async def test_nobody_else_may_ask(fresh_nats: NatsServer, key: KeyFile, role: str) -> None:
    async with fresh_nats.connected(role) as caller:
        with pytest.raises(BusError, match="host_token"):
            await caller.request("cmd.gateway.host_token", b"{}", timeout=2)


async def test_without_a_gateway_that_knows_such_tokens_one_is_told_to_sign_in(
    one: Linking, fresh_nats: NatsServer, key: KeyFile
) -> None:
    async with fresh_nats.connected("executor") as caller:
        with pytest.raises(NotSignedInThere, match="metamcp link"):
            await host_tokens(caller, key).instead(one.host(), "ann", None)


async def test_a_token_travels_sealed(one: Linking, bus: Bus) -> None:
    host = one.host()
    await one.link(host)
    request = b'{"user":"local","host":"%s","url":"%s"}' % (
        host.id.encode(),
        one.auth.resource.encode(),
    )
    answer = await one.links.token(request)
    assert not [token for token in one.auth.tokens if token.encode() in answer]
