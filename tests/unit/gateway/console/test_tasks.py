"""The list of tasks in a real browser: filters in the address, live, and many tasks at once."""

from __future__ import annotations

import pytest

from contracts.facts import Outcome, TaskCancelled
from contracts.tags import TaskTagged
from contracts.task import TaskSpec
from tests.support import facts as make
from tests.support.browser import Looking
from tests.unit.gateway.world import World

pytestmark = pytest.mark.timeout(120)
IDS = "[...document.querySelectorAll('.task .id')].map((one) => one.textContent).join()"


async def told(one: World, looking: Looking) -> None:
    user = looking.user
    for number in range(6):
        tags = {"env": "prod"} if number % 2 else {"env": "test"}
        await one.append(make.created(user, f"t{number}", spec=TaskSpec(type="scan", tags=tags)))
    await one.append(make.done(user, "t0", Outcome.FAILED), make.done(user, "t5"))
    await one.append(make.routed(user, "t1"), make.signed(user, "t1", host="h1"))
    await one.settled()
    await one.site.parts.caught_up()


async def test_filters_are_the_address_and_rows_come_and_go(one: World, looking: Looking) -> None:
    await told(one, looking)
    page, user = looking.page, looking.user
    await looking.go("/tasks?status=failed&status=running&created_after=1h")
    await looking.until(f"{IDS} === 't1,t0'")
    await page.wait_for_selector(".dot.live")
    # One that nobody has read begins to fit, and one that is there no longer does.
    await one.append(make.done(user, "t2", Outcome.FAILED))
    await one.append(make.done(user, "t1", host="h1"))
    await looking.until(f"{IDS} === 't2,t0'")
    assert await page.text_content("output") == "2 tasks"
    await page.click("button:has-text('running')")
    await looking.until("!location.search.includes('running')")
    await page.click("text=Clear all")
    await looking.until(f"{IDS} === 't5,t4,t3,t2,t1,t0' && location.search === ''")
    await page.click("summary:has-text('More filters')")
    await page.fill("input[name=tag]", "env=prod")
    await page.press("input[name=tag]", "Enter")
    await looking.until(f"{IDS} === 't5,t3,t1' && location.search === '?tag=env%3Dprod'")
    tagged = {"id": make.new_id(), "by": "test", "user": user, "task": "t3", "k": 1}
    await one.append(TaskTagged(**tagged, tags={"env": "test"}))
    await looking.until(f"{IDS} === 't5,t1'")
    await page.fill("input[name=longer_s]", "soon")
    await page.press("input[name=longer_s]", "Enter")
    await page.wait_for_selector("text=Not understood, and left out: longer than: soon")
    exported = await page.get_attribute("text=CSV", "href")
    assert exported == "/api/tasks/export?tag=env%3Dprod&format=csv"
    assert await looking.barriers() == []


async def test_many_tasks_are_cancelled_and_tagged_at_once(one: World, looking: Looking) -> None:
    await told(one, looking)
    page = looking.page
    await looking.go("/tasks")
    await looking.until(f"{IDS} === 't5,t4,t3,t2,t1,t0'")
    await page.check("[aria-label='Choose t4']")
    await page.click("[aria-label='Choose t2']", modifiers=["Shift"])
    await page.wait_for_selector("text=3 tasks chosen")
    await page.click(".bulk button:has-text('Cancel')")
    await page.click("button.yes:has-text('Cancel: 3 tasks')")
    await page.wait_for_selector("text=Cancelled 3 of 3 tasks")
    assert "operation=" in page.url
    # What goes on by itself is there again after a reload.
    await page.reload()
    await page.wait_for_selector("text=Cancelled 3 of 3 tasks")
    await page.click(".bulk button:has-text('Close')")
    await page.check("[aria-label='Choose all that are shown']")
    await page.click(".bulk button:has-text('Tag')")
    await page.fill("input[name=tags]", "seen=yes team=core")
    await page.click("button.yes")
    await page.wait_for_selector("text=Tagged 6 of 6 tasks")
    await looking.until("document.querySelectorAll('.task .tags i').length === 12")
    found = [record.fact for record in one.log._records]  # type: ignore[attr-defined]
    cancelled = [fact.task for fact in found if isinstance(fact, TaskCancelled)]
    assert sorted(cancelled) == ["t2", "t3", "t4"]
