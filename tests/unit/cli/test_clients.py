"""`metamcp clients` against a real gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli.app import execute
from services.cli.common import Exit
from services.gateway.people.records import User
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.unit.gateway.oauth.acting import followed, people_of
from tests.unit.gateway.world import World, world


@pytest.fixture
async def real(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A gateway that knows people; the client is an admin."""
    monkeypatch.chdir(tmp_path)
    async with (
        fresh_nats.connected("gateway") as bus,
        world(tmp_path, bus) as one,
        followed(one) as running,
    ):
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "admin-token")
        yield running


async def clients(*arguments: str) -> int:
    return await asyncio.to_thread(execute, ["clients", *arguments])


def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


async def test_a_service_gets_a_client_that_comes_in(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    user = name("svc")
    await people_of(real).create(User(name=user, service=True), asked_by="test")
    assert await clients() == Exit.OK
    assert "there are no clients" in capsys.readouterr().out
    assert await clients("add", "Reports", "--user", user) == Exit.OK
    said = capsys.readouterr()
    id_, secret = said.out.split()
    assert secret not in said.err
    assert "not shown again" in said.err
    form = {"grant_type": "client_credentials"}
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{real.url}/oauth/token", data=form, auth=(id_, secret))
        assert answer.status_code == 200, answer.text
        assert await clients("list") == Exit.OK
        listed = capsys.readouterr().out
        assert "Reports" in listed
        assert secret not in listed
        assert await clients("remove", id_) == Exit.OK
        assert capsys.readouterr().out == f"{id_} (Reports) is removed\n"
        gone = await http.post(f"{real.url}/oauth/token", data=form, auth=(id_, secret))
        assert gone.status_code == 401
    assert await clients("remove", id_) == Exit.REFUSED
    assert "no such client" in capsys.readouterr().err


async def test_clients_are_made_and_listed_as_json(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    redirects = ("https://app.example/cb", "http://127.0.0.1/cb")
    arguments = [word for uri in redirects for word in ("--redirect", uri)]
    more = ("--scope", "mcp:call", "--scope", "tasks:read", "--public", "--json")
    assert await clients("add", "App", *arguments, *more) == Exit.OK
    made = shown(capsys)
    assert (made["redirects"], made["secret"], made["public"]) == ([*redirects], None, True)
    assert made["scopes"] == ["mcp:call", "tasks:read"]
    assert await clients("--json") == Exit.OK
    assert [one["id"] for one in shown(capsys)] == [made["id"]]


async def test_what_makes_no_client_is_said(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await clients("add", "x") == Exit.USAGE
    assert "could do nothing" in capsys.readouterr().err
    assert await clients("add", "x", "--redirect", "http://app.example/") == Exit.USAGE
    assert "loopback" in capsys.readouterr().err
    assert await clients("add", "x", "--user", "nobody") != Exit.OK
    assert "is no service" in capsys.readouterr().err
