"""`metamcp github` against a real gateway and the stand-in of GitHub."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli.app import execute
from services.cli.commands import github as commands
from services.cli.common import Exit
from services.github.shapes import blob_id
from tests.support.github.server import GitHubServer, github_server
from tests.support.nats import NatsServer
from tests.unit.cli.gateway import Gateway
from tests.unit.cli.linked import metamcp
from tests.unit.gateway.hub_world import linked_world

MIB = 1024 * 1024
Printed = pytest.CaptureFixture[str]


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)


@pytest.fixture
async def github(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GitHubServer]:
    """Alice's account there, ann, is linked."""
    monkeypatch.chdir(tmp_path)
    async with (
        github_server() as server,
        linked_world(fresh_nats, tmp_path, github_url=server.url, rate_limit_requests=0) as gateway,
    ):
        monkeypatch.setenv("METAMCP_URL", gateway.url)
        monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
        typed(monkeypatch, server.account("ann").encode())
        assert await metamcp("link", "github", "--token-file", "-") == Exit.OK
        yield server


async def test_whose_the_account_is(github: GitHubServer, capsys: Printed) -> None:
    capsys.readouterr()
    for words in (["github"], ["github", "user"]):
        assert await metamcp(*words) == Exit.OK
        assert capsys.readouterr().out == "ann (Ann), may: repo\n"
    assert await metamcp("github", "user", "--json") == Exit.OK
    assert json.loads(capsys.readouterr().out)["login"] == "ann"


async def test_repositories_are_listed_and_made(github: GitHubServer, capsys: Printed) -> None:
    capsys.readouterr()
    assert await metamcp("github", "repos") == Exit.OK
    assert "metamcp github create" in capsys.readouterr().out
    for n in range(5):
        github.repo("ann", f"r{n}", private=n == 0, description=f"Number {n}")
    words = ("github", "repos", "--sort", "full_name", "--limit", "2")
    assert await metamcp(*words) == Exit.OK
    printed = capsys.readouterr()
    assert "ann/r0" in printed.out
    assert "ann/r2" not in printed.out
    assert printed.err == "more: --limit 2 --cursor 2\n"
    assert await metamcp(*words, "--cursor", "3", "--json") == Exit.OK
    page = json.loads(capsys.readouterr().out)
    assert ([one["full_name"] for one in page["found"]], page["next_cursor"]) == (["ann/r4"], None)
    assert await metamcp(*words, "--all", "--json") == Exit.OK
    assert len(json.loads(capsys.readouterr().out)["found"]) == 5
    made = ("github", "create", "app", "--description", "Mine")
    assert await metamcp(*made) == Exit.OK
    assert capsys.readouterr().out == "ann/app is made: https://github.example/ann/app\n"
    assert github.api.repos["ann/app"].private
    assert await metamcp(*made) == Exit.REFUSED
    assert "name already exists" in capsys.readouterr().err
    assert await metamcp("github", "create", "open", "--public", "--empty") == Exit.OK
    opened = github.api.repos["ann/open"]
    assert (opened.private, opened.branches) == (False, {})


async def test_folders_files_and_branches(
    github: GitHubServer, capsys: Printed, tmp_path: Path
) -> None:
    repo = github.repo("ann", "app")
    first = repo.commit({"lib/a.py": b"print(1)\n", "README.md": "# Ü\n".encode()})
    repo.commit({"lib/a.py": b"print(2)\n"}, branch="fix/it")
    capsys.readouterr()
    assert await metamcp("github", "ls", "ann/app") == Exit.OK
    shown = capsys.readouterr().out
    assert "lib/" in shown
    assert "README.md" in shown
    assert await metamcp("github", "ls", "ann/app", "lib", "--json") == Exit.OK
    (entry,) = json.loads(capsys.readouterr().out)["found"]
    assert (entry["path"], entry["sha"]) == ("lib/a.py", blob_id(b"print(1)\n"))
    for ref, text in {"fix/it": "print(2)\n", first.sha[:9]: "print(1)\n"}.items():
        assert await metamcp("github", "cat", "ann/app", "lib/a.py", "--ref", ref) == Exit.OK
        assert capsys.readouterr().out == text
    assert await metamcp("github", "cat", "ann/app", "README.md", "--json") == Exit.OK
    file = json.loads(capsys.readouterr().out)
    assert base64.b64decode(file["content"]).decode() == "# Ü\n"
    assert await metamcp("github", "branches", "ann/app") == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["fix/it", "main"]
    assert first.sha in lines[-1]


