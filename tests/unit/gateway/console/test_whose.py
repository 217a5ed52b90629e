"""Who may see tasks of others is led to these, not to their own of the same id."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from contracts.task import TaskSpec
from tests.support import facts as make
from tests.support.browser import visiting
from tests.unit.gateway.peopled import ADMIN, PASSWORD, added
from tests.unit.gateway.world import World

pytestmark = pytest.mark.timeout(120)
TYPE = "dd >> nth=0"


async def test_an_auditor_is_led_to_the_tasks_of_whom_they_are(
    one: World, chromium: Browser
) -> None:
    reader, owner = await added(one, roles=("auditor",)), make.name("o")
    theirs = TaskSpec(type="theirs", tags={"team": "core"}, batch="b1")
    async with visiting(chromium, one.url, reader) as looking:
        page = looking.page
        await looking.sign_in(PASSWORD, "/console/live?of=all")
        await page.wait_for_selector(".dot.live")
        await one.append(make.created(reader, "t1", spec=TaskSpec(type="mine")))
        await one.append(make.created(owner, "t1", spec=theirs), make.done(owner, "t1"))
        await page.click(f".fact:has-text('task.created') a[href$='user={owner}']")
        await expect(page.locator(TYPE)).to_have_text("theirs")
        about = await page.eval_on_selector_all(
            "main dl a", "links => links.map((one) => one.getAttribute('href'))"
        )
        assert about == [
            f"/console/tasks?batch=b1&user={owner}",
            f"/console/tasks?tag=team%3Dcore&user={owner}",
        ]
        await page.go_back()
        await page.wait_for_selector(".dot.live")
        await one.append(make.tagged(reader, "t1"))
        await page.click(".fact:has-text('task.tagged') a")
        await expect(page.locator(TYPE)).to_have_text("mine")
        # No list has the tasks of everybody, so that a number of them leads nowhere.
        await looking.go("")
        await page.wait_for_selector("text=of everybody")
        assert await page.query_selector(".totals a") is None


async def test_of_a_project_s_tasks_one_s_own_are_chosen(one: World, chromium: Browser) -> None:
    user, other = await added(one), make.name("o")
    project = await project_of(one, user)
    for number, whose in enumerate((user, other, user)):
        await one.append(make.created(whose, f"t{number}", project=project))
    await one.settled()
    async with visiting(chromium, one.url, user) as looking:
        page = looking.page
        await looking.sign_in(PASSWORD, f"/console/tasks?project={project}")
        await page.check("[aria-label='Choose t2']")
        await expect(page.locator("[aria-label='Choose t1']")).to_be_disabled()
        await page.click("[aria-label='Choose t0']", modifiers=["Shift"])
        await page.wait_for_selector("text=2 tasks chosen")
        await page.click("button:has-text('All of yours that fit the filter')")
        await page.wait_for_selector("text=all tasks of yours chosen")


async def project_of(one: World, user: str) -> str:
    """A project that this user is in; the answer is its id."""
    async with one.http(ADMIN) as admin:
        made = await admin.post("/api/projects", json={"name": "shop"})
        project = str(made.json()["data"]["id"])
        path = f"/api/projects/{project}/members/{user}"
        assert (await admin.put(path, json={"role": "editor"})).is_success
    return project
