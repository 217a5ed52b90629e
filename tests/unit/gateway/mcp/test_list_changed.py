"""Who has listed tools is told when what they may see of them changes, and nobody else is."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import mcp_types as t
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ToolsListChanged

from contracts.facts import AnyFact, McpHealth, McpRegistered, McpRemoved, Record
from contracts.host import Access, HealthStatus, Host, Stdio, Tool
from contracts.permitted import Asker
from services.gateway.mcp import catalogue as catalogues
from services.gateway.mcp import sessions
from services.gateway.mcp.catalogue import Catalogue
from services.gateway.mcp.selection import ToolChoice
from services.process.ids import new_id
from tests.support.system import until
from tests.unit.gateway.http.test_tokens import ADMIN, issued, issuing
from tests.unit.gateway.world import World

ALICE, BOB = Asker("alice"), Asker("bob")
NOW = 1e9
seqs = itertools.count(1)


def host(id_: str = "h1", *tools: str, **fields: Any) -> Host:
    found = tuple(Tool(name) for name in tools or ("echo",))
    return Host(id=id_, name=id_, endpoint=Stdio("x"), tools=found, **fields)


def registered(spec: Host) -> McpRegistered:
    return McpRegistered(id=new_id(), by="registry-1", host=spec.id, k=1, spec=spec)


def health(status: HealthStatus, id_: str = "h1") -> McpHealth:
    return McpHealth(id=new_id(), by="registry-1", host=id_, k=1, status=status)


def removed(id_: str = "h1") -> McpRemoved:
    return McpRemoved(id=new_id(), by="registry-1", host=id_, k=2)


def folded(catalogue: Catalogue, *facts: AnyFact, at: float = NOW) -> None:
    records = [Record(next(seqs), at, "", fact, b"") for fact in facts]
    catalogue.fold(records)


class Heard:
    """Counts what somebody is told."""

    def __init__(self, catalogue: Catalogue, who: Asker) -> None:
        self.count = 0
        self.some = asyncio.Event()
        catalogue.follow(who, self, self.tell)

    def tell(self) -> None:
        self.count += 1
        self.some.set()


async def told(catalogue: Catalogue) -> None:
    """Let those be told who are to be."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(0, over.set)
    await over.wait()
    assert catalogue._telling is None


@pytest.fixture
def catalogue() -> Catalogue:
    found = Catalogue(lambda: NOW, settle_s=0.0)
    found.restore([])
    return found


UP, DOWN = health(HealthStatus.HEALTHY), health(HealthStatus.UNHEALTHY)
FOR_BOB = Access(users=("bob",))
CHANGES: list[tuple[AnyFact, bool, bool]] = [
    (removed(), True, True),
    (registered(host("h1", "echo", "more")), True, True),
    (registered(host("h1", access=FOR_BOB)), True, False),
    (registered(host("h1", tool_access={"echo": FOR_BOB})), True, False),
    (registered(host("h1", callable_tools=())), True, True),
    (registered(host("h1", enabled=False)), True, True),
    (registered(host("h1", server="2")), False, False),
    (DOWN, False, False),
    (health(HealthStatus.WARNING), False, False),
    (removed("h2"), False, False),
]


@pytest.mark.parametrize(("fact", "alice", "bob"), CHANGES)
async def test_those_are_told_for_whom_it_changes(
    catalogue: Catalogue, fact: AnyFact, alice: bool, bob: bool
) -> None:
    folded(catalogue, registered(host()), UP)
    hers, his = Heard(catalogue, ALICE), Heard(catalogue, BOB)
    folded(catalogue, fact)
    await told(catalogue)
    assert (hers.count, his.count) == (alice, bob)


async def test_a_host_of_ones_own_is_told_to_nobody_else(catalogue: Catalogue) -> None:
    hers, his = Heard(catalogue, ALICE), Heard(catalogue, BOB)
    folded(catalogue, registered(host("alice/h", owner="alice")))
    folded(catalogue, health(HealthStatus.HEALTHY, "alice/h"))
    await told(catalogue)
    assert (hers.count, his.count) == (1, 0)


async def test_a_burst_is_told_once_and_what_is_undone_not_at_all(catalogue: Catalogue) -> None:
    heard = Heard(catalogue, ALICE)
    for n in range(20):
        folded(catalogue, registered(host(f"h{n}")), health(HealthStatus.HEALTHY, f"h{n}"))
    await told(catalogue)
    assert heard.count == 1
    folded(catalogue, removed("h3"))
    folded(catalogue, registered(host("h3")), health(HealthStatus.HEALTHY, "h3"))
    await told(catalogue)
    assert heard.count == 1
    catalogue.forget(ALICE, heard)
    folded(catalogue, removed("h4"))
    await told(catalogue)
    assert (heard.count, catalogue._followers, catalogue._before) == (1, {}, {})


async def test_tools_of_a_host_that_is_down_stay_listed_for_a_while(catalogue: Catalogue) -> None:
    folded(catalogue, registered(host()), UP)
    heard = Heard(catalogue, ALICE)
    left_s = 0.05
    folded(catalogue, DOWN, at=NOW - catalogues.DOWN_S + left_s)
    assert [one.id for one in catalogue.of(ALICE, listed=True)] == ["h1"]
    # More of its bad news does not make it younger.
    folded(catalogue, health(HealthStatus.UNKNOWN))
    async with asyncio.timeout(30):
        await heard.some.wait()
    assert (catalogue.of(ALICE, listed=True), len(catalogue.of(ALICE))) == ([], 1)
    folded(catalogue, UP)
    await told(catalogue)
    assert heard.count == 2
    assert len(catalogue.of(ALICE, listed=True)) == 1


