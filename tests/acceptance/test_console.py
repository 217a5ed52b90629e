"""The console in a real browser, before the real system: what people do there, to the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.bench.pipeline import NOOP, VARIABLES
from tests.support import browser as chromium
from tests.support.asking_mcp import FILE
from tests.support.browser import Looking
from tests.support.forked import command
from tests.support.host_auth import host_auth
from tests.support.system import System, system

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

PASSWORD = "correct horse battery"
ROLES: dict[str, tuple[str, ...]] = {"ada": (), "otto": ("auditor",), "root": ("admin", "auditor")}
ROOT = Path(__file__).resolve().parents[2]
COUNT, AT_ONCE = 1000, 20
FACTS = 4
"""Of one task that succeeds at once: created, routed, signed, done."""
ASKING = """
[hosts.asking]
limits = {{ start_s = 60.0 }}
[hosts.asking.endpoint]
kind = "stdio"
command = {program}
args = {words}
cwd = "{root}"
env = {{ {file} = "{record}" }}
"""
OUTPUT = "document.querySelector('output').textContent"
UNDER_WAY = ".rows .pending, .rows .queued, .rows .running"
PATIENCE_MS = 60_000
"""A gateway that is started anew while the machine is busy."""
EACH = """async (name) => {
  const found = [];
  for (let top = 0; ; top += innerHeight) {
    scrollTo(0, top);
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    found.push(...[...document.querySelectorAll(`.rows ${name}`)].map((one) => one.textContent));
    if (top > document.documentElement.scrollHeight) return found;
  }
}"""
TWICE = """(name) => {
  const found = [...document.querySelectorAll(`.rows ${name}`)].map((one) => one.textContent);
  return found.length !== new Set(found).size;
}"""


class Scene:
    """The system, its people, and the browser that they share."""

    def __init__(self, one: System, browser: Browser) -> None:
        self.one = one
        self.browser = browser
        self.http = httpx.AsyncClient(trust_env=False, timeout=30)

    @contextlib.asynccontextmanager
    async def looking(self, user: str, path: str = "/console") -> AsyncIterator[Looking]:
        """Somebody's own window, in which nothing goes wrong."""
        async with chromium.visiting(self.browser, self.one.url, user) as found:
            await found.sign_in(PASSWORD, path)
            yield found

    async def token(self, user: str) -> str:
        """A program of theirs."""
        body = {"user": user, "password": PASSWORD}
        answer = await self.http.post(f"{self.one.url}/api/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["access_token"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("console")
    program, *words = command("tests.support.asking_mcp")
    asking = ASKING.format(
        program=json.dumps(program),
        words=json.dumps(words),
        root=ROOT,
        file=FILE,
        record=folder / "asked.jsonl",
    )
    extra = folder / "extra.toml"
    extra.write_text(NOOP + asking)
    variables = VARIABLES | {"METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0"}
    async with (
        chromium.browser() as browser,
        system(folder, {"one": 8}, extra=extra, **variables) as one,
    ):
        for name, roles in ROLES.items():
            body = {"name": name, "password": PASSWORD, "roles": roles}
            answer = await one.http.post(f"{one.url}/api/users", json=body)
            assert answer.status_code == 201, answer.text
        found = Scene(one, browser)
        yield found
        await found.http.aclose()


async def submitted(looking: Looking, given: dict[str, Any]) -> str:
    """Send a task from the page for that; the answer is its id, on whose page one is then."""
    await looking.go("/submit?type=work")
    await looking.page.locator("main form textarea").first.fill(json.dumps(given))
    await looking.page.click("main form button.yes")
    await looking.page.wait_for_url("**/console/tasks/*")
    return looking.page.url.rpartition("/")[2]


async def test_a_task_from_its_submission_to_its_end(scene: Scene) -> None:
    async with scene.looking("ada") as looking:
        page = looking.page
        task = await submitted(looking, {"ms": 1500})
        await page.wait_for_selector("h1 .status.running")
        await page.wait_for_selector("h1 .status.succeeded")
        told = await looking.text()
        assert "job.done" in told
        assert "Attempt 1 went to one" in told
        await page.click("main button:text-is('Audit this task')")
        await page.wait_for_selector("text=Every check holds")
        # Not only what the browser checks: the route is what a router finds anew.
        await page.wait_for_selector("ul[aria-label^=Recomputed] li.ok")
        assert await page.locator("li.wrong").count() == 0
        await page.click("main button:text-is('Run again …')")
        await page.click("form.again button.yes")
        await page.wait_for_selector(f"dd:has-text('{task} was run again')")
        await page.wait_for_selector("h1 .status.succeeded")
        await looking.go("/tasks")
        await page.click(f".task:has-text('{task}')")
        await page.wait_for_selector(f"h1:has-text('{task}')")
        await submitted(looking, {"ms": 60_000})
        await page.wait_for_selector("h1 .status.running")
        await page.click("main button:text-is('Cancel')")
        await page.wait_for_selector("h1 .status.cancelled")


async def test_a_tool_is_tried_and_asks(scene: Scene) -> None:
    async with scene.looking("ada", "/console/hosts/asking") as looking:
        page = looking.page
        tool = page.locator("details.tool", has_text="form").first
        await tool.locator("summary").first.click()
        await tool.locator("button:text-is('Call it')").click()
        # What comes of it is told below the form, with the task that it is.
        await page.click("main section.outcome a:text-is('It asks: answer it there.')")
        await page.wait_for_selector("h1 .status.input_required")
        await page.fill("main input[name=name]", "Ada")
        await page.click("main button:text-is('Answer')")
        await page.wait_for_selector("h1 .status.succeeded")
        task = page.url.rpartition("/")[2]
        result = await page.request.get(f"{looking.url}/api/tasks/{task}/result")
        assert "Ada" in await result.text()
        await looking.says("task.answered")


async def test_somebody_signs_in_at_a_host_that_asks_who_they_are(scene: Scene) -> None:
    # Of an operator's host the tools are looked up as an admin who has signed in there.
    async with host_auth() as auth, scene.looking("root") as looking:
        entry = {"endpoint": {"kind": "http", "url": auth.resource}}
        added = await scene.one.http.post(f"{scene.one.url}/api/mcps/closed", json=entry)
        assert added.status_code == 201, added.text
        await looking.go("/hosts/closed")
        page = looking.page
        await page.click("main button:text-is('Probe now')")
        await page.wait_for_selector("main .told:has-text('sign-in needed')")
        await page.click("main .link button:text-is('Sign in')")
        async with page.expect_popup() as opened:
            await page.click("main .link a[target=_blank]")
        there = await opened.value
        await there.wait_for_selector("text=Signed in")
        await page.wait_for_selector("main .link summary:has-text('this host: signed in')")
        tool = page.locator("details.tool", has_text="whoami").first
        await tool.locator("summary").first.click()
        await tool.locator("button:text-is('Call it')").click()
        await page.wait_for_selector("main section.outcome .status.succeeded")


async def test_a_thousand_tasks_are_followed_over_a_killed_gateway(scene: Scene) -> None:
    token = await scene.token("ada")
    names = [f"many-{number}" for number in range(COUNT)]
    async with (
        scene.looking("ada", "/console/tasks?type=noop") as listed,
        scene.looking("ada", "/console/live?text=many-") as live,
    ):
        for looking in (listed, live):
            await looking.page.wait_for_selector(".dot.live")
        twice = [False]
        left = iter(names)
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(send(scene, token, left))
            await listed.until(f"parseInt({OUTPUT}) > {COUNT // 4}")
            scene.one.running.kill("gateway")
            await listed.page.wait_for_selector(".dot.cut")
            await listed.page.wait_for_selector(".dot.live", timeout=PATIENCE_MS)
            twice.append(await listed.page.evaluate(TWICE, ".id"))
        await listed.until(f"{OUTPUT} == '{COUNT} tasks'")
        await listed.until(f"!document.querySelector({UNDER_WAY!r})")
        ids = await listed.page.evaluate(EACH, ".id")
        assert set(ids) == set(names)
        await live.until(f"document.querySelector('.rows').clientHeight >= {COUNT * FACTS} * 32")
        shown = Counter(await live.page.evaluate(EACH, ".fact"))
        assert len(shown) == COUNT * FACTS
        twice.append(await live.page.evaluate(TWICE, ".seq"))
        for looking in (listed, live):
            # That the gateway could not be reached is in the console of every browser.
            looking.wrong = [wrong for wrong in looking.wrong if "ERR_CONNECTION" not in wrong]
    assert not any(twice)


async def send(scene: Scene, token: str, names: Any) -> None:
    """Create tasks, each again until it is there."""
    head = {"Authorization": f"Bearer {token}"}
    for name in names:
        body = {"id": name, "type": "noop", "input": {"n": 1}}
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await scene.http.post(
                    f"{scene.one.url}/api/tasks", json=body, headers=head
                )
                if answer.status_code < 300:
                    break
                assert answer.status_code == 503, answer.text
            await scene.one.alive()


@pytest.mark.parametrize("user", ROLES)
async def test_every_page_is_well_for_everybody(scene: Scene, user: str) -> None:
    async with scene.looking(user) as looking:
        pages = await looking.pages()
        assert {"", "/tasks", "/submit", "/hosts", "/account"} <= set(pages)
        for path in [*pages, "/hosts/one", "/nowhere"]:
            await looking.go(path)
            await looking.page.wait_for_load_state("networkidle")
            # Who is admin and auditor sees whatever others do.
            assert user != "root" or await looking.barriers() == [], path
        if user == "root":
            await looking.go("/admin/settings?service=executor")
            await looking.page.wait_for_selector("th:has-text('METAMCP_EXECUTOR_')")
        await looking.go("/live")
        everybody = await looking.page.query_selector("option[value=all]")
        assert (everybody is not None) == ("auditor" in ROLES[user])
        await looking.go("/account")
        await looking.page.click("main >> text=Sign out")
        await looking.page.wait_for_url("**/signin")
