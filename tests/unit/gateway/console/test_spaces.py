"""An account at Hugging Face is linked, and its Spaces are worked with, at the Hub's stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Dialog, expect

from tests.support.browser import visiting
from tests.support.nats import NatsServer
from tests.unit.gateway.hub_world import Linked, created, key_known, linked_world, variables

pytestmark = pytest.mark.timeout(120)
REPLACED = "It takes the place of the program that is there."


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[Linked]:
    async with linked_world(fresh_nats, tmp_path) as one:
        yield one


async def test_from_the_account_to_a_space_with_the_kit(
    gateway: Linked, chromium: Browser, tmp_path: Path
) -> None:
    await key_known(gateway, tmp_path / "keys")
    async with gateway.http() as alice, visiting(chromium, gateway.url, "alice") as looking:
        page = looking.page
        made = await alice.post("/api/auth/console-links")
        await page.goto(gateway.url + made.json()["data"]["path"])
        await page.wait_for_selector(".who:has-text('alice')")
        await looking.go("/hosts/discover")
        await page.click("main a:text-is('Account, Connected accounts')")
        token = gateway.hub.account("ann")
        linking = page.locator("form[aria-label='Link Hugging Face']")
        await linking.locator("input[name=token]").fill(token)
        await linking.locator("button").click()
        await page.wait_for_selector("text=Linked as ann")
        assert token not in await page.content()
        await looking.go("/hosts/discover")
        await page.wait_for_selector("text=The account has no Spaces.")
        await created(alice)
        await page.click("main button:text-is('Look again')")
        row = page.locator("tr", has_text="ann/heavy")
        await expect(row.locator(".status")).to_have_text("NO_APP_FILE")
        gateway.hub.stage("ann/heavy", "PAUSED")
        async with page.expect_response("**/api/spaces/ann/heavy/deploy") as deployed:
            await row.get_by_role("button", name="Deploy the kit to ann/heavy").click()
        assert (await deployed.value).ok
        assert "app.py" in gateway.hub.files("space", "ann/heavy")
        assert variables(gateway)["METAMCP_OWNER"] == "alice"
        for stage, error in (("SLEEPING", ""), ("BUILD_ERROR", "no module named x")):
            gateway.hub.stage("ann/heavy", stage, error)
            await page.click("main button:text-is('Look again')")
            await expect(row.locator(".status")).to_have_text(stage)
        await expect(row).to_contain_text("no module named x")
        # What is there now is a program of theirs, for all that one knows.
        asked: list[str] = []

        async def no(dialog: Dialog) -> None:
            asked.append(dialog.message)
            await dialog.dismiss()

        page.on("dialog", no)
        await row.get_by_role("button", name="Deploy the kit to ann/heavy").click()
        await expect(row.get_by_role("button", name="Deploy the kit")).to_be_enabled()
        assert asked == [f"Put the kit into ann/heavy? {REPLACED}"]
        assert await looking.barriers() == []
