"""Write every page of the console as it looks, light and dark, wide and narrow.

With `--readme` the pictures of the README alone.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.screens.stage import PASSWORD, USER, staged
from tests.support.browser import NONE_HERE, Looking, browser, program

ROOT = Path(__file__).resolve().parents[2]
ALL, README = ROOT / "build" / "screens", ROOT / "docs" / "screens"
SIZES = {"wide": (1440, 900), "narrow": (360, 780), "4k": (3840, 2160)}
SCHEMES = ("light", "dark")
BELOW = (
    *("/tasks/scan-003", "/tasks/parse-1", "/tasks/picture", "/tasks/review-0"),
    *("/hosts/scanner", "/hosts/reviewer", "/hosts/add", "/hosts/import", "/hosts/discover"),
)
"""Pages that no menu names, but what is on other pages."""
PICTURES = {
    "overview": ("", "dark"),
    "task": ("/tasks/scan-003?audit=yes", "light"),
    "hosts": ("/hosts", "light"),
    "tasks": ("/tasks", "dark"),
}
TO_WHY = """() => [...document.querySelectorAll("main h2")]
  .find((one) => one.textContent === "Why")?.scrollIntoView()"""
PICTURE_SIZE = {"width": 1280, "height": 800}
MOST_HEIGHT = 4000
MOST_BYTES = 200_000
TABS = "links => links.map((link) => new URL(link.href).pathname)"


async def main(*, readme: bool) -> int:
    """Start everything, look at everything; 1 where something was wrong."""
    if program() is None:
        print(NONE_HERE, file=sys.stderr)
        return 1
    for folder in (ALL, README):
        folder.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="screens-") as folder:
        async with staged(Path(folder)) as one, browser() as chromium:
            for scheme in SCHEMES:
                wrong += await look(chromium, one.url, scheme, readme=readme)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"screens: {len(list(ALL.glob('*.png')))} pictures in {ALL.relative_to(ROOT)}")
    return 1 if wrong else 0


async def look(chromium: Browser, url: str, scheme: str, *, readme: bool) -> list[str]:
    """Take all pictures in these colours; returns what was wrong."""
    context = await chromium.new_context(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    looking = Looking(await context.new_page(), url, USER)
    await looking.sign_in(PASSWORD)
    async for path in every(looking, [] if readme else [*await looking.pages(), *BELOW]):
        name = re.sub(r"\W+", "-", path.strip("/")) or "overview"
        for size, (width, height) in SIZES.items():
            await looking.page.set_viewport_size({"width": width, "height": height})
            await shoot(looking.page, ALL / f"{name}-{scheme}-{size}.png")
    for name, (path, wanted) in PICTURES.items():
        if wanted == scheme:
            await looking.page.set_viewport_size(PICTURE_SIZE)  # type: ignore[arg-type]
            await settled(looking, path)
            await looking.page.evaluate(TO_WHY)
            picture = README / f"{name}.png"
            await looking.page.screenshot(path=picture)
            if picture.stat().st_size > MOST_BYTES:
                looking.wrong.append(f"{picture.name} has more than {MOST_BYTES} bytes")
    await context.close()
    return looking.wrong


async def every(looking: Looking, left: list[str]) -> AsyncIterator[str]:
    """Each of these pages, with those of its own menu; one is there then."""
    await looking.page.set_viewport_size({"width": 1440, "height": 900})
    seen = set[str]()
    while left:
        path = left.pop(0)
        if path in seen:
            continue
        seen.add(path)
        await settled(looking, path)
        found = await looking.page.eval_on_selector_all("main nav a[href^='/console']", TABS)
        left = [one.removeprefix("/console") for one in found] + left
        yield path


async def settled(looking: Looking, path: str) -> None:
    """Go there, and wait until nothing is loaded any more."""
    await looking.go(path)
    await looking.page.wait_for_load_state("networkidle")


async def shoot(page: Page, path: Path) -> None:
    """The whole page, unless it is endless."""
    height = await page.evaluate("document.documentElement.scrollHeight")
    width = page.viewport_size["width"] if page.viewport_size else 0
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, MOST_HEIGHT)}
    await page.screenshot(path=path, full_page=True, clip=clip)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(asyncio.run(main(readme="--readme" in sys.argv)))
