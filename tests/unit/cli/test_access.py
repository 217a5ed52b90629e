"""`metamcp access` and `metamcp quota` against a real gateway."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.bus.bus import Bus
from services.cli.app import execute
from services.cli.commands.access import AccessFeed
from services.cli.commands.quota import pair
from services.cli.common import CliError, Exit, Options
from tests.support.nats import NatsServer
from tests.unit.gateway.world import SETTINGS, World, world


@pytest.fixture
async def bus(fresh_nats: NatsServer) -> AsyncIterator[Bus]:
    async with fresh_nats.connected("gateway") as one:
        yield one


@pytest.fixture
async def real(
    bus: Bus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[World]:
    """A gateway; the client is an admin."""
    # After the first command log lines go nowhere.
    assert await metamcp("version") == Exit.OK
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    async with world(tmp_path, bus) as one:
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "admin-token")
        yield one


async def metamcp(*arguments: str) -> int:
    return await asyncio.to_thread(execute, arguments)


async def note(gateway: World, *kinds: str, **fields: Any) -> None:
    for kind in kinds:
        gateway.site.parts.trail.note(kind, **fields)
    await gateway.site.writer.flush()


async def test_events_are_json_lines_that_a_siem_takes(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await note(real, "sign_in", "sign_out", user="alice")
    await note(real, "sign_in", user="bob", outcome="refused", reason="unauthorized")
    assert await metamcp("access", "--json") == Exit.OK
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["sign_in", "sign_out", "sign_in"]
    assert {len(line) for line in lines} == {15}
    assert all(line["time"].endswith("Z") for line in lines)
    assert await metamcp("access", "--json", "--user", "bob", "--kind", "sign_in") == Exit.OK
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == lines[2]


async def test_people_get_one_line_each(real: World, capsys: pytest.CaptureFixture[str]) -> None:
    details = {"hosts": "3"}
    await note(real, "quota.changed", user="alice", asked_by="root", details=details)
    assert await metamcp("access", "--outcome", "ok") == Exit.OK
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("quota.changed    ok       alice by root hosts=3")
    assert await metamcp("access", "--outcome", "failed") == Exit.OK
    said = capsys.readouterr()
    assert said.out == ""
    assert "Nothing" in said.err


async def test_it_begins_at_a_time(real: World, capsys: pytest.CaptureFixture[str]) -> None:
    await note(real, "sign_in", user="alice")
    for since, count in (("1h", 1), ("2999-01-01", 0)):
        assert await metamcp("access", "--json", "--since", since) == Exit.OK
        assert len(capsys.readouterr().out.splitlines()) == count
    assert await metamcp("access", "--since", "soon") == Exit.USAGE


async def test_everybody_sees_their_own(
    real: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await note(real, "sign_in", user="alice")
    await note(real, "sign_in", user="bob")
    monkeypatch.setenv("METAMCP_TOKEN", "bob-token")
    assert await metamcp("access") == Exit.REFUSED
    assert "/api/me/access" in capsys.readouterr().err
    assert await metamcp("access", "--follow") == Exit.REFUSED
    capsys.readouterr()
    assert await metamcp("access", "--mine", "--json") == Exit.OK
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["user"] == "bob"
    assert await metamcp("access", "--mine", "--user", "alice") == Exit.USAGE


async def test_following_goes_on_after_the_gateway_was_started_again(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAMCP_TOKEN", "admin-token")
    notes: list[str] = []
    async with world(tmp_path, bus) as one:
        port = int(one.url.rpartition(":")[2])
        feed = AccessFeed(Options(url=one.url), {"user": "alice"}, notes.append)
        lines = feed.lines()
        coming = asyncio.ensure_future(anext(lines))
        async with asyncio.timeout(20):
            while not one.site.parts.access.followers:
                async with one.http(None) as client:
                    await client.get("/api/health/live")
        await note(one, "sign_in", user="alice")
        first = await coming
        coming = asyncio.ensure_future(anext(lines))
        one.site.parts.access.over.set()
    async with world(tmp_path, bus, msgspec.structs.replace(SETTINGS, port=port)) as again:
        await note(again, "denied", user="bob")
        await note(again, "sign_out", user="alice")
        async with asyncio.timeout(30):
            second = await coming
        await lines.aclose()  # type: ignore[attr-defined]
    assert (first["kind"], second["kind"]) == ("sign_in", "sign_out")
    assert len(notes) == 1


async def test_following_may_begin_in_the_past(real: World) -> None:
    await note(real, "sign_in", "sign_out", user="alice")
    feed = AccessFeed(Options(url=real.url), {"since": time.time() - 3600}, print)
    lines = feed.lines()
    async with asyncio.timeout(20):
        assert [(await anext(lines))["kind"] for _ in "12"] == ["sign_in", "sign_out"]
    await lines.aclose()  # type: ignore[attr-defined]


async def test_quotas_are_set_one_by_one_and_taken_back(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async def quota(*arguments: str) -> Any:
        assert await metamcp("quota", *arguments, "--json") == Exit.OK
        return json.loads(capsys.readouterr().out)

    set_ = await quota("set", "alice", "hosts=3", "stored_bytes=10GiB")
    assert set_["limits"] == {"hosts": 3, "stored_bytes": 10 * 2**30}
    assert (await quota("set", "alice", "tasks_a_day=500"))["limits"]["hosts"] == 3
    assert (await quota("unset", "alice", "hosts"))["limits"] == {
        "stored_bytes": 10 * 2**30,
        "tasks_a_day": 500,
    }
    shown = await quota("show", "alice")
    assert (shown["by"], shown["budgets"]["tasks_a_day"]) == ("root", 500)
    assert shown == await quota("alice")
    assert (await quota("unset", "alice"))["limits"] == {}
    assert (await quota())["user"] == "root"


async def test_what_is_no_quota_is_said(real: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await metamcp("quota", "set", "alice", "rquests=3") == Exit.USAGE
    assert "tasks_a_day" in capsys.readouterr().err
    assert await metamcp("quota", "set", "alice", "hosts=many") == Exit.USAGE
    assert await metamcp("quota", "unset", "alice", "hosts") == Exit.REFUSED
    assert "hosts was not set" in capsys.readouterr().err


async def test_people_see_a_table(real: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await metamcp("quota", "set", "alice", "tasks_a_day=1_000") == Exit.OK
    said = capsys.readouterr().out
    assert "alice: tasks_a_day=1000, set by root" in said
    assert "tasks in 24 hours" in said


def test_numbers_may_have_units() -> None:
    assert pair("stored_bytes=1GiB") == ("stored_bytes", 2**30)
    assert pair("hosts=3") == ("hosts", 3)
    for wrong in ("hosts", "hosts=", "hosts=-1", "=3", "hosts=3TB", "hosts=_"):
        with pytest.raises(CliError):
            pair(wrong)
