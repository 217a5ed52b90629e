"""docs/github.md works as it is written: every command of it is run, in its order."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
from pathlib import Path

from services.github.shapes import blob_id
from tests.support.forked import command
from tests.support.github.server import github_server
from tests.support.nats import NatsServer
from tests.unit.gateway.hub_world import linked_world

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/github.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LOGO = bytes(range(256)) * 5000


def metamcp_in(folder: Path) -> Path:
    """A folder for PATH with the command in it."""
    tools = folder / "tools"
    tools.mkdir()
    script = tools / "metamcp"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command("services.cli"))} "$@"\n')
    script.chmod(0o755)
    return tools


async def test_every_command_of_the_page(fresh_nats: NatsServer, tmp_path: Path) -> None:
    tools = metamcp_in(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    (work / "notes.txt").write_text("first\n")
    async with (
        github_server() as github,
        linked_world(fresh_nats, tmp_path, github_url=github.url, rate_limit_requests=0) as gateway,
    ):
        (work / "token.txt").write_text(github.account("you"))
        environ = os.environ | {
            "METAMCP_URL": gateway.url,
            "METAMCP_TOKEN": "alice-token",
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "no_proxy": "127.0.0.1",
        }

        async def ran(block: str) -> str:
            shell = ["sh", "-eu", "-c", block]
            done = await asyncio.to_thread(
                subprocess.run, shell, cwd=work, env=environ, capture_output=True, check=False
            )
            assert done.returncode == 0, (block, done.stderr.decode())
            return done.stdout.decode()

        said = []
        for number, block in enumerate(BLOCKS):
            said.append(await ran(block))
            if number == 1:
                github.api.repos["you/app"].commit({"src/a.py": b"1", "src/logo.png": LOGO})
    assert len(said) == 5
    assert said[0].splitlines()[-1].startswith("you (You)")
    assert "you/app is made" in said[1]
    assert "# app" in said[2]
    assert (work / "logo.png").read_bytes() == LOGO
    repo = github.api.repos["you/app"]
    head, draft = (repo.commits[repo.branches[name]] for name in ("main", "draft"))
    assert head.files["hello.txt"].sha == blob_id(b"hello\n")
    assert draft.files["notes.txt"].sha == blob_id(b"first\nmore\n")
    assert repo.commits[draft.parents[0]].message == "Keep notes"
    assert '"src/logo.png"' in said[4]


def test_the_page_names_what_the_gateway_says() -> None:
    """The words of the table are those of the code."""
    code = "".join(
        path.read_text()
        for folder in ("services/github", "services/gateway/http")
        for path in (ROOT / folder).glob("*.py")
    )
    for words in (
        "GitHub does not accept this token",
        "GitHub does not allow this",
        "GitHub has nothing there that the linked account may see",
        "now: look at it, and name this as `sha`",
        "GitHub limits how often this account may ask: free again in",
        "GitHub has a fault",
        "whether the file was written is not known",
    ):
        assert words in PAGE
        assert words in code
