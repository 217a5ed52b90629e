"""What an address of the MCP server asks for: `/mcp/PROFILE?hosts=a,b&tools=search`."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast
from urllib.parse import parse_qs

import msgspec

from contracts.errors import Reason, Rejected
from services.gateway.mcp.selection import EVERYTHING, MOST_HOSTS, ToolChoice
from services.gateway.refusals import MCP

Mode = Literal["all", "search"]
LONGEST_PATTERN = 160
"""Characters of one host of an address."""


class DoorAddress(NamedTuple):
    """What one address says."""

    profile: str = ""
    """Empty: none, and whoever has a default gets that."""
    hosts: tuple[str, ...] = ()
    tools: Mode | None = None
    """None: as the profile has it."""


def asked_by_address(path: str, query: bytes) -> DoorAddress:
    """Read an address. Raises Rejected(BAD_REQUEST)."""
    profile = path.removeprefix(MCP).strip("/")
    try:
        given = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise Rejected(Reason.BAD_REQUEST, "expected `hosts` and `tools` after the ?") from None
    hosts = tuple(filter(None, ",".join(given.get("hosts", ())).split(",")))
    if ("hosts" in given and not hosts) or len(hosts) > MOST_HOSTS:
        raise Rejected(Reason.BAD_REQUEST, f"hosts: expected 1 to {MOST_HOSTS}, as in ?hosts=a,b")
    if any(len(host) > LONGEST_PATTERN for host in hosts):
        raise Rejected(Reason.BAD_REQUEST, f"hosts: none has more than {LONGEST_PATTERN} letters")
    if hosts and profile:
        text = "hosts: an address has hosts or the name of a profile, not both"
        raise Rejected(Reason.BAD_REQUEST, text)
    tools = given.get("tools", [None])[-1]
    if tools not in (None, "all", "search"):
        raise Rejected(Reason.BAD_REQUEST, "tools: expected `all` or `search`")
    return DoorAddress(profile, hosts, cast("Mode | None", tools))


def selected(asked: DoorAddress, profile: ToolChoice | None) -> ToolChoice:
    """What an address is about; `profile`: the one it names, or the default."""
    found = profile or EVERYTHING
    if asked.hosts:
        found = ToolChoice(hosts=asked.hosts)
    if asked.tools is not None:
        found = msgspec.structs.replace(found, tools=asked.tools)
    return found
