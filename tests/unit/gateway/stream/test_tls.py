"""The gateway over TLS, as clients that verify it see it, and files it can't use."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import httpx2
import msgspec
import pytest
import structlog
import uvloop
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from websockets.exceptions import InvalidStatus

from contracts.facts import TaskCreated
from contracts.result import Pointer
from contracts.task import TaskSpec
from services.bus.bus import Bus
from services.gateway.listener import shown_certificate
from services.gateway.settings import Settings
from services.gateway.stream.socket import BUFFERED
from services.process.run import Fatal
from services.process.settings import SettingsError, load
from tests.support import facts
from tests.support.nats import NatsServer
from tests.support.system import until
from tests.support.tls import Authority, Pair
from tests.unit.gateway.mcp.test_door import next_fact, register
from tests.unit.gateway.world import SETTINGS, TASK, World, world

Leave = Callable[[World, ssl.SSLContext, AsyncExitStack], Awaitable[None]]
AUTH = {"Authorization": "Bearer alice-token"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def gateway(tmp_path: Path, bus: Bus, authority: Authority) -> AsyncIterator[World]:
    """A gateway that shows a certificate for loopback; its queue for a slow client is short."""
    cert, key = authority.issue("gateway")
    chosen = {"tls_cert": cert, "tls_key": key, "queue_bytes": 64 * 1024}
    async with world(tmp_path, bus, msgspec.structs.replace(SETTINGS, **chosen)) as one:
        yield one


@contextlib.asynccontextmanager
async def client(gateway: World, trust: ssl.SSLContext) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=gateway.url, headers=AUTH, verify=trust, trust_env=False, timeout=20
    ) as one:
        yield one


async def test_a_task_and_its_stream_over_tls(gateway: World, authority: Authority) -> None:
    assert gateway.url.startswith("https://127.0.0.1:")
    trust = authority.trust()
    async with client(gateway, trust) as http, gateway.stream(ssl=trust) as stream:
        await stream.follow()
        made = await http.post("/api/tasks", json=TASK | {"id": "t1"})
        assert made.status_code == 201
        await stream.until(op="events")
        assert [e["event"]["task"] for e in stream.events()] == ["t1"]


async def test_who_does_not_know_the_ca_is_not_served(gateway: World, tmp_path: Path) -> None:
    async with client(gateway, Authority(tmp_path, "other").trust()) as http:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await http.get("/api/health/live")
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(gateway.url.replace("https", "http") + "/api/health/live")


async def test_its_own_pages_are_those_it_serves_over_tls(
    gateway: World, authority: Authority
) -> None:
    port, trust = gateway.url.rpartition(":")[2], authority.trust()
    async with gateway.stream(ssl=trust, origin=f"https://localhost:{port}") as stream:
        assert await stream.follow()
    with pytest.raises(InvalidStatus, match="403"):
        async with gateway.stream(ssl=trust, origin=f"http://localhost:{port}"):
            raise AssertionError("a page from the clear was let in")


async def test_links_of_the_mcp_door_begin_with_https(gateway: World, authority: Authority) -> None:
    await register(gateway)
    async with (
        httpx2.AsyncClient(headers=AUTH, verify=authority.trust(), trust_env=False) as http,
        Client(streamable_http_client(f"{gateway.url}/mcp", http_client=http)) as agent,
    ):
        calling = asyncio.create_task(agent.call_tool("h1__echo", {"text": "hi"}))
        created = await next_fact(gateway, TaskCreated)
        await gateway.append(
            facts.signed("alice", created.task),
            facts.done("alice", created.task, result=FAR, host="h1", attempt=1),
        )
        answer = await calling
    (link,) = [part for part in answer.content if part.type == "resource_link"]
    assert str(link.uri) == f"{gateway.url}/api/tasks/{created.task}/result"


FAR = Pointer("hf://datasets/a/b@main/c", "0" * 64, 2**30)


async def test_a_slow_client_is_closed_over_tls_as_well(
    gateway: World, authority: Authority
) -> None:
    trust = authority.trust()
    async with (
        gateway.stream(ssl=trust) as quick,
        gateway.stream(ssl=trust, max_queue=1) as slow,
    ):
        await quick.follow()
        await slow.follow()
        slow.socket.transport.pause_reading()
        text = msgspec.Raw(json.dumps({"x": "x" * 60_000}).encode())
        while len(gateway.site.streams.connections) > 1:
            (last,) = await gateway.append(
                facts.created("alice", spec=TaskSpec(type="t.x", input=text))
            )
            assert last < 600, "nobody was closed"
            await quick.through(last)
        slow.socket.transport.resume_reading()
        assert await slow.closed() == 4008
    seen = slow.seqs()
    async with gateway.stream(ssl=trust) as again:
        await again.follow(after=max(seen, default=0), epoch=gateway.log.epoch)
        assert seen + again.seqs() == list(range(1, last + 1))


async def test_little_waits_in_the_transport(gateway: World, authority: Authority) -> None:
    async with gateway.stream(ssl=authority.trust()) as stream:
        stream.socket.transport.pause_reading()
        (connection,) = gateway.site.streams.connections
        socket = connection.socket
        while socket.writable.is_set():
            socket.transport.write(bytes(8 * 1024))
        assert socket.transport.get_write_buffer_size() < 2 * BUFFERED
        stream.socket.transport.abort()


def stopped(folder: Path, server: NatsServer, leave: Leave) -> None:
    """Run a gateway on the loop of real processes, and stop it with what `leave` leaves open."""
    authority = Authority(folder)
    cert, key = authority.issue("gateway")
    settings = msgspec.structs.replace(SETTINGS, tls_cert=cert, tls_key=key)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(server.connected("gateway"))
            async with world(folder, bus, settings) as gateway:
                await leave(gateway, authority.trust(), stack)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_a_client_that_closes_and_says_no_more_does_not_hold_up_the_end(
    tmp_path: Path, nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave(gateway: World, trust: ssl.SSLContext, stack: AsyncExitStack) -> None:
        socket = (await stack.enter_async_context(gateway.stream(ssl=trust))).socket
        stack.callback(socket.transport.abort)
        (connection,) = gateway.site.streams.connections
        socket.transport.pause_reading()
        socket.protocol.send_close(1000)
        socket.transport.write(b"".join(socket.protocol.data_to_send()))

        async def closing() -> bool:
            return connection.socket.transport.is_closing()

        await until(closing)

    stopped(tmp_path, nats_server, leave)
    assert "timeout graceful shutdown exceeded" not in caplog.text


def test_idle_clients_do_not_hold_up_the_end(
    tmp_path: Path, nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave(gateway: World, trust: ssl.SSLContext, stack: AsyncExitStack) -> None:
        idle = await stack.enter_async_context(client(gateway, trust))
        assert (await idle.get("/api/health/live")).status_code == 200

    stopped(tmp_path, nats_server, leave)
    assert "timeout graceful shutdown exceeded" not in caplog.text


def broken(folder: Path, what: str) -> Pair:
    """A pair of files with something wrong."""
    authority = Authority(folder)
    pair, other = authority.issue("one"), authority.issue("two")
    match what:
        case "no certificate":
            pair.cert.unlink()
        case "no key":
            pair.key.unlink()
        case "a key for a certificate":
            pair.cert.write_bytes(pair.key.read_bytes())
        case "a certificate for a key":
            pair.key.write_bytes(pair.cert.read_bytes())
        case "another's key":
            pair = Pair(pair.cert, other.key)
        case "a locked key":
            pair = authority.issue("locked", passphrase=b"secret")
    return pair


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no certificate", r"one\.pem can't be read: No such file or directory"),
        ("no key", r"one\.key can't be read: No such file or directory"),
        ("a key for a certificate", r"no certificate in PEM form in .*one\.pem"),
        ("a certificate for a key", r"no usable private key in PEM form in .*one\.key"),
        ("another's key", r"two\.key does not belong to the certificate in .*one\.pem"),
        ("a locked key", r"locked\.key is locked with a passphrase"),
    ],
)
def test_files_that_cannot_be_used_are_said(tmp_path: Path, what: str, said: str) -> None:
    cert, key = broken(tmp_path, what)
    with pytest.raises(Fatal, match=said) as caught:
        shown_certificate(Settings(tls_cert=cert, tls_key=key))
    assert "METAMCP_GATEWAY_TLS_CERT and METAMCP_GATEWAY_TLS_KEY" in caught.value.hint


async def test_the_gateway_does_not_start_with_them(
    tmp_path: Path, bus: Bus, authority: Authority
) -> None:
    cert, key = broken(tmp_path, "another's key")
    with pytest.raises(Fatal, match="does not belong"):
        async with world(
            tmp_path, bus, msgspec.structs.replace(SETTINGS, tls_cert=cert, tls_key=key)
        ):
            raise AssertionError("it runs")


@pytest.mark.parametrize("name", ["CERT", "KEY"])
def test_half_a_pair_is_no_setting(tmp_path: Path, name: str) -> None:
    environ = {f"METAMCP_GATEWAY_TLS_{name}": "one.pem"}
    with pytest.raises(SettingsError, match="tls_cert and tls_key are set together"):
        load(Settings, "gateway", environ, cwd=tmp_path)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_key_that_everybody_can_read_is_remarked_on(
    authority: Authority, mode: int, warned: bool
) -> None:
    cert, key = authority.issue("one")
    key.chmod(mode)
    with structlog.testing.capture_logs() as lines:
        certificate = shown_certificate(Settings(tls_cert=cert, tls_key=key))
    # The server's own alone, not those that lead to its CA.
    assert cert.read_text().startswith(certificate)
    assert certificate.count("BEGIN CERTIFICATE") == 1
    assert bool([one for one in lines if one["event"] == "tls_key_readable_by_others"]) is warned
