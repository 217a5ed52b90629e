"""The page in docs/examples: its rules, and its script in node against a real gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.bus.bus import Bus
from services.gateway.settings import Settings
from tests.support import facts
from tests.unit.gateway.world import World, world

PAGE = Path(__file__).resolve().parents[4] / "docs/examples/browser.html"
HAS_SOCKETS = "process.exit(typeof WebSocket === 'function' && typeof fetch === 'function' ? 0 : 1)"
# What the script asks of a page, printed as it happens; fetch and WebSocket are node's own.
BROWSER = """
const [file, url, token] = process.argv.slice(1);
const script = require("fs").readFileSync(file, "utf8").match(/<script>([^]*)<\\/script>/)[1];
const print = (kind, text) => console.log(JSON.stringify([kind, text]));
const form = { elements: { url: { value: url + "/" }, token: { value: token } } };
const ol = { children: [] };
ol.prepend = (line) => print("fact", line.textContent);
ol.replaceChildren = () => print("cleared", "");
let said = "";
const p = {
  get textContent() { return said; },
  set textContent(text) { print("note", said = text); },
};
const parts = { form, ol, p, button: {} };
globalThis.document = { querySelector: (name) => parts[name], createElement: () => ({}) };
new Function(script)();
form.onsubmit({ preventDefault() {} });
"""


class Page:
    """The page as it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def until(self, kind: str, text: str = "") -> list[str]:
        """Read up to what begins so; the facts shown on the way, and `cleared`."""
        seen: list[str] = []
        assert self.process.stdout is not None
        async with asyncio.timeout(40):
            while True:
                line = await self.process.stdout.readline()
                assert line, "the page has ended"
                got, what = json.loads(line)
                if got != "note":
                    seen.append(" ".join(what.split()[:1]) or got)
                if got == kind and what.startswith(text):
                    return seen


@pytest.fixture(scope="module")
def node() -> list[str]:
    """The command that runs scripts with a browser's fetch and WebSocket."""
    if (found := shutil.which("node")) is None:
        pytest.skip("node is not installed: the page's script was not run")
    for command in ([found], [found, "--experimental-websocket"]):
        if subprocess.run([*command, "-e", HAS_SOCKETS], capture_output=True).returncode == 0:
            return command
    pytest.skip("this node has no WebSocket (22 or newer has): the page's script was not run")


@contextlib.asynccontextmanager
async def page(node: list[str], url: str, token: str) -> AsyncIterator[Page]:
    process = await asyncio.create_subprocess_exec(
        *node, "-e", BROWSER, str(PAGE), url, token, stdout=PIPE
    )
    try:
        yield Page(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_page_follows_resumes_and_starts_over(gateway: World, node: list[str]) -> None:
    streams = gateway.site.streams
    await gateway.append(facts.created("alice", "t"), facts.created("bob", "other"))
    async with page(node, gateway.url, "alice-token") as one:
        assert await one.until("fact", "1") == ["cleared", "1"]
        streams.shut_all(4000, "stopping")
        await gateway.append(facts.signed("alice", "t"))
        assert await one.until("fact", "3") == ["3"], "not resumed behind the last fact"
        await gateway.append(facts.done("alice", "t"))
        assert await one.until("fact", "4") == ["4"]
        first = gateway.log.epoch
        gateway.log._epoch = streams.epoch = "another"
        streams.shut_all(4001, "the log is another one")
        assert await one.until("cleared") == ["cleared"]
        assert await one.until("fact", "4") == ["1", "3", "4"]
        gateway.log._epoch = first  # what the page resumes with now can't be promised
        streams.shut_all(4000, "stopping")
        assert await one.until("cleared") == ["cleared"]
        assert await one.until("fact", "4") == ["1", "3", "4"]


async def test_the_page_stops_when_it_is_refused(gateway: World, node: list[str]) -> None:
    async with page(node, gateway.url, "no-such-token") as one:
        assert await one.until("note", "cut off (401): check the token") == []
        async with asyncio.timeout(40):
            assert await one.process.wait() == 0
    async with page(node, gateway.url, "bob-token") as one:
        await one.until("note", "live")
        gateway.site.streams.shut_all(4401, "the token has expired")
        await one.until("note", "cut off (4401): check the token")


def test_the_page_is_small_and_takes_nothing_from_outside() -> None:
    text = PAGE.read_text()
    (script,) = re.findall(r"<script>\n(.*?)</script>", text, re.DOTALL)
    assert len(script.splitlines()) < 40
    assert "default-src 'none'" in text
    assert not re.search(r"\b(src|href)\s*=|@import|url\(|\bimport\b|localStorage|innerHTML", text)


async def test_the_page_may_be_opened_as_a_file_where_that_is_allowed(
    tmp_path: Path, bus: Bus
) -> None:
    settings = Settings(port=0, rate_limit_requests=0, allowed_origins=("null", "file://"))
    ask = {
        "origin": "null",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    async with world(tmp_path, bus, settings) as gateway:
        async with gateway.http(None) as client:
            said = await client.options("/api/auth/ticket", headers=ask)
            assert said.headers["access-control-allow-origin"] == "null"
        for origin in settings.allowed_origins:
            async with gateway.stream(origin=origin) as one:
                assert (await one.receive())["op"] == "hello"
