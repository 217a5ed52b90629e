"""`metamcp link`, `unlink` and `accounts` against a real gateway; a token is never shown."""

from __future__ import annotations

import asyncio
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
from services.cli.common import Exit
from tests.support.nats import NatsServer
from tests.unit.cli.gateway import Gateway
from tests.unit.cli.linked import Linked, linked, metamcp

TOKEN = "hf_secretsecretsecretsecretsecret"
PROMPTED = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from services.cli.app import main
main(["link", "huggingface"])
"""


@pytest.fixture
async def real(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Linked]:
    async with linked(fresh_nats, tmp_path, monkeypatch) as parts:
        yield parts


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put this on standard input, which is no terminal."""
    stdin = SimpleNamespace(buffer=io.BytesIO(text.encode()), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)


async def test_an_account_is_linked_listed_checked_and_unlinked(
    real: Linked, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert await metamcp("accounts") == Exit.OK
    assert "metamcp link huggingface" in capsys.readouterr().out
    token = real.hub.account("ann")
    file = tmp_path / "token"
    file.write_text(f"  {token}\n")
    assert await metamcp("link", "huggingface", "--token-file", str(file)) == Exit.OK
    printed = capsys.readouterr()
    assert printed.out == "huggingface: ann is linked (write)\n"
    assert printed.err == ""
    assert await metamcp("accounts", "--check") == Exit.OK
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["provider", "account", "linked", "since", "scopes", "check"]
    assert row.split()[:2] == ["huggingface", "ann"]
    assert row.split()[-2:] == ["write", "ok"]
    assert await metamcp("unlink", "huggingface") == Exit.OK
    assert capsys.readouterr().out == "huggingface is linked no more\n"
    assert await metamcp("unlink", "huggingface") == Exit.OK
    assert capsys.readouterr().out == "huggingface was not linked\n"


async def test_json_is_what_the_gateway_answered(
    real: Linked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def printed(*arguments: str, code: Exit = Exit.OK) -> Any:
        assert await metamcp(*arguments, "--json") == code
        return json.loads(capsys.readouterr().out)

    assert await printed("accounts") == []
    token = real.hub.account("ann")
    typed(monkeypatch, token)
    account = await printed("link", "huggingface", "--token-file", "-")
    assert (account["name"], account["scopes"]) == ("ann", ["write"])
    assert await printed("accounts") == [account]
    assert await printed("accounts", "--check") == [account | {"check": "ok"}]
    real.hub.revoke(token)
    (revoked,) = await printed("accounts", "--check", code=Exit.FAILED)
    assert revoked["check"] not in ("", "ok")
    assert token not in json.dumps(revoked)
    answer = await printed("unlink", "huggingface")
    assert answer == {"provider": "huggingface", "linked": True}


async def test_a_token_that_can_only_read_is_remarked_on(
    real: Linked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, real.hub.account("ann", role="read"))
    assert await metamcp("link", "huggingface", "--token-file", "-") == Exit.OK
    assert "can't write" in capsys.readouterr().err


async def test_a_token_that_is_not_accepted_is_refused_and_not_shown(
    real: Linked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, TOKEN)
    assert await metamcp("link", "huggingface", "--token-file", "-") == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert TOKEN not in printed.err


async def test_a_token_is_asked_for_without_an_echo(real: Linked) -> None:
    token = real.hub.account("ann")
    code, shown = await asyncio.to_thread(prompted, "Token (it is not shown)", token)
    assert code == Exit.OK, shown
    assert "huggingface.co/settings/tokens" in shown
    assert "ann is linked" in shown
    assert token not in shown


def prompted(prompt: str, text: str) -> tuple[int, str]:
    """Type the text at the prompt of a command on a terminal; its exit code, and all it shows."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROMPTED],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"TERM": "dumb"},
    )
    os.close(slave)
    try:
        shown = _answer(master, prompt, text)
        return process.wait(50), shown
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _answer(terminal: int, prompt: str, text: str) -> str:
    """Read to the end what stands on the terminal, and type the text at the prompt."""
    shown = ""
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            # Nobody has the other side any more.
            return shown
        if not data:
            return shown
        before, shown = shown, shown + data.decode(errors="replace")
        if prompt in shown and prompt not in before:
            os.write(terminal, text.encode() + b"\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["link", "huggingface", TOKEN],
        ["link", "huggingface", "--token", TOKEN],
        ["link", "github", TOKEN, "--token-file", "nowhere"],
        ["link", TOKEN],
        ["unlink", TOKEN],
    ],
)
def test_a_token_as_an_argument_is_neither_used_nor_shown(
    known: Gateway, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert TOKEN not in printed.err
    assert known.asked == []


@pytest.mark.parametrize("text", ["", " \n", "two words", "tökén", "x" * 5000])
def test_what_is_no_token_is_never_sent(
    known: Gateway, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, text)
    Path("token").write_text(text)
    for file in ("-", "token"):
        assert execute(["link", "github", "--token-file", file]) == Exit.USAGE
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "token" in printed.err
        assert not text.strip() or text.strip() not in printed.err
    assert known.asked == []


def test_without_a_terminal_or_a_file_it_is_said_how_to_give_the_token(
    known: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, TOKEN)
    assert execute(["link", "huggingface"]) == Exit.USAGE
    assert "--token-file" in capsys.readouterr().err
    assert execute(["link", "huggingface", "--token-file", "nowhere"]) == Exit.USAGE
    assert "nowhere can't be read" in capsys.readouterr().err
    assert known.asked == []


def test_the_token_is_all_that_is_sent(known: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    account = {"provider": "github", "name": "ann", "linked_at": 1.0}
    known.ok("PUT /api/accounts/github", account)
    typed(monkeypatch, f"{TOKEN}\n")
    assert execute(["link", "github", "--token-file", "-"]) == Exit.OK
    assert known.asked == [("PUT /api/accounts/github", "", {"token": TOKEN})]
