"""Opens an address as a person's browser does, for clients that start one: URL USER GATEWAY."""

from __future__ import annotations

import asyncio
import sys

from tests.support.oauth_browser import browsing


async def browse(url: str, user: str, gateway: str) -> None:
    async with browsing(user, gateway) as browser:
        back = await browser.visit(url)
        await browser.http.get(back)


if __name__ == "__main__":
    asyncio.run(browse(*sys.argv[1:]))
