"""Hosts and programs in the console: added, tried, imported, connected, before a real registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from contracts.facts import TaskCreated
from contracts.result import inline
from contracts.wire import Discovered
from services.registry.settings import Settings
from tests.support import facts as make
from tests.support.browser import Looking, visiting
from tests.support.http_mcp import http_server
from tests.support.nats import NatsServer
from tests.unit.gateway.peopled import PASSWORD, added, peopled
from tests.unit.gateway.served import registry
from tests.unit.gateway.world import World

SECRET = "planted-4f1b9c77"
FILE = (
    '{"mcpServers": {"wiki": {"url": "https://wiki.invalid/mcp",'
    ' "headers": {"Authorization": "Bearer %s"}}, "old": {"type": "sse", "url": "https://a/sse"}}}'
)
pytestmark = pytest.mark.timeout(120)


async def no_spaces(user: str) -> Discovered:
    return Discovered(())


@pytest_asyncio.fixture(loop_scope="session")
async def one(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    async with (
        fresh_nats.connected("gateway") as bus,
        fresh_nats.connected("registry") as other,
        peopled(tmp_path, bus) as gateway,
        registry(gateway, other, tmp_path, Settings(), no_spaces),
    ):
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def looking(one: World, chromium: Browser) -> AsyncIterator[Looking]:
    async with visiting(chromium, one.url, await added(one, roles=["admin"])) as found:
        await found.sign_in(PASSWORD)
        yield found


async def test_a_host_is_added_its_tool_tried_and_the_host_taken_away(
    one: World, looking: Looking, tmp_path: Path
) -> None:
    page = looking.page
    async with http_server(tmp_path / "record.jsonl") as server:
        await looking.go("/hosts/add")
        await page.click("text=Add it")
        await looking.says("Say the host's id.")
        await page.fill("input[name=id]", "rec")
        await page.fill("input[name=url]", server.url)
        await page.click("text=Only check")
        await page.wait_for_selector("text=It could be registered as rec.")
        await page.click("text=Add it")
        await page.wait_for_selector("h1:has-text('rec') .healthy")
    await page.wait_for_selector(".strip rect.healthy")
    await page.click("details.tool summary:has-text('work')")
    await page.fill("input[name=ms]", "0.5")
    await page.fill("textarea[name=attempt]", "[")
    await page.click("text=Call it")
    # What can't be sent is said at its field, and nothing is.
    await page.wait_for_selector("textarea[name=attempt][aria-invalid=true]")
    await page.fill("textarea[name=attempt]", "2")
    await page.click("text=Call it")
    await page.wait_for_selector(".outcome a")
    record = await one.log.at(await one.log.head())
    assert record is not None
    fact = record.fact
    assert isinstance(fact, TaskCreated)
    wanted = {"tool": "work", "arguments": {"ms": 0.5, "attempt": 2}}
    assert (fact.spec.host, msgspec.json.decode(fact.spec.input)) == ("rec", wanted)
    answer = inline(b'{"content": [{"type": "text", "text": "<b>done so</b>"}]}')
    user, task = fact.user, fact.task
    await one.append(make.routed(user, task, host="rec"), make.signed(user, task, host="rec"))
    await page.wait_for_selector(".outcome .running")
    await one.append(make.done(user, task, host="rec", result=answer))
    await page.wait_for_selector(".outcome pre:has-text('<b>done so</b>')")
    await page.click("text=Disable")
    await page.wait_for_selector("h1 .disabled")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("text=Remove")
    await page.wait_for_selector("text=There are no hosts yet")


async def test_a_client_s_file_becomes_hosts_and_clients_are_told_how_to_come_in(
    one: World, looking: Looking
) -> None:
    page = looking.page
    await looking.go("/hosts/import")
    await page.fill("textarea[name=text]", FILE % SECRET)
    await page.click("text=Preview")
    await page.wait_for_selector("td:has-text('would be registered')")
    await looking.says("is not spoken", "tbody")
    await page.click("text=Register 1 host")
    await page.wait_for_selector("text=See all hosts")
    assert SECRET not in await page.content()
    records = await one.log.read(["mcp.registered.>"])
    assert len(records) == 1
    assert b"WIKI_AUTHORIZATION" in records[0].data
    assert SECRET.encode() not in records[0].data

    await looking.go("/connect?hosts=wiki&client=cursor")
    address = f"{one.url}/mcp?hosts=wiki"
    await page.wait_for_selector(f"pre:has-text('{address}')")
    await looking.says('"Authorization": "Bearer TOKEN"')
    await page.click("text=Make a token")
    await page.wait_for_selector("text=A token was made")
    token = (await looking.text("pre[aria-label=Cursor]")).partition("Bearer ")[2].partition('"')[0]
    async with one.http(token) as client:
        assert (await client.post("/api/tasks", json={"type": "t"})).status_code == 403
    await page.click("text=Claude Code")
    header = f'--header "Authorization: Bearer {token}"'
    await looking.says(f"metamcp '{address}' {header}", "pre[aria-label='Claude Code']")
    assert await looking.barriers() == []
    await looking.go("/connect")
    await page.wait_for_selector("text=Make a token")
    assert token not in await page.content()
    kept = "JSON.stringify({...localStorage, ...sessionStorage, at: location.href})"
    assert token not in await page.evaluate(kept)

    await hosts_are_filtered_by_their_address(one, looking)


async def hosts_are_filtered_by_their_address(one: World, looking: Looking) -> None:
    page = looking.page
    async with one.http("admin-token") as admin:
        entry = {"endpoint": {"kind": "http", "url": "https://beta.invalid/mcp"}}
        await admin.post("/api/mcps/beta", json=entry)
        await admin.post("/api/mcps/beta/disable")
    routed = make.routed("alice", "t1", host="wiki")
    running = make.signed("alice", "t1", host="wiki")
    await one.append(make.created("alice", "t1"), routed, running)
    await looking.go("/hosts?status=disabled")
    await page.wait_for_selector("text=1 host")
    await looking.says("beta", ".hosts")
    await page.select_option("label:has-text('Status') select", "")
    await page.wait_for_selector("text=2 hosts")
    await looking.says("1 of 4 calls", ".hosts")
    await page.fill("[data-search]", "WIK")
    await page.wait_for_selector("text=1 host")
    assert page.url.endswith("/console/hosts?text=WIK")
