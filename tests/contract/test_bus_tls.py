"""TLS to a real nats-server: kept over a restart, never left out, and its troubles said clearly."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.bus.bus import Bus, ConnectFailed, Credentials
from services.bus.tls import Transport
from services.process.tls import NOTHING, ClientFiles
from tests.support.nats import NatsServer
from tests.support.system import until
from tests.support.tls import Authority, TlsNats, tls_block


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def server(tmp_path: Path, authority: Authority) -> AsyncIterator[TlsNats]:
    """It demands TLS and shows a good certificate; nothing is provisioned."""
    block = tls_block(authority.issue("server"))
    one = TlsNats(tmp_path / "data", block, ClientFiles(authority.ca))
    await one.start(provision=False)
    yield one
    await one.stop()


async def connect(server: NatsServer, files: ClientFiles = NOTHING, url: str = "") -> Bus:
    credentials = server.embedded.credentials("router")
    return await Bus.connect(url or server.url, name="x", credentials=credentials, tls=files)


async def refused(server: NatsServer, files: ClientFiles = NOTHING, url: str = "") -> str:
    """Connect, which must fail at once; the answer is what is said."""
    async with asyncio.timeout(30):
        with pytest.raises(ConnectFailed) as caught:
            await connect(server, files, url)
    return str(caught.value)


def cipher(bus: Bus) -> Any:
    return bus.nc._transport._io_writer.get_extra_info("cipher")  # type: ignore[union-attr]


async def test_requests_are_encrypted_also_after_a_restart_of_the_server(server: TlsNats) -> None:
    async def echo(data: bytes) -> bytes:
        return data.upper()

    async with server.connected("registry") as registry, server.connected("gateway") as gateway:
        await registry.serve("registry", "1.0.0", {"echo": echo})
        for said in (b"before", b"after"):
            assert cipher(registry)
            assert cipher(gateway)
            assert await gateway.request("cmd.registry.echo", said) == said.upper()
            if said == b"before":
                await server.restart(registry, gateway)


async def test_a_certificate_of_an_unknown_ca_is_refused_and_what_to_set_is_named(
    server: TlsNats, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other").ca
    plain_url = server.embedded.url
    for url in (server.url, plain_url):
        said = await refused(server, url=url)
        assert said.startswith(f"NATS at {url} demands TLS, and its certificate is not accepted")
        assert "Set METAMCP_NATS_CA" in said
        assert f"METAMCP_NATS_CA is {other}" in await refused(server, ClientFiles(other), url)
    missing = ClientFiles(tmp_path / "none.pem")
    assert "none.pem can't be read: No such file" in await refused(server, missing)


async def test_a_certificate_for_another_address_is_refused(
    tmp_path: Path, authority: Authority
) -> None:
    block = tls_block(authority.issue("server", "nats.example.com"))
    server = TlsNats(tmp_path / "data", block)
    await server.start(provision=False)
    said = await refused(server, ClientFiles(authority.ca))
    await server.stop()
    assert "not valid for '127.0.0.1'" in said
    assert "METAMCP_NATS_URL" in said


async def test_a_server_that_wants_a_certificate_gets_the_one_of_the_settings(
    tmp_path: Path, authority: Authority
) -> None:
    block = tls_block(authority.issue("server"), authority.ca)
    own = ClientFiles(authority.ca, *authority.issue("client"))
    foreign = ClientFiles(authority.ca, *Authority(tmp_path, "other").issue("stranger"))
    async with TlsNats(tmp_path / "data", block, own) as server:
        assert "set METAMCP_NATS_TLS_CERT and METAMCP_NATS_TLS_KEY" in await refused(
            server, ClientFiles(authority.ca)
        )
        said = await refused(server, foreign)
        assert "does not accept this client's TLS: unknown ca" in said
        assert "Check METAMCP_NATS_TLS_CERT" in said
        bus = await connect(server, own)
        assert cipher(bus)
        await bus.close()


async def test_a_server_that_leaves_the_choice_is_spoken_to_over_tls(
    tmp_path: Path, authority: Authority
) -> None:
    block = tls_block(authority.issue("server"), more="allow_non_tls: true\n")
    server = TlsNats(tmp_path / "data", block)
    await server.start(provision=False)
    for url in (server.url, server.embedded.url):
        bus = await connect(server, ClientFiles(authority.ca), url)
        assert cipher(bus)
        await bus.close()
    await server.stop()


async def test_files_for_tls_leave_the_embedded_server_as_it_is(
    nats_server: NatsServer, authority: Authority
) -> None:
    bus = await connect(nats_server, ClientFiles(authority.ca))
    assert bus.connected
    assert cipher(bus) is None
    await bus.close()
    tls_url = nats_server.url.replace("nats://", "tls://")
    assert "offers no TLS, so no password was sent" in await refused(nats_server, url=tls_url)


@pytest.mark.parametrize("address", ["tls://127.0.0.1", "nats://tasks.example.com"])
async def test_somebody_in_between_who_hides_tls_gets_no_password(
    authority: Authority, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"version":"2.12.0","max_payload":1048576,"auth_required":true}\r\n')
        heard.append(await reader.read())
        writer.close()

    listening = await asyncio.start_server(between, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    reach = asyncio.open_connection

    async def reached(host: str, port: int, **options: Any) -> Any:
        return await reach("127.0.0.1", port, **options)

    # Every name leads to the one in between.
    monkeypatch.setattr(asyncio, "open_connection", reached)
    with pytest.raises(ConnectFailed, match="offers no TLS, so no password was sent"):
        await Bus.connect(
            f"{address}:{port}",
            name="x",
            credentials=Credentials("router", "hunter2"),
            tls=ClientFiles(authority.ca),
        )
    listening.close()
    assert heard
    assert set(heard) == {b""}


async def test_a_frozen_server_is_left_without_its_goodbye(server: TlsNats) -> None:
    async with server.connected("router") as bus:
        gone = asyncio.Event()
        bus.on_disconnected.append(gone.set)
        server.pause()
        await bus.nc.force_reconnect()
        async with asyncio.timeout(30):
            await gone.wait()
        server.resume()
        async with asyncio.timeout(30):
            await bus.wait_connected()
        await bus.flush()


async def test_a_server_that_is_not_read_is_held_back(authority: Authority) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while not writer.is_closing():
            writer.write(bytes(65536))
            sent += 65536
            await writer.drain()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    listening = await asyncio.start_server(flood, "127.0.0.1", 0, ssl=context)
    uri: Any = urlsplit(f"tls://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    one = Transport()  # type: ignore[no-untyped-call]
    await one.connect(uri, 65536, 5)
    await one.connect_tls("127.0.0.1", authority.trust(), 65536, 5)
    transport = one._io_writer.transport  # type: ignore[union-attr]

    async def held() -> bool:
        return sent > 2**27 or not transport.is_reading()

    await until(held, seconds=20)
    assert sent < 2**27
    transport.abort()
    listening.close()
