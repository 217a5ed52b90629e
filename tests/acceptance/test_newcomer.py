"""From the first start to a scanned repository by the documents alone: their commands as they stand
there, typed into a terminal, and their pages as a browser shows them."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.process.files import free_port
from services.up import up
from tests.acceptance.test_cli_folders import APP, READY_S
from tests.acceptance.test_repository import OTHERS
from tests.support.github.server import GitHubServer, github_server
from tests.support.github_sign_in import CLIENT, SECRET, GitHubOAuth, github_oauth
from tests.support.oauth_browser import PASSWORD, Browser, ReadForm, browsing
from tests.support.system import System, until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]
ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0
HTML = {"Accept": "text/html,*/*;q=0.8"}


def lines(page: str, with_: str) -> list[str]:
    """The commands of the one block of a page that has this one, without their remarks."""
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (block,) = (one for one in blocks if with_ in one)
    return [line.partition("  #")[0].strip() for line in block.splitlines()]


class Person:
    """Somebody with a terminal in a folder, a home and a browser of their own."""

    def __init__(self, work: Path, home: Path, browser: Browser) -> None:
        self.work, self.home, self.browser = work, home, browser
        self.typed: dict[str, str] = {"assword": PASSWORD, "The same again": PASSWORD}
        """What they answer when they are asked."""
        home.mkdir()
        tool = home / "metamcp"
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m services.cli "$@"\n')
        tool.chmod(0o755)

    async def types(self, line: str) -> tuple[int, str, str]:
        """Run a line in a shell of a terminal, and answer what it asks."""
        keyboard, terminal = pty.openpty()
        left_out = ("METAMCP_", "XDG_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
        try:
            process = await asyncio.create_subprocess_exec(
                *("sh", "-c", line),
                stdin=terminal,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self.work,
                env=inherited
                | {
                    "HOME": str(self.home),
                    "PATH": f"{self.home}:{os.environ['PATH']}",
                    "PYTHONPATH": str(ROOT),
                    "no_proxy": "127.0.0.1",
                },
                start_new_session=True,
            )
            async with asyncio.timeout(PATIENCE_S):
                out, err = await asyncio.gather(
                    process.stdout.read(),  # type: ignore[union-attr]
                    self._answers(process.stderr, keyboard),
                )
                return await process.wait(), out.decode(), err
        finally:
            os.close(keyboard)
            os.close(terminal)

    async def _answers(self, asks: Any, keyboard: int) -> str:
        said, asked = "", ""
        while part := await asks.read(4096):
            said, asked = said + part.decode(), asked + part.decode()
            if asked.endswith(": "):
                (answer,) = {text for words, text in self.typed.items() if words in asked}
                os.write(keyboard, f"{answer}\n".encode())
                asked = ""
            elif asked.rpartition("\n")[2] == "" and "Open http" in asked:
                address = re.findall(r"Open (\S+) and let in", asked)[0]
                asked = ""
                await self.lets_in(address)
        return said

    async def does(self, *commands: str) -> list[str]:
        """Run lines that work; the answers are what they print."""
        told = []
        for line in commands:
            code, out, err = await self.types(line)
            assert code == 0, (line, out, err)
            told.append(out)
        return told

    async def is_seen_as(self) -> str:
        """Who has signed in with the browser, as the console asks for it."""
        answer = await self.browser.http.get(f"{self.browser.gateway}/api/me")
        return str(answer.json()["data"]["user"])

    async def opens(self, url: str) -> httpx.Response:
        """Go to an address with the browser, and wherever that leads."""
        http, gateway = self.browser.http, self.browser.gateway
        answer = await http.get(url, headers=HTML)
        while answer.is_redirect or ReadForm(answer.text).action == "/signin":
            if answer.is_redirect:
                where = str(answer.url.join(answer.headers["location"]))
                answer = await http.get(where, headers=HTML)
                continue
            form = ReadForm(answer.text)
            done = await self.browser.post(form, user=self.browser.user, password=PASSWORD)
            assert done.status_code == 200, done.text
            answer = await http.get(gateway + ReadForm(done.text).goes, headers=HTML)
        return answer

    async def presses(self, page: httpx.Response, **button: str) -> httpx.Response:
        """Send the form of a page; one without an address of its own comes back to the page's."""
        form = ReadForm(page.text)
        form.action = form.action or page.url.raw_path.decode()
        return await self.browser.post(form, **button)

    async def lets_in(self, url: str) -> None:
        page = await self.opens(url)
        assert f"<b>{self.browser.user}</b>" in page.text
        done = await self.presses(page, do="allow")
        assert "It is let in" in done.text, done.text


