"""One task in a real browser: its audit, what went in and what came out."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.async_api import expect

from contracts.facts import AnyFact, FailureKind, JobSigned, TaskCreated
from contracts.result import inline
from contracts.task import TaskSpec
from services.keys.permits import SigningKey, verify
from services.router.audits import RouteAudits
from services.router.settings import Settings
from tests.support import facts as make
from tests.support.browser import Looking
from tests.support.nats import NatsServer
from tests.unit.cli import story as stories
from tests.unit.cli.story import Story, retried
from tests.unit.contracts.test_sarif import finding
from tests.unit.gateway.console.test_browser import host
from tests.unit.gateway.peopled import ADMIN
from tests.unit.gateway.world import World

pytestmark = pytest.mark.timeout(120)
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c63f8cfc0f01f0005000201ff5f8d5d0000000049454e44ae426082"
    )
).decode()
SCAN = {
    "findings": [
        finding(message="<img src=x> is text"),
        finding(severity="INFO", rule="b-1", path="z.py"),
    ],
    "engines": [{"name": "semgrep", "version": "1"}],
}
SARIF = {
    "version": "2.1.0",
    "runs": [{"results": [{"ruleId": "S1", "level": "error", "message": {"text": "bad"}}]}],
}


def story_of(user: str, patched: pytest.MonkeyPatch) -> Story:
    """A minute ago, by this user."""
    patched.setattr(stories, "START", time.time() - 60)
    patched.setattr(stories, "USER", user)
    return retried()


def forged(first: Story, patched: pytest.MonkeyPatch) -> Story:
    """Another task, whose permit somebody else has signed in the name of the key."""
    patched.setattr(stories, "TASK", "t2")
    story = Story.__new__(Story)
    story.records = list(first.records)
    who = story.who("gateway-1")
    story.add(TaskCreated(**who, user=stories.USER, task="t2", spec=stories.SPEC))
    host = story.route()
    true = story.sign(host).fact
    assert isinstance(true, JobSigned)
    stranger = SigningKey(rsa.generate_private_key(65537, 2048))
    stranger._head = stories.key()._head
    permit = stranger.sign(verify(true.permit, stories.key().jwk))
    story.records[-1] = story._rewritten(story.records[-1], {"permit": permit})
    story.succeed(host)
    return story


async def ended(one: World, user: str, task: str, value: Any) -> None:
    """A task with this answer."""
    spec = TaskSpec(type="t.x", input=msgspec.Raw(b'{"deep":{"list":[1,2],"word":"w"},"n":null}'))
    result = inline(json.dumps(value).encode())
    await one.append(
        make.created(user, task, spec=spec),
        make.routed(user, task),
        make.signed(user, task),
        make.done(user, task, attempt=1, host="h1", result=result),
    )


async def test_a_true_task_holds_and_a_forged_permit_does_not(
    one: World, looking: Looking, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await one.log.head() == 0
    story = forged(story_of(looking.user, monkeypatch), monkeypatch)
    facts: list[AnyFact] = [record.fact for record in story.records]  # type: ignore[misc]
    await one.append(*facts)
    await one.settled()
    page = looking.page
    async with nats_server.connected("router") as router:
        audits = RouteAudits(one.log, Settings())
        await router.serve("router", "1.0.0", {"recompute": audits.answer})
        await looking.go("/tasks/t1")
        await page.click("text=Audit this task")
        await page.wait_for_selector("text=Every check holds")
        await expect(page.locator(".checks .ok")).to_have_count(8)
        await looking.says("2 valid signatures", ".checks >> nth=0")
        assert await looking.barriers() == []
        # What is seen has an address.
        assert "audit=yes" in page.url
        await looking.go("/tasks/t2?audit=yes&facts=full")
        await page.wait_for_selector("text=By a router")
        await expect(page.locator(".checks .wrong b")).to_have_text(["permits"])
        wrong = await looking.text(".checks .wrong .what")
        assert wrong == "permit 1: the permit is not valid: Signature verification failed"
        assert "✗ permits: this check does not hold." in await looking.text(
            "[role=status]:has(.bad)"
        )
    lanes = page.locator(".attempts .lane")
    await expect(lanes).to_have_count(1)
    await looking.go("/tasks/t1")
    await expect(lanes).to_have_count(2)


async def test_without_webcrypto_nothing_is_said_to_be_checked(
    one: World, looking: Looking
) -> None:
    await ended(one, looking.user, "t1", {"x": 1})
    await one.settled()
    await looking.page.add_init_script(
        "Object.defineProperty(crypto, 'subtle', {value: undefined})"
    )
    await looking.go("/tasks/t1?audit=yes")
    await looking.page.wait_for_selector("text=plain HTTP from another machine")
    assert await looking.page.locator(".checks").count() == 0


async def goes_by_the_keyboard(looking: Looking) -> None:
    """The tree of the input."""
    page = looking.page
    tree = page.locator("[role=tree][aria-label=Input]")
    await expect(tree.locator("[role=treeitem]")).to_have_count(3)
    await tree.locator("[role=treeitem]").first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "Enter", "ArrowDown"):
        await page.keyboard.press(key)
    await looking.until("document.activeElement.textContent.trim() === '0: 1'")
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowLeft")
    await expect(tree.locator("[role=treeitem]")).to_have_count(5)


async def test_what_came_out_is_shown_as_what_it_is(
    one: World, looking: Looking, tmp_path: Path
) -> None:
    user, page = looking.user, looking.page
    sarif = {"content": [{"type": "text", "text": json.dumps(SARIF)}]}
    for task, value in (("scan", SCAN), ("sarif", sarif)):
        await ended(one, user, task, value)
    await one.settled()

    await looking.go("/tasks/scan")
    rows = page.locator(".findings tbody tr")
    await rows.first.wait_for()
    assert await rows.first.locator("td").all_inner_texts() == [
        "ERROR", "python-os-system", "src/a b.py:3", "<img src=x> is text",
    ]  # fmt: skip
    await page.click("button:has-text('1 INFO')")
    await expect(rows).to_have_count(1)
    async with page.expect_download() as saving:
        await page.click("text=Download SARIF")
    await (await saving.value).save_as(tmp_path / "x.sarif")
    found = json.loads((tmp_path / "x.sarif").read_text())
    assert [one["ruleId"] for one in found["runs"][0]["results"]] == ["python-os-system", "b-1"]
    assert await looking.barriers() == []

    await goes_by_the_keyboard(looking)

    await looking.go("/tasks/sarif")
    await rows.first.wait_for()
    assert await rows.first.locator("td").all_inner_texts() == ["error", "S1", "", "bad"]


async def test_pictures_and_texts_are_shown_and_the_rest_is_named(
    one: World, looking: Looking
) -> None:
    page = looking.page
    image = {"type": "image", "mimeType": "image/png", "data": PIXEL}
    text = {"type": "text", "text": "<script>words</script>"}
    torn = {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo="}
    sound = {"type": "audio", "mimeType": "audio/wav", "data": "UklGRg=="}
    for task, content in (
        ("seen", [image, text]),
        ("said", [text]),
        ("mixed", [torn, text, sound]),
    ):
        await ended(one, looking.user, task, {"content": content})
    await one.settled()
    await looking.go("/tasks/seen")
    await page.wait_for_function(
        "() => document.querySelector('.taskpage img')?.naturalWidth === 1"
    )
    await looking.says("<script>words</script>")
    await expect(page.locator("text=Show the whole answer")).to_have_count(0)
    await looking.go("/tasks/mixed")
    await page.wait_for_selector("text=A picture (image/png) that can't be shown")
    await looking.says("Also in the answer: audio (audio/wav).")
    await page.click("text=Show the whole answer")
    await page.wait_for_selector("[role=tree][aria-label='The whole answer']")
    await looking.go("/tasks/said?facts=json")
    await looking.says('"type": "task.created"', "pre[aria-label=Facts]")
    await looking.says("<script>words</script>", "pre[aria-label=Result]")


async def test_who_asks_has_not_failed(one: World, looking: Looking) -> None:
    user, page = looking.user, looking.page
    await one.append(
        make.created(user, "t1"),
        make.routed(user, "t1"),
        make.signed(user, "t1"),
        make.failed(user, "t1", kind=FailureKind.INPUT_REQUIRED, message="tool of h1 asks"),
        make.asked(user, "t1", 1, message="Who is it?"),
    )
    await one.settled()
    await looking.go("/tasks/t1")
    await page.wait_for_selector("text=Attempt 1 asked: Who is it?")
    await expect(page.locator(".attempts .status.input_required")).to_have_text(["asked"])
    await expect(page.locator(".attempts b")).to_have_text(["Attempt 1", "After attempt 1"])
    told = await looking.text()
    assert "Last attempt" not in told
    assert "None yet: it waits for an answer." in told
    await expect(page.locator(".bad, .status.failed")).to_have_count(0)
    assert await looking.barriers() == []


async def test_a_task_is_tagged_and_run_again_with_edits(one: World, looking: Looking) -> None:
    user, page = looking.user, looking.page
    call = msgspec.Raw(b'{"arguments":{"path":"a"},"tool":"read"}')
    spec = TaskSpec(type="mcp.call", host="h1", input=call, tags={"team": "red"})
    await one.append(host(), make.created(user, "t1", spec=spec), make.created(user, "t2"))
    await one.settled()

    await looking.go("/tasks/t1")
    await page.click("text=Edit tags")
    await page.fill("textarea[name=tags]", "team=blue\nnightly")
    # What happens to the task meanwhile takes nothing away that is being written.
    await one.append(make.routed(user, "t1"))
    await page.wait_for_selector("dt:text-is('Host')")
    await page.click("text=Save tags")
    await page.wait_for_selector(".tag:has-text('nightly')")
    await expect(page.locator(".tag")).to_have_text(["team=blue", "nightly"])

    # By the form of the tool; the input as JSON for everything else.
    await page.click("text=Run again")
    await page.fill("fieldset input[name=path]", "b")
    await page.select_option("select[name=priority]", "high")
    assert await looking.barriers() == []
    await page.click("form.again button.yes")
    await page.wait_for_selector("dd:has-text('t1 was run again')")
    made = page.url.rpartition("/")[2]
    await looking.go("/tasks/t2")
    await page.click("text=Run again")
    await page.fill("textarea[name=input]", "{")
    await page.click("form.again button.yes")
    await page.wait_for_selector("text=The input is no JSON")
    await page.fill("textarea[name=input]", '{"c": 3}')
    await page.click("form.again button.yes")
    await page.wait_for_selector("dd:has-text('t2 was run again')")
    other = page.url.rpartition("/")[2]
    async with one.http(ADMIN) as http:
        specs = [
            (await http.get(f"/api/tasks/{task}", params={"user": user})).json()["data"]["spec"]
            for task in (made, other)
        ]
    assert (specs[0]["host"], specs[0]["priority"]) == ("h1", "high")
    assert specs[0]["input"] == {"arguments": {"path": "b"}, "tool": "read"}
    assert specs[0]["tags"] == {"team": "blue", "nightly": ""}
    assert (specs[1]["again"], specs[1]["input"]) == ("t2", {"c": 3})
