"""`metamcp login`, `user`, `sessions` and personal tokens, against a real gateway."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.cli import signed_in
from services.cli.app import execute
from services.cli.common import Exit
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.unit.gateway.peopled import PASSWORD, added, good, login, peopled
from tests.unit.gateway.world import World

Capture = pytest.CaptureFixture[str]


@pytest.fixture
async def real(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A gateway in whose data folder the client works, as nobody who has signed in."""
    data = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    async with nats_server.connected("gateway") as bus, peopled(data, bus) as one:
        write(data / "credentials/token", "admin-token\n", 0o600)
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_DATA", str(data))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        yield one


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "config/metamcp/sign-ins.json"


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts lines on standard input."""

    def put(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    put()
    return put


async def metamcp(*arguments: str) -> int:
    return await asyncio.to_thread(execute, list(arguments))


async def answered(capsys: Capture, *arguments: str) -> Any:
    """What a command says with `--json`."""
    capsys.readouterr()
    assert await metamcp(*arguments, "--json") == Exit.OK, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def stored(kept: Path) -> Any:
    """What is kept, by gateway."""
    return json.loads(kept.read_bytes()) if kept.exists() else {}


def write(path: Path, text: str, mode: int) -> None:
    path.write_text(text)
    path.chmod(mode)


def modes(kept: Path) -> tuple[int, int]:
    """Who may read the file and its folder."""
    file, folder = (stat.S_IMODE(one.stat().st_mode) for one in (kept, kept.parent))
    return file, folder


def spoil(kept: Path, **fields: Any) -> None:
    """Change what is kept of the one gateway."""
    every = json.loads(kept.read_bytes())
    (url,) = every
    every[url] |= fields
    kept.write_bytes(msgspec.json.encode(every))


async def test_the_first_admin_signs_in_and_out(
    real: World, says: Any, capsys: Capture, kept: Path
) -> None:
    user = name("u")
    assert await metamcp("user", "add", user, "--admin") == Exit.OK
    said = capsys.readouterr()
    (password,) = said.out.split()
    assert password not in said.err
    assert len(password) == 20
    assert (await answered(capsys, "whoami"))["by"] == "the data folder's token"
    says(password)
    assert await metamcp("login", "--user", user, "--password-stdin") == Exit.OK
    said = capsys.readouterr()
    assert f"signed in as {user}" in said.out
    assert password not in said.out + said.err
    assert modes(kept) == (0o600, 0o700)
    who = await answered(capsys, "whoami")
    assert (who["user"], who["roles"], who["by"]) == (user, ["admin", "user"], "metamcp login")
    (session,) = await answered(capsys, "sessions")
    assert session["current"]
    assert await metamcp("logout") == Exit.OK
    assert real.site.parts.signed_in.of_user(user) == []
    assert (await answered(capsys, "whoami"))["user"] == "root"
    assert await metamcp("logout") == Exit.REFUSED


async def test_commands_refresh_by_themselves(
    real: World, says: Any, capsys: Capture, kept: Path
) -> None:
    user = await added(real)
    says(PASSWORD)
    assert await metamcp("login", "--user", user, "--password-stdin") == Exit.OK
    before = stored(kept)[real.url]
    spoil(kept, access="", access_until=1.0)
    assert (await answered(capsys, "whoami"))["user"] == user
    after = stored(kept)[real.url]
    assert after["session"] == before["session"]
    assert after["refresh"] != before["refresh"]
    # Many at once: one refreshes, the others find what it was given.
    spoil(kept, access="", access_until=1.0)
    codes = await asyncio.gather(*(metamcp("whoami", "--json") for _ in range(5)))
    assert set(codes) == {Exit.OK}
    assert await good(real, stored(kept)[real.url]["access"])


async def test_a_session_that_is_over_says_so(
    real: World, says: Any, capsys: Capture, kept: Path
) -> None:
    user = await added(real)
    says(PASSWORD)
    assert await metamcp("login", "--user", user, "--password-stdin") == Exit.OK
    await real.site.parts.signed_in.end_all(user, but=None, reason="test", asked_by="")
    spoil(kept, access="", access_until=1.0)
    assert await metamcp("whoami") == Exit.REFUSED
    said = capsys.readouterr().err
    assert "is over" in said
    assert "metamcp login" in said
    assert await metamcp("logout") == Exit.OK
    assert stored(kept) == {}


async def test_a_file_that_others_can_read_is_not_used(
    real: World, says: Any, capsys: Capture, kept: Path
) -> None:
    user = await added(real)
    says(PASSWORD)
    assert await metamcp("login", "--user", user, "--password-stdin") == Exit.OK
    write(kept, json.dumps(stored(kept)), 0o644)
    assert await metamcp("whoami") == Exit.REFUSED
    assert "can be read by others" in capsys.readouterr().err
    write(kept, "{", 0o600)
    assert await metamcp("whoami") == Exit.FAILED
    assert "metamcp login" in capsys.readouterr().err


async def test_a_wrong_password_signs_nobody_in(
    real: World, says: Any, capsys: Capture, kept: Path
) -> None:
    user = await added(real)
    says("not the password")
    assert await metamcp("login", "--user", user, "--password-stdin") == Exit.REFUSED
    assert "wrong user or password" in capsys.readouterr().err
    assert stored(kept) == {}
    # Nobody is there to be asked.
    for arguments in (("--user", user), ()):
        assert await metamcp("login", *arguments) == Exit.USAGE
    says("")
    assert await metamcp("login", "--user", user, "--password-stdin") == Exit.USAGE


async def test_only_so_many_gateways_are_remembered(
    real: World, says: Any, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_in, "MOST_KEPT", 1)
    user = await added(real)
    for url in (real.url, real.url.replace("127.0.0.1", "localhost")):
        says(PASSWORD)
        arguments = ("login", "--user", user, "--password-stdin", "--url", url)
        assert await metamcp(*arguments) == Exit.OK
    assert list(stored(kept)) == [real.url.replace("127.0.0.1", "localhost")]


async def test_admins_keep_accounts(real: World, says: Any, capsys: Capture) -> None:
    user = name("u")
    says(PASSWORD)
    made = await answered(
        capsys, "user", "add", user, "--role", "auditor", "--password-stdin", "--display", "Ann"
    )
    assert (made["roles"], made["display"], "password" in made) == (["auditor"], "Ann", False)
    assert (await answered(capsys, "user", "show", user))["name"] == user
    assert user in {one["name"] for one in await answered(capsys, "user", "list")}
    assert len(await answered(capsys, "user", "--limit", "1")) == 1
    changed = await answered(capsys, "user", "change", user, "--role", "user", "--email", "a@b.c")
    assert (changed["roles"], changed["email"]) == ([], "a@b.c")
    assert await metamcp("user", "change", user) == Exit.USAGE
    session = (await login(real, user)).json()["data"]
    assert await metamcp("user", "change", user, "--end-everything") == Exit.OK
    assert not await good(real, session["access_token"])
    assert (await answered(capsys, "user", "disable", user))["disabled"]
    assert (await login(real, user)).status_code == 401
    assert not (await answered(capsys, "user", "enable", user))["disabled"]
    says("quite another one")
    assert await metamcp("user", "password", user, "--password-stdin") == Exit.OK
    assert (await login(real, user, "quite another one")).status_code == 200
    assert await metamcp("user", "password", user, "--remove") == Exit.OK
    assert (await login(real, user, "quite another one")).status_code == 401
    assert await metamcp("user", "delete", user) == Exit.OK
    assert await metamcp("user", "show", user) == Exit.REFUSED
    assert await metamcp("user", "add", user, "--no-password") == Exit.REFUSED
    assert await metamcp("user", "add", user, "--no-password", "--again") == Exit.OK
    assert await metamcp("user", "add", name("s"), "--service") == Exit.OK


async def test_people_change_their_own_password_and_have_tokens(
    real: World, says: Any, capsys: Capture
) -> None:
    user = await added(real)
    says(PASSWORD)
    assert await metamcp("login", "--user", user, "--password-stdin") == Exit.OK
    says(PASSWORD, "a much longer one 7")
    assert await metamcp("user", "password", "--password-stdin") == Exit.OK
    assert (await login(real, user, "a much longer one 7")).status_code == 200
    assert await metamcp("user", "password", "--remove") == Exit.USAGE
    made = await answered(capsys, "token", "add", "--scope", "tasks:read", "--ttl", "1h")
    assert (made["user"], made["scopes"]) == (user, ["tasks:read"])
    assert [one["id"] for one in await answered(capsys, "token")] == [made["id"]]
    assert await metamcp("token", "add", "--scope", "nothing") == Exit.USAGE
    assert await metamcp("token", "revoke", made["id"]) == Exit.OK
    assert await metamcp("user", "list") == Exit.REFUSED
    (own, other) = await answered(capsys, "sessions")
    ended = other if own["current"] else own
    assert await metamcp("sessions", "end", ended["id"]) == Exit.OK
    assert [one["id"] for one in await answered(capsys, "sessions")] != []


async def test_where_there_is_a_terminal_a_password_is_asked_for_twice(
    real: World, says: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    user = name("u")
    answers += [PASSWORD, "something else"]
    assert await metamcp("user", "add", user) == Exit.USAGE
    assert "not the same" in capsys.readouterr().err
    answers += [PASSWORD, PASSWORD]
    assert await metamcp("user", "add", user) == Exit.OK
    assert PASSWORD not in capsys.readouterr().out
    answers.append(PASSWORD)
    assert await metamcp("login", "--user", user) == Exit.OK


async def test_a_program_without_a_browser_is_let_in_by_its_code(
    real: World, says: Any, capsys: Capture, kept: Path
) -> None:
    user = await added(real)
    session = (await login(real, user)).json()["data"]
    assert await metamcp("login", "--device", "--user", user) == Exit.USAGE
    capsys.readouterr()
    waiting = asyncio.create_task(metamcp("login", "--device"))
    said = ""
    async with asyncio.timeout(30), real.http(session["access_token"]) as client:
        while "let in the code" not in said:
            await client.get("/api/auth/me")
            said += capsys.readouterr().err
        code = said.split()[-1].rstrip(".")
        assert f"{real.url}/device?code={code}" in said
        await client.post("/api/auth/device/allow", json={"user_code": code})
        assert await waiting == Exit.OK
    assert stored(kept)[real.url]["user"] == user
    assert await metamcp("login", "allow", "BCDF-GHJK") == Exit.REFUSED
