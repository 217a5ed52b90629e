"""Under what an address is counted: one person may have a whole network of them."""

from __future__ import annotations

import functools
from ipaddress import IPv4Address, IPv6Network, ip_address

LONGEST = 64
"""Characters that are kept of what is no address; a proxy may pass on anything."""
_SUBNET = 64
"""Bits of an IPv6 address that say whose it is."""


@functools.lru_cache(maxsize=4096)
def counted(host: str) -> str:
    """An IPv4 address as it is, the /64 of an IPv6 address, anything else cut."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host[:LONGEST]
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), _SUBNET), strict=False))
