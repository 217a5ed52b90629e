"""Guarded calls reach public addresses only, by https, whatever a URL or a name server says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest
import structlog.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.outside import addresses as outbound
from services.outside.addresses import AddressRefused, public
from services.outside.mcp_http import HttpWire
from services.outside.site import HttpSite, why
from tests.support.http_host import HttpHost, Reply, answer, serving


def answering(*addresses: str) -> outbound.Lookup:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return addresses

    return lookup


@contextlib.asynccontextmanager
async def site(url: str, *, public_only: bool = False, **options: Any) -> AsyncIterator[HttpSite]:
    one = HttpSite(url, public_only=public_only, connections=2, **options)
    try:
        yield one
    finally:
        await one.close()


async def fetch(transport: httpx2.AsyncBaseTransport, url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        return await client.get(url)


async def refusal(url: str, lookup: outbound.Lookup = outbound.look_up) -> tuple[str, str]:
    """What a guarded call to this URL ends with, in either client."""
    async with site(url, public_only=True, lookup=lookup) as one:
        with pytest.raises((aiohttp.ClientError, OSError)) as caught:
            await one.get("/health", 100)
    with pytest.raises(httpx2.ConnectError) as other:
        await fetch(outbound.transport(public_only=True, lookup=lookup), url)
    return why(caught.value), str(other.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_a_guarded_call_never_reaches_this_machine(host: str) -> None:
    async with serving(answer({})) as server:
        port = server.url.rpartition(":")[2]
        for said in await refusal(f"https://{host}:{port}"):
            assert "not a public address" in said or "has no public address" in said
            assert "METAMCP_ALLOW_PRIVATE_HOSTS" in said
        async with site(f"http://{host}:{port}") as one:
            assert (await one.get("/health", 100)).status == 200
        url = f"http://{host}:{port}/health"
        assert (await fetch(outbound.transport(public_only=False), url)).status_code == 200
        assert [seen.path for seen in server.seen] == ["/health", "/health"]


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433"])
async def test_an_oddly_written_address_leads_nowhere(host: str) -> None:
    async with serving(answer({})) as server:
        await refusal(f"https://{host}:{server.url.rpartition(':')[2]}")
        assert server.seen == []


async def test_plain_http_is_not_for_guarded_calls() -> None:
    with pytest.raises(AddressRefused, match="https only"):
        HttpSite("http://example.com", public_only=True, connections=1)
    with pytest.raises(httpx2.ConnectError, match="https only"):
        await fetch(outbound.transport(public_only=True), "http://example.com")


async def test_an_address_is_checked_each_time_a_name_is_looked_up() -> None:
    async with serving(answer({})) as server:
        port = int(server.url.rpartition(":")[2])
        answers = iter([["192.0.2.1"], ["127.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["::1"]])

        async def rebinding(host: str, port: int) -> Sequence[str]:
            return next(answers)

        for _ in range(2):
            for said in await refusal(f"https://evil.test:{port}", rebinding):
                assert said.startswith("evil.test has no public address")
                assert "127" not in said
        assert server.seen == []


async def test_of_several_addresses_only_public_ones_are_connected_to() -> None:
    found = await outbound.addresses(
        "x", 443, answering("10.0.0.1", "1.1.1.1", "::1", "2606:4700::1"), public
    )
    assert found == ["1.1.1.1", "2606:4700::1"]
    assert len(await outbound.addresses("x", 1, answering(*["1.1.1.1"] * 50), public)) < 5
    with pytest.raises(AddressRefused, match="no public address"):
        await outbound.addresses("x", 443, answering(), public)


async def test_a_name_that_nobody_knows_is_told() -> None:
    async with site("http://nowhere.invalid") as one:
        with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
            await one.get("/", 10)
    assert why(caught.value) == "its name has no address"
    with pytest.raises(httpx2.ConnectError):
        await fetch(outbound.transport(public_only=True), "https://nowhere.invalid")


async def test_a_name_that_leads_inside_is_refused_like_one_that_leads_nowhere() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    told, took = [], []
    for lookup in (answering("10.0.0.1"), unknown, answering()):
        began = time.monotonic()
        with pytest.raises(AddressRefused) as caught:
            await outbound.addresses("db.inner", 443, lookup, public)
        took.append(time.monotonic() - began)
        told.append(str(caught.value))
    assert set(told) == {f"db.inner has no public address. {outbound.ADVICE}"}
    assert min(took) >= outbound.REFUSAL_S * 0.99


async def test_no_error_of_a_connection_says_where_it_led() -> None:
    url = "https://127.0.0.1:1/x"
    async with site(url) as one:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await one.get("/", 10)
    wire = HttpWire(outbound.transport(public_only=False), 1000, 0.1)
    call = httpx2.Request("POST", url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    async with wire:
        told = (await wire.handle_async_request(call)).content.decode()
    for said in (why(caught.value), told):
        assert "Connection refused" in said
        assert "127.0.0.1" not in said


async def test_what_is_logged_of_a_refusal_repeats_no_secret_of_the_url() -> None:
    wire = HttpWire(outbound.transport(public_only=False), 1000, 0.1)
    wire.discreet = True
    async with serving(answer("the page of a proxy", 500)) as server, wire:
        url = f"{server.url}/mcp?api_key=s3cret"
        call = httpx2.Request("POST", url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        with structlog.testing.capture_logs() as lines:
            told = (await wire.handle_async_request(call)).content.decode()
    assert "proxy" not in told
    assert [line["url"] for line in lines] == [f"{server.url}/mcp"]
    assert "proxy" in lines[0]["said"]


# TLS.


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate for this name that vouches for itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, secret = folder / "cert.pem", folder / "key.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, secret)
    return path, context


@contextlib.asynccontextmanager
async def secure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> AsyncIterator[tuple[HttpHost, int]]:
    """An https server for `host.test` that this process trusts."""
    path, context = certificate(folder, "host.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    outbound.tls.cache_clear()
    try:
        async with serving(reply, tls=context) as server:
            yield server, int(server.url.rpartition(":")[2])
    finally:
        outbound.tls.cache_clear()


async def test_a_certificate_is_checked_against_the_name_and_not_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with secure(tmp_path, monkeypatch, answer({"status": "healthy"})) as (server, port):
        here = answering("127.0.0.1")
        async with site(f"https://host.test:{port}", lookup=here) as one:
            assert (await one.get("/health", 100)).status == 200
        # The guard as it is, but for one rule that lets this machine in.
        public_only = outbound._PublicOnly(here, outbound.anywhere)
        response = await fetch(public_only, f"https://host.test:{port}/mcp")
        assert response.status_code == 200
        assert {seen.headers["Host"] for seen in server.seen} == {f"host.test:{port}"}
        for name in ("other.test", "127.0.0.1"):
            async with site(f"https://{name}:{port}", lookup=here) as one:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await one.get("/health", 100)
            with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
                await fetch(
                    outbound._PublicOnly(here, outbound.anywhere), f"https://{name}:{port}/mcp"
                )


async def test_the_next_address_is_tried_when_one_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with secure(tmp_path, monkeypatch, answer({})) as (_, port):
        two = answering("127.0.0.2", "127.0.0.1")
        public_only = outbound._PublicOnly(two, outbound.anywhere)
        assert (await fetch(public_only, f"https://host.test:{port}/")).status_code == 200


async def test_a_guarded_connection_serves_one_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with secure(tmp_path, monkeypatch, answer({})) as (_, port):
        public_only = outbound._PublicOnly(answering("127.0.0.1"), outbound.anywhere)
        async with httpx2.AsyncClient(transport=public_only, trust_env=False) as client:
            await client.get(f"https://host.test:{port}/")
            with pytest.raises(httpx2.ConnectError, match="another host"):
                await client.get(f"https://other.test:{port}/")


# Proxies.


async def test_the_operators_hosts_are_reached_through_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(answer({"by": "proxy"})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "near.test")
        async with site("http://far.test") as one:
            assert (await one.get("/health", 100)).body == b'{"by": "proxy"}'
        far = await fetch(outbound.transport(public_only=False), "http://far.test/mcp")
        assert far.json() == {"by": "proxy"}
        assert [seen.headers["Host"] for seen in proxy.seen] == ["far.test", "far.test"]
        assert outbound.proxy_for("http://near.test/") is None
        assert outbound.proxy_for("https://far.test/") is None
        monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
        assert outbound.proxy_for("https://far.test/") is None


async def test_guarded_calls_go_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answer({"by": "proxy"})) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        await refusal("https://evil.test", answering("10.0.0.1"))
        assert proxy.seen == []


async def test_a_name_server_that_lets_us_wait_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mute(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr(outbound, "CONNECT_S", 0.1)
    async with site("https://slow.test", public_only=True, lookup=mute) as one:
        with pytest.raises(aiohttp.ConnectionTimeoutError) as caught:
            await one.get("/health", 100)
    assert why(caught.value) == "no connection within 0.1 s"
    with pytest.raises(httpx2.ConnectTimeout):
        await fetch(outbound.transport(public_only=True, lookup=mute), "https://slow.test")
