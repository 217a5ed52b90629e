"""Where a Space is served is asked of the Hub when somebody registers it: a stand-in, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import Reason, Rejected
from contracts.host import COMMAND, Execute, Host, Stdio, StreamableHttp
from services.huggingface.hub import Hub, Patience
from services.huggingface.spaces import Spaces
from services.keys.secrets import Secrets
from services.registry.located import Located
from tests.support.hub import HubServer, hub_server

REPO = "ann/b-c"
SERVED = "ann-b-c-2"


class World:
    """The Hub with one Space of ann's, whose plain subdomain is another Space's."""

    def __init__(self, hub: HubServer, folder: Path) -> None:
        self.hub = hub
        self.secrets = folder / "secrets"
        self.token = hub.account("ann")
        patience = Patience(attempts=2, seconds=10.0, first_s=0.01)
        self.client = Hub(hub.url, cache=folder / "cache", patience=patience)
        self.spaces = Spaces(self.client)
        self.located = Located(self.spaces, Secrets(self.secrets, {}))

    async def made(self, *, private: bool) -> None:
        await self.spaces.create(self.token, REPO, sdk="static", private=private)
        self.hub.repos["space", REPO].served_as = SERVED

    def give(self, user: str, name: str = "HF_TOKEN") -> None:
        file = self.secrets / user / name
        file.parent.mkdir(parents=True)
        file.write_text(self.token)
        file.chmod(0o600)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with hub_server(tmp_path / "hub") as hub:
        one = World(hub, tmp_path)
        yield one
        await one.client.close()


def host(endpoint: Any) -> Host:
    return Host(id="alice/h", name="h", endpoint=endpoint, owner="alice", source=COMMAND)


async def subdomain(world: World, url: str = f"hf://{REPO}", **fields: Any) -> str:
    kind = fields.pop("kind", Execute)
    found = (await world.located(host(kind(url, **fields)))).endpoint
    assert isinstance(found, Execute | StreamableHttp)
    return found.subdomain


@pytest.mark.parametrize("kind", [Execute, StreamableHttp])
async def test_the_hub_says_where_a_space_is_served(world: World, kind: type) -> None:
    await world.made(private=False)
    assert await subdomain(world, kind=kind) == SERVED
    assert await subdomain(world, "HF://ann/b-c", kind=kind, bearer_from="HF_TOKEN") == SERVED
    said = await subdomain(world, kind=kind, subdomain="mallorys", bearer_from="HF_TOKEN")
    assert said == SERVED, "nobody else says it"


async def test_a_private_space_is_found_with_its_owners_token(world: World) -> None:
    await world.made(private=True)
    with pytest.raises(Rejected, match="only guessed") as refusal:
        await subdomain(world, bearer_from="HF_TOKEN")
    assert refusal.value.reason is Reason.UNAVAILABLE
    world.give("alice")
    assert await subdomain(world, bearer_from="HF_TOKEN") == SERVED


async def test_only_the_token_for_hugging_face_is_shown_to_it(world: World) -> None:
    await world.made(private=True)
    world.give("alice", "OTHER")
    with pytest.raises(Rejected, match="only guessed"):
        await subdomain(world, bearer_from="OTHER")
    asked = [one for one in world.hub.requests if one.path == f"/api/spaces/{REPO}"]
    assert asked[-1].user == "", "it was asked by nobody"


@pytest.mark.parametrize("trouble", ["no such Space", "away", "says nothing"])
async def test_what_the_hub_does_not_say_is_guessed_without_a_secret_only(
    world: World, trouble: str
) -> None:
    if trouble != "no such Space":
        await world.made(private=False)
        world.hub.repos["space", REPO].served_as = ""
    world.hub.down = trouble == "away"
    assert await subdomain(world) == ""
    assert await subdomain(world, subdomain="mallorys") == ""
    for secret in ("HF_TOKEN", "OTHER"):
        with pytest.raises(Rejected, match=f"the secret {secret} is sent to no address"):
            await subdomain(world, bearer_from=secret)


async def test_other_hosts_are_left_alone(world: World) -> None:
    for endpoint in (Stdio("x"), Execute("https://h.example", bearer_from="X")):
        assert await world.located(host(endpoint)) == host(endpoint)
    assert await subdomain(world, "https://h.example", subdomain="odd") == ""
    assert world.hub.requests == []
