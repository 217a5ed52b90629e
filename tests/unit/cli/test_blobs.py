"""`metamcp blobs` and `metamcp limits` against a real gateway with its results service."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.cli.app import execute
from services.cli.common import Exit
from tests.support.nats import NatsServer
from tests.unit.gateway.whole import Whole, whole


@pytest.fixture
async def real(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Whole]:
    monkeypatch.chdir(tmp_path)
    async with whole(nats_server, tmp_path) as one:
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "bob-token")
        yield one


async def metamcp(*arguments: str) -> int:
    return await asyncio.to_thread(execute, list(arguments))


def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


async def test_blobs_are_listed_and_deleted(
    real: Whole, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with real.http("bob-token") as client:
        put = [await client.put("/api/blobs", content=os.urandom(2_000)) for _ in range(3)]
    names = [one.json()["data"]["sha256"] for one in put]
    assert await metamcp("blobs", "--all", "--json") == Exit.OK
    assert set(names) <= {blob["sha256"] for blob in shown(capsys)}
    assert await metamcp("blobs", "list", "--limit", "1") == Exit.OK
    said = capsys.readouterr()
    assert "--cursor" in said.err
    assert await metamcp("limits", "--json") == Exit.OK
    before = shown(capsys)["used"]["stored_bytes"]
    assert await metamcp("blobs", "delete", *names[:2]) == Exit.OK
    assert names[0] in capsys.readouterr().out
    assert await metamcp("blobs", "delete", names[0]) == Exit.REFUSED
    monkeypatch.setenv("METAMCP_TOKEN", "admin-token")
    assert await metamcp("blobs", "delete", names[2], "--user", "bob") == Exit.OK
    monkeypatch.setenv("METAMCP_TOKEN", "bob-token")
    assert await metamcp("limits") == Exit.OK
    assert "stored_bytes" in capsys.readouterr().out
    assert await metamcp("limits", "--json") == Exit.OK
    assert shown(capsys)["used"]["stored_bytes"] == before - 6_000


async def test_what_is_no_digest_is_not_sent(
    real: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await metamcp("blobs", "delete", "../tokens") == Exit.USAGE
    assert "no SHA-256" in capsys.readouterr().err
