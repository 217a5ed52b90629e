"""What a deployment tells a Space: whose permits to trust, for whom it works, where it lies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.gateway.http.linking import place
from services.huggingface.spaces import Space
from services.outside import addresses
from tests.support.nats import NatsServer
from tests.unit.gateway.hub_world import (
    SPACES,
    Linked,
    created,
    key_known,
    linked_world,
    variables,
)

HEAVY = f"{SPACES}/ann/heavy"


@pytest.fixture
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[Linked]:
    async with linked_world(fresh_nats, tmp_path) as one:
        yield one


@pytest.fixture
async def client(gateway: Linked) -> AsyncIterator[httpx.AsyncClient]:
    """Alice's, who is ann at Hugging Face."""
    async with gateway.http() as client:
        await gateway.link(client, "ann")
        yield client


async def test_a_gateway_that_others_reach_is_named(fresh_nats: NatsServer, tmp_path: Path) -> None:
    url = "https://tasks.example.com/"
    async with (
        linked_world(fresh_nats, tmp_path, public_url=url) as gateway,
        gateway.http() as client,
    ):
        await gateway.link(client, "ann")
        await created(client)
        gateway.hub.stage("ann/heavy", "PAUSED")
        assert (await client.post(f"{HEAVY}/deploy")).status_code == 200
        expected = "https://tasks.example.com/.well-known/jwks.json"
        assert variables(gateway) == {"METAMCP_JWKS_URL": expected, "METAMCP_OWNER": "alice"}


async def test_a_gateway_behind_plain_http_gives_the_keys_themselves(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    async with (
        linked_world(fresh_nats, tmp_path, public_url="http://10.0.0.1:8080") as gateway,
        gateway.http() as client,
    ):
        await gateway.link(client, "ann")
        await key_known(gateway, tmp_path / "keys")
        await created(client)
        gateway.hub.stage("ann/heavy", "PAUSED")
        assert (await client.post(f"{HEAVY}/deploy")).status_code == 200
        assert variables(gateway).keys() == {"METAMCP_JWKS", "METAMCP_OWNER"}


@pytest.mark.parametrize(
    ("before", "after"),
    [("bob", "alice"), ("bob, alice", "bob, alice"), ("alice2", "alice"), ("", "alice")],
)
async def test_the_kit_works_for_who_has_deployed_it(
    gateway: Linked, client: httpx.AsyncClient, tmp_path: Path, before: str, after: str
) -> None:
    await key_known(gateway, tmp_path / "keys")
    await created(client)
    gateway.hub.stage("ann/heavy", "PAUSED")
    kept = gateway.hub.repos["space", "ann/heavy"].runtime.variables
    kept["METAMCP_OWNER"] = {"value": before}
    kept["METAMCP_PUBLIC_URL"] = {"value": "https://tools.example.org"}
    assert (await client.post(f"{HEAVY}/deploy")).status_code == 200
    assert variables(gateway)["METAMCP_OWNER"] == after
    assert variables(gateway)["METAMCP_PUBLIC_URL"] == "https://tools.example.org", "left alone"


def test_a_space_is_told_its_address_where_hugging_face_does_not() -> None:
    space = Space("ann/Heavy", subdomain="ann-heavy-2")
    assert place(space, addresses.SPACES) == {}
    assert place(space, "http://127.0.0.1:9/live/{subdomain}") == {
        "METAMCP_PUBLIC_URL": "http://127.0.0.1:9/live/ann-heavy-2"
    }
