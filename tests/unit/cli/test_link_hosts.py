"""`metamcp link HOST`: an address to open, and a wait until somebody has signed in there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts.facts import McpRegistered
from contracts.host import Host, StreamableHttp
from services.cli.commands import link_hosts
from services.cli.common import Exit
from services.process.ids import new_id
from tests.support.facts import name
from tests.support.host_auth import HostAuth, host_auth
from tests.support.nats import NatsServer
from tests.unit.cli.kept import metamcp
from tests.unit.gateway.hostauth.linking import BASE, visited
from tests.unit.gateway.world import SETTINGS, World, world


class Scene:
    """A gateway, a host that is closed, and a browser that does as it is told."""

    def __init__(self, site: World, auth: HostAuth) -> None:
        self.site = site
        self.auth = auth
        self.host = name("h")
        self.opened: list[str] = []
        self._loop = asyncio.get_running_loop()

    def open(self, url: str) -> None:
        """Alice signs in; commands run in a thread of their own."""
        self.opened.append(url)
        asyncio.run_coroutine_threadsafe(self._sign_in(url), self._loop)

    async def _sign_in(self, url: str) -> None:
        await self.site.site.host_links.finish(await visited(url), "alice")


@pytest.fixture
async def scene(
    tmp_path: Path, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    settings = msgspec.structs.replace(SETTINGS, public_url=BASE)
    async with (
        host_auth() as auth,
        nats_server.connected("gateway") as bus,
        world(tmp_path, bus, settings) as site,
    ):
        one = Scene(site, auth)
        spec = Host(id=one.host, name=one.host, endpoint=StreamableHttp(auth.resource))
        fact = McpRegistered(id=new_id(), by="registry-1", host=one.host, k=1, spec=spec)
        await site.append(fact)
        await site.settled()
        monkeypatch.setenv("METAMCP_URL", site.url)
        monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
        monkeypatch.setattr(link_hosts, "LOOK_S", 0.01)
        monkeypatch.setattr(link_hosts, "show_in_browser", one.open)
        yield one


async def test_a_sign_in_is_waited_for_listed_and_ended(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await metamcp("link", scene.host, "--scope", "files:write") == Exit.OK
    printed = capsys.readouterr()
    assert printed.out == f"you are signed in at {scene.host} (files:read, files:write)\n"
    assert scene.opened[0] in printed.err
    assert await metamcp("link", scene.host, "--json") == Exit.OK
    link = json.loads(capsys.readouterr().out)
    assert (link["host"], link["linked"], link["issuer"]) == (scene.host, True, scene.auth.url)
    assert await metamcp("accounts", "--check") == Exit.OK
    assert scene.host in capsys.readouterr().out
    assert await metamcp("accounts", "--json") == Exit.OK
    assert json.loads(capsys.readouterr().out) == [link]
    for word in ("signed in no more, and the tokens were ended there", "were not signed in"):
        assert await metamcp("unlink", scene.host) == Exit.OK
        assert word in capsys.readouterr().out


async def test_a_host_that_asks_for_no_sign_in_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.auth.prm = {"resource": "https://evil.example.com"}
    assert await metamcp("link", scene.host) != Exit.OK
    assert "resource" in capsys.readouterr().err
    assert await metamcp("link", "nowhere") == Exit.REFUSED


@pytest.mark.parametrize(
    "text",
    ["hf_abcdefgh", "ghp_abcdefgh", "github_pat_1", "sk-12345", "a" * 40, "a b", "x" * 200],
)
async def test_what_may_be_a_token_is_neither_sent_nor_shown(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAMCP_URL", "http://127.0.0.1:1")
    for verb in ("link", "unlink"):
        assert await metamcp(verb, text) == Exit.USAGE
        assert text not in "".join(capsys.readouterr())
