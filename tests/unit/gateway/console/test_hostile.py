"""A host that says markup, scripts, escape sequences and endless lines: all of it is text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from contracts.asks import QuestionKind
from contracts.facts import AnyFact, McpHealth, McpRegistered
from contracts.host import HealthStatus, Host, StreamableHttp, Tool
from contracts.result import inline
from contracts.task import TaskSpec
from contracts.wire import Progress
from services.process.ids import new_id
from tests.support import facts as make
from tests.support.browser import Looking
from tests.unit.gateway.peopled import PASSWORD, added
from tests.unit.gateway.world import World

pytestmark = pytest.mark.timeout(150)

MARKUP = (
    "</pre></textarea><script>ran()</script><img src=x onerror='ran()'>"
    "<a href='javascript:ran()'>x</a>"
)
TURNED = "\u202egnp.exe\u2066 \x1b[31m\x07\x00 \x9b"
SHOWN = "[U+202E]gnp.exe[U+2066] ␛[31m␇␀ [U+009B]"
SAID = f"{MARKUP} {TURNED}"
ENDLESS = f"{SAID} " + "w" * 1_000_000
SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "title": SAID, "description": SAID, "default": SAID},
        "size": {"enum": [SAID, "big"]},
    },
    "required": ["path"],
}
ANSWER = {
    "content": [
        {"type": "text", "text": ENDLESS},
        {"type": "image", "mimeType": "image/svg+xml", "data": "PHN2ZyBvbmxvYWQ9InJhbigpIi8+"},
        {"type": "text", "text": SAID},
    ],
    "findings": [{"message": SAID, "file": SAID, "line": 1, "rule": SAID, "severity": SAID}],
}
OPENED = "for (const one of document.querySelectorAll('details')) one.open = true"
WATCHED = """
window.happened = [];
window.ran = () => happened.push("ran");
addEventListener("securitypolicyviolation", (event) => happened.push(event.effectiveDirective));
"""


def said_of_host() -> list[AnyFact]:
    """What a host says of itself."""
    tool = Tool("read", title=SAID, description=ENDLESS[: 2**16], input_schema=SCHEMA)
    endpoint = StreamableHttp("https://h.example/mcp")
    spec = Host(id="h1", name=SAID[:200], endpoint=endpoint, tools=(tool,))
    health: dict[str, Any] = {"status": HealthStatus.UNHEALTHY, "reason": SAID}
    return [
        McpRegistered(id=new_id(), by="test", host="h1", k=1, spec=spec),
        McpHealth(id=new_id(), by="test", host="h1", k=1, **health),
    ]


def said_of_tasks(user: str) -> list[AnyFact]:
    """What a host says when it is called: it fails, it asks, it answers."""
    spec = TaskSpec(type="mcp.call", input=msgspec.Raw(json.dumps({"text": ENDLESS}).encode()))
    asked: dict[str, Any] = {"kind": QuestionKind.INPUT, "message": SAID, "schema": SCHEMA}
    answer = inline(json.dumps(ANSWER).encode())
    return [
        make.created(user, "asks", spec=spec),
        make.routed(user, "asks"),
        make.signed(user, "asks"),
        make.failed(user, "asks", message=ENDLESS),
        make.asked(user, "asks", url="javascript:ran()", **asked),
        make.created(user, "answered"),
        make.routed(user, "answered"),
        make.signed(user, "answered"),
        make.done(user, "answered", result=answer, host="h1", attempt=1, remarks=(SAID,)),
    ]


@pytest_asyncio.fixture(loop_scope="session")
async def watching(one: World, chromium: Browser) -> AsyncIterator[Looking]:
    """Somebody who sees every page, in a browser that notes what runs and what is blocked."""
    user = await added(one, roles=("admin", "auditor"))
    page = await chromium.new_page()
    await page.add_init_script(WATCHED)
    found = Looking(page, one.url, user)
    await found.sign_in(PASSWORD)
    yield found
    await page.close()


async def test_whatever_a_host_says_is_text_on_every_page(one: World, watching: Looking) -> None:
    page, user = watching.page, watching.user
    await one.append(*said_of_host(), *said_of_tasks(user))
    await one.settled()
    places = ["/hosts/h1", "/tasks/asks", "/tasks/answered", "/live?of=all"]
    await watching.go("/tasks/asks")
    news = Progress(user, "asks", 1, 0.5, 1.0, ENDLESS)
    one.site.feed.progress(user, "asks", msgspec.json.encode(news))
    for path in [*await watching.pages(), *places]:
        await watching.go(path)
        await page.wait_for_load_state("networkidle")
        for wide in (1440, 390):
            await page.set_viewport_size({"width": wide, "height": 900})
            across = "document.documentElement.scrollWidth <= innerWidth"
            assert await page.evaluate(across), (path, wide)
        await page.evaluate(OPENED)
        await page.keyboard.press("?")
        await page.wait_for_selector("dialog[open]")
        assert "MetaMCP" in await page.title(), path
        ours = "main script, main iframe, main [onerror], main a[href^='javascript']"
        assert await page.query_selector(ours) is None, path
        assert await page.evaluate("happened") == [], path
        assert await page.evaluate("document.body.innerText.length") < 3_000_000, path
    await watching.go("/tasks/answered")
    for words in (SHOWN, MARKUP):
        await watching.says(words)
    # No router runs here, which the page of the queue is told.
    assert [wrong for wrong in watching.wrong if "503" not in wrong] == []


async def test_a_script_in_the_page_does_not_run_and_is_told(watching: Looking) -> None:
    page = watching.page
    await page.evaluate(
        """() => {
        const script = document.createElement("script");
        script.textContent = "ran()";
        const image = document.createElement("img");
        image.setAttribute("onclick", "ran()");
        const link = Object.assign(document.createElement("a"), { href: "javascript:ran()" });
        document.body.append(script, image, link);
        image.click();
        link.click();
    }"""
    )
    await watching.until("happened.length >= 3")
    assert set(await page.evaluate("happened")) == {"script-src-elem", "script-src-attr"}
    assert all("Content Security Policy" in wrong for wrong in watching.wrong)
