"""The command line and a gateway over TLS: which certificates are believed, and what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts.facts import Record
from services.bus.bus import Bus
from services.cli.app import execute
from services.cli.client import Api, find_target
from services.cli.common import CliError, Exit, Options
from services.cli.stream import FactStream
from services.gateway.listener import announce
from services.process.tls import first_certificate
from tests.support import facts
from tests.support.nats import NatsServer
from tests.support.tls import Authority
from tests.unit.cli.gateway import Gateway
from tests.unit.gateway.world import SETTINGS, World, world


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with nats_server.connected("gateway") as one:
        yield one


@pytest.fixture(params=[("127.0.0.1",)])
async def gateway(
    tmp_path: Path,
    bus: Bus,
    authority: Authority,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    """A gateway with a certificate for `request.param`, announced in the data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
    cert, key = authority.issue("gateway", *request.param)
    settings = msgspec.structs.replace(SETTINGS, tls_cert=cert, tls_key=key)
    async with world(tmp_path, bus, settings) as one:
        announce(tmp_path, one.url, cert.read_text())
        yield one


async def asked(options: Options) -> list[int]:
    """What HTTP and the stream say with these options: sequences of facts."""
    target = find_target(options)
    async with Api(target) as api:
        assert await api.get("/api/health/live") == {"live": True}
    items = FactStream(target, lambda note: None).follow("tasks", after="start")
    async for item in items:
        if isinstance(item, Record):
            await items.aclose()  # type: ignore[attr-defined]
            return [item.seq]
    raise AssertionError


async def refused(options: Options) -> CliError:
    with pytest.raises(CliError) as caught:
        await asked(options)
    return caught.value


@pytest.mark.parametrize("gateway", [("tasks.example.com",)], indirect=True)
async def test_the_gateway_of_the_data_folder_is_believed_by_its_certificate(
    gateway: World, tmp_path: Path
) -> None:
    seqs = await gateway.append(facts.created("alice"))
    assert await asked(Options(data=tmp_path)) == seqs


async def test_who_has_taken_its_address_is_not(gateway: World, tmp_path: Path) -> None:
    foreign, _ = Authority(tmp_path, "other").issue("foreign")
    announce(tmp_path, gateway.url, foreign.read_text())
    error = await refused(Options(data=tmp_path))
    assert error.code == Exit.UNREACHABLE
    assert "CERTIFICATE_VERIFY_FAILED" in error.message


async def test_the_ca_of_a_named_gateway_is_an_option_or_a_setting(
    gateway: World, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    seqs = await gateway.append(facts.created("alice"))
    named = Options(url=gateway.url, data=tmp_path)
    assert "--ca or METAMCP_CLI_CA" in (await refused(named)).hint
    assert await asked(Options(url=gateway.url, ca=authority.ca)) == seqs
    # The server's own certificate will do as well, without its CA's.
    own = tmp_path / "own.pem"
    own.write_text(first_certificate(tmp_path / "gateway.pem"))
    assert await asked(Options(url=gateway.url, ca=own)) == seqs
    monkeypatch.setenv("METAMCP_CLI_CA", str(authority.ca))
    assert await asked(named) == seqs
    other = Authority(tmp_path, "other").ca
    assert "--ca or METAMCP_CLI_CA" in (await refused(Options(url=gateway.url, ca=other))).hint
    # Said expressly, it is what counts for the data folder's too.
    assert (await refused(Options(data=tmp_path, ca=other))).code == Exit.UNREACHABLE


@pytest.mark.parametrize("gateway", [("tasks.example.com",)], indirect=True)
async def test_a_certificate_for_another_address_is_said(
    gateway: World, authority: Authority
) -> None:
    error = await refused(Options(url=gateway.url, ca=authority.ca))
    assert "not valid for '127.0.0.1'" in error.message
    assert "a name that stands in its certificate" in error.hint


async def test_http_for_https_is_guessed(gateway: World, tmp_path: Path) -> None:
    error = await refused(Options(url=gateway.url.replace("https", "http")))
    assert "begins with https://" in error.hint


async def test_https_for_http_is_guessed(known: Gateway) -> None:
    error = await refused(Options(url=known.url.replace("http", "https")))
    assert "begins with http://" in error.hint


async def test_commands_take_the_option(
    gateway: World, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tasks", "--json", "--url", gateway.url, "--ca"]
    assert await asyncio.to_thread(execute, [*arguments, str(authority.ca)]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["tasks"] == []
    assert await asyncio.to_thread(execute, [*arguments, "none.pem"]) == Exit.USAGE
    assert "none.pem can't be read: No such file" in capsys.readouterr().err


def test_up_says_what_is_wrong_with_the_files_before_services_start(
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAMCP_GATEWAY_TLS_CERT", str(authority.issue("one").cert))
    monkeypatch.setenv("METAMCP_GATEWAY_TLS_KEY", str(authority.issue("two").key))
    arguments = ["up", "--data", str(tmp_path / "data"), "--port", "0"]
    assert execute(arguments) == Exit.FAILED
    said = capsys.readouterr().err
    assert "two.key does not belong to the certificate in" in said
    assert "services started" not in said
