"""`metamcp token` against a real gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.cli.app import execute
from services.cli.commands.token import span
from services.cli.common import CliError, Exit
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world


@pytest.fixture
async def real(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A gateway that issues tokens; the client is an admin."""
    monkeypatch.chdir(tmp_path)
    async with nats_server.connected("gateway") as bus, world(tmp_path, bus) as one:
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "admin-token")
        yield one


async def token(*arguments: str) -> int:
    return await asyncio.to_thread(execute, ["token", *arguments])


def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


async def test_a_token_is_printed_alone_and_once(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    user = name("u")
    assert await token("add", user, "--ttl", "90d", "--note", "ci") == Exit.OK
    said = capsys.readouterr()
    (text,) = said.out.split()
    assert text.startswith("mtm_")
    assert text not in said.err
    assert "not shown again" in said.err
    async with real.http(text) as client:
        assert (await client.get("/api/tasks")).status_code == 200
    for arguments in (("list", "--user", user), ("--user", user)):
        assert await token(*arguments) == Exit.OK
        listed = capsys.readouterr().out
        assert user in listed
        assert "ci" in listed
        assert text not in listed


async def test_it_is_revoked_by_its_id(real: World, capsys: pytest.CaptureFixture[str]) -> None:
    user = name("u")
    assert await token("add", user, "--role", "admin", "--role", "auditor", "--json") == Exit.OK
    made = shown(capsys)
    assert (made["user"], made["roles"], made["expires"]) == (user, ["admin", "auditor"], None)
    assert await token("list", "--user", user, "--json") == Exit.OK
    assert [entry["id"] for entry in shown(capsys)] == [made["id"]]
    assert await token("revoke", made["token"]) == Exit.USAGE
    assert made["token"] not in capsys.readouterr().err
    assert await token("revoke", made["id"]) == Exit.OK
    assert capsys.readouterr().out == f"{made['id']} of {user} is revoked\n"
    async with real.http(made["token"]) as client:
        assert (await client.get("/api/tasks")).status_code == 401
    assert await token("revoke", made["id"]) == Exit.REFUSED
    assert "no such token" in capsys.readouterr().err
    assert await token("list", "--user", user) == Exit.OK
    assert "no tokens" in capsys.readouterr().out


async def test_a_long_list_is_read_to_its_end(
    real: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, tokens = name("u"), real.site.parts.tokens
    page = tokens.page
    monkeypatch.setattr(tokens, "page", lambda user, after, count: page(user, after, 2))
    ids = [(await tokens.add(user, (), None, ""))[0].id for _ in range(5)]
    assert await token("--user", user, "--json") == Exit.OK
    assert [entry["id"] for entry in shown(capsys)] == ids


async def test_others_are_refused(
    real: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
    for arguments in (("add", "bob"), ("list", "--user", "bob")):
        assert await token(*arguments) == Exit.REFUSED
        assert "role `admin`" in capsys.readouterr().err
    assert await token("revoke", "x") == Exit.REFUSED


@pytest.mark.parametrize(
    "arguments",
    [("add", "a b"), ("add", "a", "--role", "root"), ("add", "a", "--ttl", "soon")],
)
async def test_what_makes_no_sense_is_never_sent(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await token(*arguments) == Exit.USAGE


@pytest.mark.parametrize(
    ("text", "seconds"), [("90d", 7_776_000), ("1.5h", 5400), ("30m", 1800), ("2w", 1_209_600)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert span(text) == seconds


@pytest.mark.parametrize("text", ["", "0d", "-1h", "90", "1y", "1e3s", "٣d"])
def test_what_is_no_length_of_time(text: str) -> None:
    if text == "٣d":
        # Digits of any script are digits.
        assert span(text) == 3 * 86_400
        return
    with pytest.raises(CliError, match="no length of time"):
        span(text)
