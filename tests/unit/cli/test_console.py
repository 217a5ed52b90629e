"""`metamcp console`: a browser is opened with a link that nobody else on the machine sees."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli import browser
from services.cli.commands import run
from services.cli.common import Exit, Out
from tests.support.nats import NatsServer
from tests.unit.cli.kept import metamcp
from tests.unit.gateway.peopled import peopled
from tests.unit.gateway.world import World

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


@pytest.fixture
async def real(nats_server: NatsServer, tmp_path: Path, monkeypatch: Patch) -> AsyncIterator[World]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("METAMCP_TOKEN", "admin-token")
    async with nats_server.connected("gateway") as bus, peopled(tmp_path / "data", bus) as one:
        monkeypatch.setenv("METAMCP_URL", one.url)
        yield one


async def signs_in(one: World, url: str) -> bool:
    async with one.http(None) as client:
        body = {"code": url.partition("#code=")[2]}
        headers = {"Origin": one.url}
        return (await client.post("/api/auth/console", json=body, headers=headers)).is_success


async def test_where_there_is_no_screen_the_link_is_printed(real: World, capsys: Capture) -> None:
    assert await metamcp("console") == Exit.OK
    url = capsys.readouterr().out.strip()
    assert url.startswith(f"{real.url}/console#code=mtl_")
    assert await signs_in(real, url)


async def test_a_browser_gets_the_link_in_a_private_file(
    real: World, capsys: Capture, monkeypatch: Patch, tmp_path: Path
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(browser, "on_a_screen", lambda: True)
    monkeypatch.setattr(browser, "open_page", lambda url: opened.append(url) is None)
    assert await metamcp("console") == Exit.OK
    said = capsys.readouterr()
    page = tmp_path / "config/metamcp/console.html"
    assert opened == [page.as_uri()]
    assert stat.S_IMODE(os.stat(page).st_mode) == 0o600
    assert "mtl_" not in said.out + said.err + opened[0]
    url = page.read_text().partition('href="')[2].partition('"')[0]
    assert await signs_in(real, url)
    assert await metamcp("console", "--print") == Exit.OK
    assert "#code=mtl_" in capsys.readouterr().out
    assert len(opened) == 1


async def test_up_gives_the_link_to_a_terminal_alone(
    real: World, capsys: Capture, monkeypatch: Patch
) -> None:
    running: Any = SimpleNamespace(url=real.url, token="admin-token", trust=None)
    for terminal, as_json in ((True, False), (False, False), (True, True)):
        monkeypatch.setattr("sys.stdout.isatty", lambda seen=terminal: seen, raising=False)
        await run.tell_of_console(running, Out(as_json=as_json))
        said = capsys.readouterr()
        given = "#code=mtl_" in said.out.replace("\n", "")
        assert given == (terminal and not as_json)
        assert "mtl_" not in said.err