async def test_a_big_file_is_written_whole(
    github: GitHubServer, capsys: Printed, tmp_path: Path
) -> None:
    content = bytes(range(256)) * (12 * MIB // 256)
    github.repo("ann", "app").commit({"big.bin": content})
    out = tmp_path / "out.bin"
    assert await metamcp("github", "cat", "ann/app", "big.bin", "-o", str(out)) == Exit.OK
    assert out.read_bytes() == content
    assert f"{len(content)} bytes written" in capsys.readouterr().err
    assert await metamcp("github", "cat", "ann/app", "big.bin", "--json") == Exit.USAGE
    assert "raw=true" in capsys.readouterr().err
    words = ("github", "cat", "ann/app", "big.bin", "-o", str(out), "--json")
    assert await metamcp(*words) == Exit.OK
    assert json.loads(capsys.readouterr().out)["size"] == len(content)
    nowhere = str(tmp_path / "none" / "x")
    assert await metamcp("github", "cat", "ann/app", "big.bin", "-o", nowhere) == Exit.FAILED
    assert "can't be written" in capsys.readouterr().err


async def test_a_file_is_put_and_a_conflict_is_told(
    github: GitHubServer, capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = github.repo("ann", "app")
    repo.commit({"README.md": b""})
    file = tmp_path / "new.py"
    file.write_bytes(b"print(1)\n")
    put = ("github", "put", "ann/app", "src/new.py")
    capsys.readouterr()
    assert await metamcp(*put, str(file)) == Exit.OK
    head = repo.branches["main"]
    assert capsys.readouterr().out == f"src/new.py is made by commit {head}\n"
    assert repo.commits[head].message == "Update src/new.py"
    assert await metamcp(*put, str(file)) == Exit.OK
    assert "has this content already" in capsys.readouterr().out
    typed(monkeypatch, b"print(2)\n")
    assert await metamcp(*put, "-", "-m", "Two", "--json") == Exit.OK
    assert json.loads(capsys.readouterr().out)["created"] is False
    typed(monkeypatch, b"print(3)\n")
    assert await metamcp(*put, "-", "--sha", blob_id(b"print(1)\n")) == Exit.REFUSED
    assert blob_id(b"print(2)\n") in capsys.readouterr().err
    typed(monkeypatch, b"print(4)\n")
    assert await metamcp(*put, "-", "--branch", "fix", "--create-from", "HEAD") == Exit.OK
    assert repo.commits[repo.branches["fix"]].message == "Update src/new.py"
    assert repo.commits[repo.branches["main"]].message == "Two"
    five = tmp_path / "five"
    five.write_bytes(bytes(5 * MIB))
    assert await metamcp("github", "put", "ann/app", "five", str(five)) == Exit.OK


async def test_odd_paths(github: GitHubServer, capsys: Printed) -> None:
    paths = ("a b&c=d.txt", "100%#?.md", "-x", "ü/+")
    github.repo("ann", "app").commit({path: path.encode() for path in paths})
    for path in paths:
        capsys.readouterr()
        assert await metamcp("github", "cat", "ann/app", path) == Exit.OK, path
        assert capsys.readouterr().out == path


async def test_without_an_account(
    github: GitHubServer, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAMCP_TOKEN", "bob-token")
    for words in (["user"], ["repos"], ["ls", "ann/app"], ["cat", "ann/app", "a"]):
        assert await metamcp("github", *words) == Exit.REFUSED
        assert "`metamcp link github`" in capsys.readouterr().err


async def test_what_github_refuses(github: GitHubServer, capsys: Printed) -> None:
    github.repo("ann", "app").commit({"lib/a": b"1"})
    assert await metamcp("github", "cat", "ann/app", "lib") == Exit.USAGE
    assert "is a folder" in capsys.readouterr().err
    assert await metamcp("github", "cat", "ann/app", "none") == Exit.REFUSED
    assert await metamcp("github", "ls", "ann/none") == Exit.REFUSED
    assert "linked account may see" in capsys.readouterr().err
    github.fail(429, "", Retry_After="90")
    assert await metamcp("github", "user") == Exit.REFUSED
    assert "free again in 90 s" in capsys.readouterr().err


def test_words_that_do_not_fit(known: Gateway, capsys: Printed, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(commands.MOST_PUT + 1))
    for words, said in {
        ("ls", "app"): "Write OWNER/NAME",
        ("cat", "ann/..", "a"): "Write OWNER/NAME",
        ("ls", "https://github.com/ann/app"): "Write OWNER/NAME",
        ("create", "ann/app"): "without your account's name",
        ("put", "ann/app", "a", str(tmp_path / "none")): "can't be read",
        ("put", "ann/app", "a", str(big)): "Push it with git",
        ("repos", "--sort", "size"): "size",
        ("cat", "ann/app"): "PATH",
    }.items():
        assert execute(["github", *words]) == Exit.USAGE, words
        assert said in capsys.readouterr().err, words
    assert known.asked == []


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"one\x1b[31m\ntwo", Exit.OK, "one\\x1b[31m"),
        (b"a\0b", Exit.USAGE, "is no text"),
    ],
)
async def test_what_plays_with_a_terminal_is_shown(
    github: GitHubServer, content: bytes, code: Exit, words: str
) -> None:
    github.repo("ann", "app").commit({"a": content})
    main, side = pty.openpty()
    command = [sys.executable, "-m", "services.cli", "github", "cat", "ann/app", "a"]
    root = str(Path(__file__).parents[3])

    def ran() -> Any:
        environ = os.environ | {"PYTHONPATH": root}
        return subprocess.run(command, env=environ, stdout=side, stderr=side, check=False)

    done = await asyncio.to_thread(ran)
    os.close(side)
    seen = b""
    try:
        while data := os.read(main, 65536):
            seen += data
    except OSError:
        pass
    os.close(main)
    assert done.returncode == code, seen
    assert words in seen.decode(), seen
