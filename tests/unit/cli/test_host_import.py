"""`hosts import`: what is registered, what goes among the secrets, and what is said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.cli.common import Exit
from tests.support.nats import NatsServer
from tests.unit.cli.kept import metamcp
from tests.unit.gateway.whole import AWAY, Whole, whole

ADMIN, ALICE = "admin-token", "alice-token"
FILE = {
    "mcpServers": {
        "web": {"url": f"{AWAY}/mcp", "headers": {"X-Api-Key": "planted-1", "X-Org": "${ORG_KEY}"}},
        "log": {"url": f"{AWAY}/mcp"},
        "old": {"type": "sse", "url": f"{AWAY}/sse"},
    }
}


@pytest.fixture
async def system(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Whole]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORG_KEY", raising=False)
    async with whole(nats_server, tmp_path) as one:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "gateway.json").write_text(json.dumps({"url": one.url}))
        (tmp_path / "servers.json").write_text(json.dumps(FILE))
        (tmp_path / "values.env").write_text("ORG_KEY=planted-2\n")
        monkeypatch.setenv("METAMCP_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("METAMCP_TOKEN", ADMIN)
        yield one


async def imported(
    capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    code = await metamcp("hosts", "import", "servers.json", "--json", *options)
    told = capsys.readouterr()
    assert "planted" not in told.out + told.err
    return code, {one["server"]: one for one in json.loads(told.out)}


async def test_secrets_go_among_the_secrets_and_hosts_refer_to_them(
    system: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data" / "secrets"
    head = await system.log.head()
    code, found = await imported(capsys, "--dry-run")
    assert (code, await system.log.head(), folder.exists()) == (Exit.FAILED, head, False)
    assert found["web"]["outcome"] == "would be registered"
    assert "a word of the command line" in found["log"]["outcome"], "as the gateway will say"
    assert "sse" in found["old"]["outcome"]

    code, found = await imported(capsys, "--secrets", "values.env", "--as", "log=journal")
    assert code == Exit.FAILED
    assert [one["outcome"] for one in found.values()][:2] == ["registered", "registered"]
    assert found["web"]["to_do"] == ""
    kept = {path.name: path.read_text().strip() for path in folder.iterdir()}
    assert kept == {"WEB_X_API_KEY": "planted-1", "ORG_KEY": "planted-2"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    async with system.http(ADMIN) as admin:
        shown = (await admin.get("/api/mcps/web")).json()["data"]["endpoint"]
    assert shown["headers"] == {
        "X-Api-Key": "{secret:WEB_X_API_KEY}",
        "X-Org": "{secret:ORG_KEY}",
    }
    stored = b"".join(
        [
            record.data
            async for batch in system.log.scan((">",), 0, await system.log.head())
            for record in batch.records
        ]
    )
    assert b"WEB_X_API_KEY" in stored
    assert b"planted" not in stored

    code, found = await imported(capsys, "--dry-run", "--as", "log=journal")
    assert [one["outcome"] for one in found.values()][:2] == ["it is there", "it is there"]


async def test_a_value_that_is_there_stays(
    system: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data" / "secrets" / "WEB_X_API_KEY"
    path.parent.mkdir()
    path.write_text("another")
    path.chmod(0o600)
    _, found = await imported(capsys, "--secrets", "values.env")
    assert "is there with another value" in found["web"]["outcome"]
    assert path.read_text() == "another"
    assert [one.name for one in path.parent.iterdir()] == ["WEB_X_API_KEY"]
    async with system.http(ADMIN) as admin:
        assert (await admin.get("/api/mcps/web")).status_code == 404


async def test_a_dry_run_promises_a_user_what_a_user_may(
    system: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("METAMCP_TOKEN", ALICE)
    servers = {"program": {"command": "x"}, "mine": {"url": "https://h.example/mcp"}}
    (tmp_path / "servers.json").write_text(json.dumps({"mcpServers": servers}))
    code, found = await imported(capsys, "--dry-run")
    assert code == Exit.FAILED
    assert "are for the operator" in found["program"]["outcome"]
    assert found["mine"]["outcome"] == "would be registered"


async def test_without_a_gateway_the_file_is_checked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAMCP_DATA", str(tmp_path))
    (tmp_path / "servers.json").write_text(json.dumps(FILE))
    code, found = await imported(capsys, "--dry-run")
    assert (code, found["web"]["outcome"]) == (Exit.FAILED, "would be registered")
    assert "word of the command line" in found["log"]["outcome"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("nowhere.json",), "can't be read"),
        (("bad.json",), "can't be understood"),
        (("none.json",), "names no servers"),
        (("good.json", "--secrets", "bad.json"), "expected NAME=VALUE"),
        (("good.json", "--as", "x"), "expected NAME=ID"),
    ],
)
async def test_what_can_not_be_imported(
    options: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("bad", "{"), ("none", "{}"), ("good", '{"command": "x"}')):
        (tmp_path / f"{name}.json").write_text(text)
    assert await metamcp("hosts", "import", *options, "--dry-run") == Exit.USAGE
    assert words in capsys.readouterr().err
