"""The console in a real browser, before a gateway whose facts the tests write."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import expect

from contracts import subjects
from contracts.asks import QuestionKind
from contracts.facts import McpRegistered, Outcome
from contracts.host import Host, StreamableHttp, Tool
from contracts.task import TaskSpec
from services.gateway.stream.connection import RESTART
from services.process.ids import new_id
from tests.support import facts as make
from tests.support.browser import Looking
from tests.unit.gateway.world import World

HOSTILE = (
    "</pre><script>document.title='x'</script><img src=x onerror=\"document.title='x'\">\x1b[31m"
)
PAGES = (
    "",
    "/tasks",
    "/submit?type=t.x",
    "/live",
    "/hosts",
    "/asks",
    "/account",
    "/hosts/h1",
    "/tasks/t1",
    "/tasks/none",
)
pytestmark = pytest.mark.timeout(120)


def host() -> McpRegistered:
    schema = {"type": "object", "properties": {"path": {"type": "string", "description": HOSTILE}}}
    tool = Tool("read", description=HOSTILE, input_schema=schema)
    spec = Host(
        id="h1", name=HOSTILE[:60], endpoint=StreamableHttp("https://h.example/mcp"), tools=(tool,)
    )
    return McpRegistered(id=new_id(), by="test", host="h1", k=1, spec=spec)


async def told(one: World, user: str, task: str) -> None:
    """A task with a story."""
    spec = TaskSpec(type="mcp.call", input=json.dumps({"text": HOSTILE}).encode())  # type: ignore[arg-type]
    await one.append(
        make.created(user, task, spec=spec),
        make.routed(user, task),
        make.signed(user, task),
        make.failed(user, task, message=HOSTILE),
        make.asked(user, task, kind=QuestionKind.INPUT, message=HOSTILE, schema=FORM),
    )
    await one.settled()


FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": HOSTILE[:40]},
        "count": {"type": "integer"},
        "sure": {"type": "boolean"},
        "size": {"enum": ["small", "big"]},
    },
    "required": ["name"],
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nobody_is_kept_out(one: World, looking: Looking, scheme: str) -> None:
    await one.append(host())
    await told(one, looking.user, "t1")
    await looking.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    narrow = [(path, 360) for path in ("", "/tasks", "/tasks/t1")]
    for path, wide in [*((path, 1280) for path in PAGES), *narrow]:
        await looking.page.set_viewport_size({"width": wide, "height": 800})
        await looking.go(path)
        assert await looking.barriers() == [], path
        across = "document.documentElement.scrollWidth <= innerWidth"
        assert await looking.page.evaluate(across), path


async def test_a_list_outlives_cuts_and_nothing_is_missing(one: World, looking: Looking) -> None:
    user = looking.user
    await looking.go("/tasks")
    await looking.page.wait_for_selector(".dot.live")
    await looking.says("no tasks yet")
    names = [f"n{number}" for number in range(300)]
    for name in names:
        await one.append(make.created(user, name))
    await looking.until("document.querySelector('output').textContent == '300 tasks'")
    for number, name in enumerate(names):
        if number % 100 == 50:
            one.site.streams.shut_all(RESTART, "the gateway is stopping")
        await one.append(make.routed(user, name), make.signed(user, name))
        await one.append(make.done(user, name, Outcome.SUCCEEDED, host="h1"))
    live = "document.querySelector('.dot.live')"
    await looking.until(f"{live} && !document.querySelector('.pending, .queued, .running')")
    shown = "document.querySelectorAll('.task .succeeded').length"
    assert await looking.page.evaluate(f"{shown} == document.querySelectorAll('.task').length")
    first = await looking.page.query_selector(".task .id")
    assert first is not None
    assert await first.inner_text() == "n299"
    # Of hundreds of rows only those in sight are there.
    assert await looking.page.evaluate("document.querySelectorAll('.task').length") < 100


async def test_what_could_not_be_read_is_read_again(one: World, looking: Looking) -> None:
    page, user = looking.page, looking.user
    await one.append(make.created(user, "t1"), make.done(user, "t1"))
    await one.settled()
    await page.route("**/api/tasks/t1/events", lambda route: route.abort(), times=1)
    await looking.go("/tasks/t1")
    await looking.says("The gateway can't be reached.")
    await page.wait_for_selector("main .status.succeeded")
    await expect(page.locator(".failed[role=alert]")).to_have_count(0)
    assert [one for one in looking.wrong if "ERR_FAILED" not in one] == []
    looking.wrong.clear()


async def test_a_question_is_answered(one: World, looking: Looking) -> None:
    user = looking.user
    await told(one, user, "t1")
    await looking.go("/asks")
    await looking.page.fill("input[name=name]", "Ada")
    await looking.page.check("input[name=sure]")
    await looking.page.select_option("select[name=size]", label="big")
    await looking.page.click("main button.yes")
    await looking.page.wait_for_selector("text=No task asks anything")
    found = await one.log.read_last([subjects.unanswered(user, "t1", 1).subject])
    answered = [r.fact for r in found if isinstance(r.fact, make.TaskAnswered)]
    assert [(fact.action, fact.content) for fact in answered] == [
        ("accept", {"name": "Ada", "sure": True, "size": "big"})
    ]


async def test_the_keyboard_goes_everywhere(one: World, looking: Looking) -> None:
    await one.append(make.created(looking.user, "t1"), make.created(looking.user, "t2"))
    page = looking.page
    await looking.go("/tasks")
    await page.wait_for_selector("text=t2")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("h1:has-text('t1')")
    for key, title in (("h", "Hosts"), ("l", "Live"), ("t", "Tasks")):
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await page.wait_for_selector(f"h1:has-text('{title}')")
    await page.keyboard.press("/")
    assert await page.evaluate("document.activeElement.matches('[data-search]')")
    await page.keyboard.press("Escape")
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("?")
    await page.wait_for_selector("dialog[open]")


async def test_who_signs_out_is_out(looking: Looking) -> None:
    await looking.go("/account")
    await looking.page.click("main >> text=Sign out")
    await looking.page.wait_for_url("**/signin")
    await looking.page.goto(looking.url + "/console/hosts")
    await looking.page.wait_for_url("**/signin?next=*hosts")
