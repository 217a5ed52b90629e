"""`metamcp prefer` against a real gateway; what makes no sense is never sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import McpRegistered
from contracts.host import Host, Noop
from services.cli.app import execute
from services.cli.common import Exit
from services.process.ids import new_id
from tests.support.nats import NatsServer
from tests.unit.cli.gateway import Gateway
from tests.unit.gateway.world import World, world


@pytest.fixture
async def real(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A gateway that knows a host for all and one of somebody else; the client is alice."""
    monkeypatch.chdir(tmp_path)
    async with nats_server.connected("gateway") as bus, world(tmp_path, bus) as one:
        for host, owner in (("all", None), ("his", "bob")):
            spec = Host(id=host, name=host, endpoint=Noop(), owner=owner)
            fact = McpRegistered(id=new_id(), by="registry-1", host=host, k=1, spec=spec)
            await one.append(fact)
        await one.settled()
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
        yield one


async def prefer(*arguments: str) -> int:
    return await asyncio.to_thread(execute, ["prefer", *arguments])


async def test_it_is_said_listed_and_taken_back(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await prefer() == Exit.OK
    assert "no preferences" in capsys.readouterr().out
    assert await prefer("all", "0.25") == Exit.OK
    assert capsys.readouterr().out == "all has the preference 0.25\n"
    assert await prefer() == Exit.OK
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["host", "preference", "since"]
    assert row.split()[:2] == ["all", "0.25"]
    assert await prefer("all", "--clear") == Exit.OK
    assert capsys.readouterr().out == "all has no preference any more\n"
    assert await prefer() == Exit.OK
    assert "no preferences" in capsys.readouterr().out


async def test_json_is_what_the_gateway_answered(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async def printed(*arguments: str) -> Any:
        assert await prefer(*arguments, "--json") == Exit.OK
        return json.loads(capsys.readouterr().out)

    assert await printed("all", "1") == {"host": "all", "weight": 1.0, "seq": 3}
    record = await real.log.at(3)
    assert record is not None
    assert await printed() == [{"host": "all", "weight": 1.0, "since": record.at}]
    assert await printed("all", "--clear") == {"host": "all", "weight": None, "seq": 4}
    assert await printed() == []


@pytest.mark.parametrize("host", ["his", "none"])
@pytest.mark.parametrize("what", ["1", "--clear"])
async def test_a_host_that_is_not_there_is_refused_with_those_that_are(
    real: World, capsys: pytest.CaptureFixture[str], host: str, what: str
) -> None:
    assert await prefer(host, what) == Exit.REFUSED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"error: There is no host {host}.\nHosts: all\n"
    assert await real.log.head() == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["one"],
        ["--clear"],
        ["one", "1", "--clear"],
        ["one", "0.5", "2"],
        ["one", "1.1"],
        ["one", "-0.1"],
        ["one", "nan"],
        ["one", "inf"],
        ["one", "much"],
        ["a.b", "1"],
        ["../tasks", "--clear"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    known: Gateway, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["prefer", *arguments]) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") <= 2
    assert known.asked == []


def test_what_the_gateway_refuses_is_said(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    known.refuse("PUT /api/preferences/one", 409, "other requests change it")
    known.ok("GET /api/mcps", [{"id": "one"}])
    assert execute(["prefer", "one", "1"]) == Exit.REFUSED
    assert "other requests change it" in capsys.readouterr().err
    known.refuse("PUT /api/preferences/one", 503, "the log does not answer")
    assert execute(["prefer", "one", "1"]) == Exit.UNREACHABLE