class Place:
    """Everything that is there before anybody has typed anything."""

    def __init__(self, one: System, github: GitHubServer, sign_in: GitHubOAuth, work: Path) -> None:
        self.one, self.github, self.sign_in, self.work = one, github, sign_in, work


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    work = tmp_path_factory.mktemp("work")
    async with AsyncExitStack() as stack:
        github = await stack.enter_async_context(github_server())
        sign_in = await stack.enter_async_context(github_oauth(github))
        sign_in.people = {1: {"login": "ann", "name": "Ann"}, 2: {"login": "ben", "name": None}}
        variables = {
            "METAMCP_REGISTRY_DISABLED": OTHERS,
            "METAMCP_GATEWAY_GITHUB_URL": github.url,
            "METAMCP_GATEWAY_GITHUB_WEB_URL": sign_in.url,
            "METAMCP_GATEWAY_GITHUB_CLIENT_ID": CLIENT,
            "METAMCP_GATEWAY_GITHUB_CLIENT_SECRET": SECRET,
        }
        # In ./.metamcp, where commands look; on a port that is known before, as 8080 is.
        port = free_port("127.0.0.1")
        plan = up.Plan(data=work / ".metamcp", port=port, variables=variables)
        one = System(await stack.enter_async_context(up.start(plan)), work / "nothing")
        stack.push_async_callback(one.http.aclose)

        async def ready() -> bool:
            hosts = (await one.get("/api/mcps")).json()["data"]
            well = [host for host in hosts if host["health"]["status"] in ("healthy", "warning")]
            return any("security_scan" in host["task_types"] for host in well)

        await until(ready, seconds=READY_S)
        yield Place(one, github, sign_in, work)


async def test_a_newcomer_gets_from_the_first_start_to_a_scanned_repository(
    place: Place, tmp_path: Path
) -> None:
    url = place.one.url
    async with browsing("ann", url) as hers, browsing("ben", url) as his:
        ann, ben = (
            Person(place.work, tmp_path / "ann", hers),
            Person(place.work, tmp_path / "b", his),
        )
        await accounts(ann, url)
        await another_comes(place, ann, ben)
        await links(place, ann)
        await project(place, ann, ben)
        await trail(ann)


async def accounts(ann: Person, url: str) -> None:
    """docs/accounts.md: the first admin, and what she does with accounts."""
    first = await ann.does(*lines("docs/accounts.md", "metamcp user add ann --admin"))
    remark = re.search(r"^metamcp whoami +# (.*)$", (ROOT / "docs/accounts.md").read_text(), re.M)
    assert remark is not None
    assert first[-1].strip() == remark[1].replace("http://127.0.0.1:8080", url)
    more = await ann.does(*lines("docs/accounts.md", "metamcp user add bob"))
    assert re.search(r"bob +user", more[1])
    assert "(this one)" in more[4]
    assert more[5].startswith("mtm_")


async def another_comes(place: Place, ann: Person, ben: Person) -> None:
    """docs/signin.md: Ben is invited, signs in with GitHub, and lets his command line in."""
    invited, listed = await ann.does(*lines("docs/signin.md", "metamcp user invite ben"))
    assert "ben" in listed
    place.sign_in.who = 2
    await ben.opens(invited.strip())
    assert await ben.is_seen_as() == "ben"
    assert (await ben.does("metamcp login --device"))[0] == f"signed in as ben at {place.one.url}\n"


async def links(place: Place, ann: Person) -> None:
    """docs/signin.md: Ann's account at GitHub becomes a way in of hers, and her linked account."""
    place.sign_in.who = 1
    (link, look) = lines("docs/signin.md", "metamcp identities link github")
    (address,) = await ann.does(link)
    page = await ann.opens(address.strip())
    assert "Whoever signs in with the account at GitHub" in page.text
    away = await ann.presses(page)
    await ann.opens(away.headers["location"])
    assert await ann.is_seen_as() == "ann"
    identities, linked = await ann.does(look, "metamcp accounts --check")
    assert re.search(r"github +ann", identities)
    assert re.search(r"github +ann .* ok", linked)


async def project(place: Place, ann: Person, ben: Person) -> None:
    """docs/projects.md: a project of two, a repository and a folder scanned in it."""
    repo = place.github.repo("ann", "shop", private=True)
    commit = repo.commit({"src/app.py": APP.encode(), "setup.py": b"eval(input())\n"})
    repo.tags["v1.2"] = commit.sha
    (place.work / "src").mkdir()
    (place.work / "src" / "app.py").write_text(APP)
    made = await ann.does(*lines("docs/projects.md", "metamcp project create shop"))
    assert "ann/shop" in made[-1]
    ann.typed["Token"] = place.github.account("ann")
    linked, *scans = await ann.does(*lines("docs/projects.md", "metamcp link github"))
    assert "ann is linked" in linked
    assert all("python-os-system" in scan and "python-eval-exec" in scan for scan in scans)
    submit, tasks, results = lines("docs/projects.md", "--file src --project shop")
    (task,) = (await ben.does(f"{submit} --wait --json"))[0].splitlines()[-1:]
    assert '"succeeded"' in task
    (listed, kept) = await ann.does(tasks, results)
    (id_,) = re.findall(r"^(\S+) +ben ", listed, re.MULTILINE)
    assert id_ in kept
    look = [one.replace("ID", id_) for one in lines("docs/projects.md", "metamcp task ID --user")]
    shown, found = await ann.does(*look)
    assert "asked for by" in shown
    assert "python-os-system" in found
    why, audited = await ben.does(f"metamcp task {id_} --why", f"metamcp audit {id_}")
    assert re.search(r"asked for by session:", why)
    assert "asked for by session:" in audited
    await ann.does(*lines("docs/projects.md", "--quota open_tasks=100"))


async def trail(ann: Person) -> None:
    """docs/access.md: what she has done stands there, with what she did it."""
    _, follow, mine = lines("docs/access.md", "metamcp access --since 7d")
    assert "--follow" in follow
    told = await ann.does("metamcp access --since 7d --outcome refused", mine)
    assert "Nothing of that was noted" not in told[1]
    for kind in ("sign_in", "identity.linked", "project.changed", "token.issued"):
        assert kind in told[1], kind
    assert "by session:" in told[1]
