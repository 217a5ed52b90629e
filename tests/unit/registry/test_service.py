"""The registry as `metamcp up` runs it, with its own credentials, and its commands on NATS."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from contracts.errors import Reason, Rejected
from contracts.host import HealthStatus, Host, Stdio
from contracts.subjects import command
from contracts.wire import HostList, Probed
from services.bus.bus import NoResponders
from services.process.run import Fatal, Process
from services.process.run import serve as serve_process
from services.process.settings import Common
from services.registry.service import NAME, listed, serve, warn_of_secrets
from services.registry.settings import Settings
from tests.support.facts import name
from tests.support.nats import NatsServer


def manifest(folder: Path, *hosts: str) -> Path:
    path = folder / "hosts.toml"
    path.write_text("".join(f'[hosts.{host}]\nendpoint.kind = "noop"\n' for host in hosts))
    return path


async def test_hosts_are_served_on_nats(fresh_nats: NatsServer, tmp_path: Path) -> None:
    host = name("h")
    settings = Settings(manifests=(manifest(tmp_path, host),), builtins=False, allow_noop=True)
    common = Common(
        nats_url=fresh_nats.url,
        data=tmp_path,
        credentials=fresh_nats.embedded.credentials_file(NAME),
    )
    process = Process(NAME)
    running = asyncio.create_task(serve_process(lambda one: serve(one, common, settings), process))
    async with asyncio.timeout(30), fresh_nats.connected("gateway") as gateway:

        async def ask(verb: str, **fields: object) -> bytes:
            while True:
                try:
                    payload = msgspec.json.encode(fields)
                    return await gateway.request(command(NAME, verb), payload)
                except NoResponders:
                    assert not running.done()

        hosts: tuple[Probed, ...] = ()
        while not hosts or hosts[0].status is not HealthStatus.HEALTHY:
            hosts = msgspec.json.decode(await ask("list"), type=HostList).hosts
        assert [view.host.id for view in hosts] == [host]
        view = msgspec.json.decode(await ask("probe", host=host), type=Probed)
        assert view.status is HealthStatus.HEALTHY
        with pytest.raises(Rejected) as refusal:
            await ask("probe", host="nobody")
        assert refusal.value.reason is Reason.NOT_FOUND
        process.stopping.set()
        await running


def test_a_bad_manifest_stops_the_start_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[hosts.a]\nendpoint = { kind = 'stdio', command = 1 }\n")
    with pytest.raises(Fatal) as fatal:
        listed(Common(data=tmp_path), Settings(manifests=(path,)))
    assert str(fatal.value) == f"{path}: hosts.a.endpoint.command: expected str, got int"


def test_any_host_may_be_disabled_but_what_is_no_id_is_a_mistake(tmp_path: Path) -> None:
    assert listed(Common(data=tmp_path), Settings(disabled=("alice/box", "later")))
    with pytest.raises(Fatal, match="METAMCP_REGISTRY_DISABLED: host 'a/b/c' is not allowed"):
        listed(Common(data=tmp_path), Settings(disabled=("a/b/c",)))


def test_a_host_can_be_disabled_by_a_setting(tmp_path: Path) -> None:
    hosts = listed(Common(data=tmp_path), Settings(disabled=("git-mcp",)))
    assert {host.id: host.enabled for host in hosts} == {
        "code-mcp": True,
        "tree-sitter-mcp": True,
        "git-mcp": False,
        "semgrep-mcp": True,
        "github-mcp": True,
    }


def test_a_secret_in_a_manifest_is_said_and_not_shown() -> None:
    hosts = [
        Host(id="h1", name="h1", endpoint=Stdio("x", ("--api-key", "hunter2"))),
        Host(id="h2", name="h2", endpoint=Stdio("x", ("--max-tokens", "5"))),
    ]
    with capture_logs() as lines:
        warn_of_secrets(hosts)
    (line,) = lines
    assert (line["event"], line["host"], line["where"]) == ("secret_in_manifest", "h1", "args[1]")
    assert "hunter2" not in str(line)
