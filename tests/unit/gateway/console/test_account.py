"""The pages of one's account and of admins, and the link that signs a browser in."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from tests.support.browser import Looking, visiting
from tests.unit.gateway.peopled import ADMIN, PASSWORD, added, good
from tests.unit.gateway.world import World

ACCOUNT = ("", *(f"/{n}" for n in ("tokens", "sessions", "connected")))
ACCOUNT += tuple(f"/{n}" for n in ("projects", "preferences", "profiles"))
KEPT = ("", "/invitations", "/tokens", "/clients", "/access", "/keys", "/publishers", "/settings")
pytestmark = pytest.mark.timeout(120)


async def link(one: World) -> str:
    async with one.http(ADMIN) as client:
        made = await client.post("/api/auth/console-links")
        return one.url + str(made.json()["data"]["path"])


async def test_a_link_signs_in_is_gone_from_the_address_and_is_good_once(
    one: World, chromium: Browser
) -> None:
    url = await link(one)
    async with visiting(chromium, one.url) as admin, visiting(chromium, one.url) as late:
        await admin.page.goto(url)
        await admin.page.wait_for_selector(".who:has-text('root')")
        assert admin.page.url == f"{one.url}/console"
        await admin.page.go_back()
        await admin.page.goto(f"{one.url}/console/account/sessions")
        await admin.page.wait_for_selector("td:has-text('a link')")
        await late.page.goto(url)
        await late.page.wait_for_selector("text=used already: make another with `metamcp console`")
        assert late.page.url == f"{one.url}/console"
        await late.page.wait_for_selector("a:has-text('Sign in')")
        # Another link in the same window loads nothing by itself.
        await late.page.evaluate("url => { location.href = url }", await link(one))
        await late.page.wait_for_selector(".who:has-text('root')")
        assert late.page.url == f"{one.url}/console"


async def test_a_user_makes_a_token_and_revokes_it(one: World, looking: Looking) -> None:
    page = looking.page
    assert await page.query_selector("nav >> text=Admin") is None
    await looking.go("/account/tokens")
    await page.fill("input[name=note]", "CI <b>")
    await page.uncheck("input[name=all]")
    await page.check("input[value='hosts:read']")
    await page.click("text=Make the token")
    token = await page.input_value(".secret")
    assert await good(one, token)
    row = "tr:has-text('CI <b>')"
    assert "hosts:read" in await page.inner_text(row)
    await page.click("text=Done")
    await page.wait_for_selector(".secret", state="detached")
    assert token not in await page.content()
    await page.click(f"{row} >> text=Revoke")
    await page.click(f"{row} >> .danger")
    await page.wait_for_selector("text=There are no tokens.")
    assert not await good(one, token)
    await looking.go("/account")
    await page.fill("input[name=display]", "Ann")
    await page.click("text=Save")
    await page.wait_for_selector("text=Saved.")
    await page.fill("input[name=old]", "wrong password")
    await page.fill("input[name=new]", "another long password")
    await page.click("text=Change the password")
    await page.wait_for_selector("text=the old password is not right")
    looking.wrong = [text for text in looking.wrong if "403" not in text]
    await looking.go("/admin/settings")
    await page.wait_for_selector("text=There is nothing under this name, or not for you.")


async def test_an_admin_makes_a_user_who_can_sign_in(one: World, chromium: Browser) -> None:
    async with (
        visiting(chromium, one.url) as admin,
        visiting(chromium, one.url, "ada-browser") as ada,
    ):
        page = admin.page
        await page.goto(await link(one))
        await page.click("nav >> text=Admin")
        await page.fill("input[name=name]", ada.user)
        await page.check("input[value=auditor]")
        await page.click("text=Make the account")
        await ada.sign_in(await page.input_value(".secret"))
        await admin.go(f"/admin/users/{ada.user}")
        await page.wait_for_selector("td:has-text('a password')")
        # What an auditor may see, and nothing else.
        await ada.go("/admin")
        await ada.page.wait_for_selector("text=Nothing was noted that fits.")
        tabs = await ada.page.inner_text(".sections")
        assert tabs.split() == ["Access", "Keys"]
        await page.fill("input[name=most]", "7")
        await page.select_option("select[name=quota]", "hosts")
        await page.click("text=Set it")
        await page.wait_for_selector("td:has-text('for this user alone')")
        await page.click("main >> text=Disable")
        await page.click(".danger")
        await page.wait_for_selector("text=disabled: nothing of theirs lets anybody in")
        await ada.page.goto(f"{one.url}/console/hosts")
        await ada.page.wait_for_url("**/signin?next=*hosts")


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_section_is_there_for_everybody(
    one: World, chromium: Browser, scheme: str
) -> None:
    user = await added(one, roles=["admin"])
    async with visiting(chromium, one.url, user) as admin:
        await admin.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await admin.sign_in(PASSWORD)
        wide = 1280 if scheme == "light" else 360
        await admin.page.set_viewport_size({"width": wide, "height": 800})
        every = [f"/account{of}" for of in ACCOUNT] + [f"/admin{of}" for of in KEPT]
        for path in (*every, f"/admin/users/{user}"):
            await admin.go(path)
            await admin.page.wait_for_load_state("networkidle")
            assert await admin.barriers() == [], path
            across = "document.documentElement.scrollWidth <= innerWidth"
            assert await admin.page.evaluate(across), path
            assert await admin.page.query_selector("main .failed") is None, path
