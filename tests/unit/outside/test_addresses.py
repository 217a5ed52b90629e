"""Where we call out to: which URLs are taken, and which addresses are public."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Any

import aiohttp
import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.host import Execute, Host, Stdio, StreamableHttp
from services.outside import addresses
from services.outside.addresses import AddressRefused, public, resolve

# URLs.


@pytest.mark.parametrize(
    ("url", "mcp", "expected"),
    [
        ("hf://alice/Heavy_Space.1", False, "https://alice-heavy-space-1.hf.space"),
        ("hf://alice/heavy", True, "https://alice-heavy.hf.space/gradio_api/mcp/"),
        ("HF://Alice/heavy", False, "https://alice-heavy.hf.space"),
        ("https://example.com", False, "https://example.com"),
        ("HTTPS://Example.com:8443/Base", False, "https://example.com:8443/Base"),
        ("https://example.com/base/", False, "https://example.com/base"),
        ("https://example.com/mcp/", True, "https://example.com/mcp/"),
        ("https://example.com/mcp?set=a", True, "https://example.com/mcp?set=a"),
        ("http://127.0.0.1:8000", False, "http://127.0.0.1:8000"),
        ("http://[::1]:8000/", False, "http://[::1]:8000"),
        ("http://local_host/x", False, "http://local_host/x"),
    ],
)
def test_a_url_becomes_the_address_of_its_host(url: str, mcp: bool, expected: str) -> None:
    assert resolve(url, mcp=mcp) == expected


def test_the_address_of_spaces_is_the_operators_to_say() -> None:
    assert resolve("hf://a/b", spaces="http://127.0.0.1:1/") == "http://127.0.0.1:1"
    assert resolve("hf://a/b", spaces="http://x/{subdomain}", mcp=True).startswith("http://x/a-b/")
    with pytest.raises(AddressRefused, match="begins with https"):
        resolve("hf://a/b", spaces="{subdomain}.example.com")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "visible ASCII"),
        ("https://exämple.com", "visible ASCII"),
        ("https://①②⑦.0.0.1", "visible ASCII"),
        ("https://example.com/a b", "visible ASCII"),
        ("https://example.com/\n", "visible ASCII"),
        ("https://example.com/" + "x" * 2048, "visible ASCII"),
        ("ftp://example.com", "begins with"),
        ("file:///etc/passwd", "begins with"),
        ("example.com", "begins with"),
        ("//example.com", "begins with"),
        ("https://user:word@example.com", "user or password"),
        ("https://@example.com", "user or password"),
        ("https://example.com\\@evil.com", "user or password"),
        ("https://example.com#x", "fragment"),
        ("https://example.com/#", "fragment"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://example.com:", "port"),
        ("https://example.com:0", "port"),
        ("https://example.com:99999", "no URL"),
        ("https://[::1", "no URL"),
        ("https://[fe80::1%25eth0]/", "zone"),
        ("https://127.1", "oddly written"),
        ("https://0x7f.1", "oddly written"),
        ("https://2130706433", "oddly written"),
        ("https://0177.0.0.1", "oddly written"),
        ("https://127.0.0.1.", "oddly written"),
        ("https://%31%32%37.0.0.1", "oddly written"),
        ("https://exam%70le.com", "no host"),
        ("https://-a.com", "no host"),
        ("https://example.com?x=1", "query"),
        ("hf://alice", "names no Space"),
        ("hf://alice/heavy/more", "names no Space"),
        ("hf://alice/heavy?x", "names no Space"),
        ("hf://alice@evil.com/heavy", "names no Space"),
        ("hf://../heavy", "names no Space"),
        ("hf://alice/" + "x" * 60, "too long"),
    ],
)
def test_any_other_url_is_refused_and_not_repeated(url: str, words: str) -> None:
    with pytest.raises(AddressRefused, match=words) as refused:
        resolve(url)
    assert "word@" not in str(refused.value)


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(NAMES, NAMES, st.booleans())
def test_every_space_has_an_address_that_resolves_to_itself(
    owner: str, space: str, mcp: bool
) -> None:
    found = resolve(f"hf://{owner}/{space}", mcp=mcp)
    host = found.removeprefix("https://").partition("/")[0]
    assert host.endswith(".hf.space")
    assert set(host) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert resolve(found, mcp=mcp) == found


@given(st.text(max_size=60) | st.from_regex(r"(https?|hf)://[ -~]{0,40}", fullmatch=True))
@example("HTTPS://A0")
def test_what_comes_out_is_a_plain_url_and_comes_out_again(text: str) -> None:
    try:
        found = resolve(text)
    except AddressRefused:
        return
    assert found.startswith(("http://", "https://"))
    assert found.lower() == text.rstrip("/").lower() or text.lower().startswith("hf://")
    assert not set("@\\# \t\r\n?") & set(found.partition("://")[2].partition("/")[0])
    assert resolve(found) == found
    # Both clients see the host that was checked.
    assert httpx2.URL(found).host == (aiohttp.client.URL(found, encoded=True).host or "")


# Addresses.

V4 = st.ip_addresses(v=4)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1 127.8.9.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1",
        "100.100.100.200 0.0.0.0 0.1.2.3 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255",
        "192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 168.63.129.16 192.88.99.1",
        ":: ::1 fe80::1 fc00::1 fd00:ec2::254 ff02::1 2001:db8::1 fec0::1 100::1 5f00::1",
        "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1 2002:7f00:1:: 2002:808:808:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 fe80::1%lo",
        "127.1 0x7f.1 2130706433 localhost 1.1.1.1. 01.1.1.1",
    ],
)
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert [each for each in address.split() if public(each)] == []


@pytest.mark.parametrize(
    "address", "1.1.1.1 8.8.8.8 2606:4700::1111 2a00::1 ::ffff:8.8.8.8 64:ff9b::808:808".split()
)
def test_addresses_of_the_public_internet(address: str) -> None:
    assert public(address)


@given(V4)
def test_an_address_in_the_clothes_of_another_is_judged_as_what_it_is(
    address: ipaddress.IPv4Address,
) -> None:
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | int(address))
    translated = ipaddress.IPv6Address((0x64FF9B << 96) | int(address))
    relayed = ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80))
    assert public(str(mapped)) == public(str(translated)) == public(str(address))
    assert not public(str(relayed))


@given(V4 | st.ip_addresses(v=6))
def test_nothing_private_is_ever_public(address: Any) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        mapped = getattr(address, "ipv4_mapped", None)
        assert not public(str(address)) or (mapped is not None and public(str(mapped)))


@given(st.text(max_size=20))
def test_what_is_no_address_is_not_public(text: str) -> None:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(text)
        return
    assert not public(text)


# Headers.


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Authorization", "Bearer x", "bearer_from"),
        ("proxy-authorization", "x", "bearer_from"),
        ("Host", "x", "set by the client"),
        ("content-length", "1", "set by the client"),
        ("Cookie", "a=b", "set by the client"),
        ("a b", "x", "no name of a header"),
        ("", "x", "no name of a header"),
        ("X-A", "a\r\nX-B: c", "line break"),
        ("X-A", "x" * 5000, "at most 4096"),
    ],
)
def test_headers_that_are_not_the_hosts_to_choose(name: str, value: str, words: str) -> None:
    with pytest.raises(AddressRefused, match=words):
        addresses.check_headers({"X-Fine": "yes", name: value})


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (Execute("https://Host.Example:443/a/b"), "https://host.example"),
        (Execute("http://127.0.0.1:8000"), "http://127.0.0.1:8000"),
        (StreamableHttp("https://host.example/mcp?x=1"), "https://host.example"),
        (Execute("hf://Owner/x"), "https://owner-x.hf.space"),
        (Execute("hf://owner/x", subdomain="owner-x-2"), "https://owner-x-2.hf.space"),
        (Stdio("server"), "alice/tool"),
    ],
)
def test_a_permit_is_for_the_origin_that_is_called(endpoint: Any, expected: str) -> None:
    host = Host(id="alice/tool", name="Tool", endpoint=endpoint)
    assert addresses.audience(host) == expected