async def test_what_was_never_up_is_not_listed(catalogue: Catalogue) -> None:
    folded(catalogue, registered(host()))
    assert catalogue.of(ALICE, listed=True) == []
    assert len(catalogue.of(ALICE)) == 1


@contextlib.asynccontextmanager
async def listening(
    gateway: World, token: str, at: str = "/mcp", **options: Any
) -> AsyncIterator[tuple[Client, asyncio.Event]]:
    """A client, and whether its session was told."""
    heard = asyncio.Event()

    async def hear(message: Any) -> None:
        if isinstance(message, t.ToolListChangedNotification):
            heard.set()

    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
        Client(
            streamable_http_client(f"{gateway.url}{at}", http_client=http),
            message_handler=hear,
            **options,
        ) as client,
    ):
        yield client, heard


async def nobody_follows(gateway: World) -> None:
    async def nobody() -> bool:
        return not gateway.site.door.catalogue._followers

    await until(nobody)


async def test_a_session_is_told(gateway: World) -> None:
    async with (
        listening(gateway, "alice-token", mode="legacy") as (alice, heard),
        listening(gateway, "bob-token", mode="legacy") as (bob, his),
    ):
        assert alice.server_capabilities.tools is not None
        assert alice.server_capabilities.tools.list_changed is True
        for client in (alice, bob):
            await client.list_tools()
        await gateway.append(registered(host("alice/h", owner="alice")))
        await gateway.append(health(HealthStatus.HEALTHY, "alice/h"))
        async with asyncio.timeout(20):
            await heard.wait()
        names = {tool.name for tool in (await alice.list_tools()).tools}
        assert "alice__h__echo" in names
        assert not his.is_set()
    await nobody_follows(gateway)


async def test_a_stream_of_the_newer_era_is_told_and_ends_with_its_token(gateway: World) -> None:
    async with issuing(gateway) as one, one.http(ADMIN) as admin:
        token = await issued(admin, "alice")
        async with listening(one, token["token"]) as (client, _):
            assert client.server_capabilities.tools is not None
            assert client.server_capabilities.tools.list_changed is True
            async with asyncio.timeout(20), client.listen(tools_list_changed=True) as changes:
                await one.append(registered(host()), UP)
                assert isinstance(await anext(changes), ToolsListChanged)
                assert (await admin.delete(f"/api/tokens/{token['id']}")).status_code == 200
                with contextlib.suppress(Exception):
                    while True:
                        await anext(changes)
                await nobody_follows(one)


async def test_of_what_is_not_chosen_nobody_is_told(catalogue: Catalogue) -> None:
    folded(catalogue, registered(host()), UP, registered(host("h2")))
    folded(catalogue, health(HealthStatus.HEALTHY, "h2"))
    heard = Heard(catalogue, ALICE)
    catalogue.follow(ALICE, heard, heard.tell, lambda: ToolChoice(hosts=("h1",)))
    folded(catalogue, removed("h2"))
    await told(catalogue)
    assert heard.count == 0
    folded(catalogue, removed("h1"))
    await told(catalogue)
    assert heard.count == 1
    without = ToolChoice(without={"h*": ("more",)})
    catalogue.follow(ALICE, heard, heard.tell, lambda: without)
    folded(catalogue, registered(host()), UP)
    await told(catalogue)
    folded(catalogue, registered(host("h1", "echo", "more")))
    await told(catalogue)
    assert heard.count == 2
    catalogue.follow(ALICE, heard, heard.tell, lambda: ToolChoice(tools="search"))
    folded(catalogue, removed("h1"))
    await told(catalogue)
    assert heard.count == 2, "what finds tools is the same"


async def test_who_has_chosen_what_is_otherwise_now_is_told(catalogue: Catalogue) -> None:
    chosen: list[ToolChoice] = [ToolChoice(hosts=("h1",))]
    heard, others = Heard(catalogue, ALICE), Heard(catalogue, BOB)
    catalogue.follow(ALICE, heard, heard.tell, lambda: chosen[-1])
    catalogue.choose_anew()
    assert heard.count == 0
    chosen.append(ToolChoice(hosts=("h2",)))
    catalogue.choose_anew()
    catalogue.choose_anew()
    assert (heard.count, others.count) == (1, 0)


async def test_a_user_has_a_share_of_the_streams(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_LISTENS", 1)
    async with (
        listening(gateway, "alice-token") as (alice, _),
        listening(gateway, "bob-token") as (bob, _),
    ):
        async with asyncio.timeout(20), alice.listen(tools_list_changed=True):
            with pytest.raises(MCPError, match=r"alice has 1 streams .* close some"):
                async with alice.listen(tools_list_changed=True):
                    raise AssertionError
            async with bob.listen(tools_list_changed=True):
                pass
        await nobody_follows(gateway)
        async with asyncio.timeout(20), alice.listen(tools_list_changed=True):
            pass
