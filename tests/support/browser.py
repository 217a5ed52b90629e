"""Debian's Chromium, driven by Playwright. Where there is none, the tests are skipped aloud."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

NONE_HERE = "the console was not looked at: there is no Chromium (apt install chromium)"
SERIOUS = {"serious", "critical"}
EXPECTED = ("401", "404")
"""What a page logs whose visitor has to sign in first, or asks for what is not there."""


def program() -> str | None:
    """Where it is; None: nowhere."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextlib.asynccontextmanager
async def browser(*arguments: str) -> AsyncIterator[Browser]:
    """A browser without anything in it, started with these arguments besides."""
    path = program()
    if path is None:
        pytest.skip(NONE_HERE)
    async with async_playwright() as driver:
        words = ["--no-sandbox", *arguments]
        one = await driver.chromium.launch(executable_path=path, args=words)
        try:
            yield one
        finally:
            await one.close()


@contextlib.asynccontextmanager
async def visiting(chromium: Browser, url: str, user: str = "") -> AsyncIterator[Looking]:
    """A page of its own, in which nobody has signed in yet; at the end nothing was wrong in it."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 800})
    try:
        found = Looking(await context.new_page(), url, user)
        yield found
        assert found.wrong == []
    finally:
        await context.close()


class Looking:
    """A page, and what went wrong in it."""

    def __init__(self, page: Page, url: str, user: str) -> None:
        self.page = page
        self.user = user
        """Who signs in."""
        self.url = url
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        expected = any(status in message.text for status in EXPECTED)
        if message.type in ("error", "warning") and not expected:
            self.wrong.append(message.text)

    async def sign_in(self, password: str, path: str = "/console") -> None:
        """Come in by the page for people."""
        await self.page.goto(self.url + path)
        await self.page.fill("input[name=user]", self.user)
        await self.page.fill("input[name=password]", password)
        await self.page.click("button")
        await self.page.wait_for_selector("main h1")

    async def go(self, path: str) -> None:
        """Open a page of the console."""
        await self.page.goto(f"{self.url}/console{path}")
        await self.page.wait_for_selector("main h1")

    async def pages(self) -> list[str]:
        """Paths of the pages that whoever has signed in is offered, below `/console`."""
        found = await self.page.eval_on_selector_all(
            "header nav a", "links => links.map((link) => new URL(link.href).pathname)"
        )
        return [path.removeprefix("/console") for path in found if path.startswith("/console")]

    async def until(self, condition: str) -> None:
        """Wait until this expression holds in the page."""
        # As a function: the page's policy lets nobody evaluate text.
        await self.page.wait_for_function(f"() => {condition}")

    async def says(self, words: str, selector: str = "main") -> None:
        """Wait until these words can be read there."""
        await expect(self.page.locator(selector)).to_contain_text(words, use_inner_text=True)

    async def text(self, selector: str = "main") -> str:
        """What can be read there now."""
        return await self.page.inner_text(selector)

    async def barriers(self) -> list[str]:
        """What keeps people out who don't see or use a mouse, as axe finds it."""
        found = await Axe().run(self.page)
        return [
            f"{one['id']}: {one['nodes'][0]['html']}"
            for one in found.response["violations"]
            if one["impact"] in SERIOUS
        ]
