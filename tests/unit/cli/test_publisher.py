"""`metamcp publisher`: what it says, what it refuses, and a NATS server of one's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.publisher import LIST_FILE
from services.bus.bus import Bus, BusError, ConnectFailed, Credentials
from services.bus.names import inbox_prefix
from services.cli.app import execute
from services.cli.commands import publisher as commands
from services.cli.common import Exit
from services.process.files import free_port, is_private
from services.up import nats_config, publishers
from services.up.nats_config import ROLES, SYSTEM, ServerPlan
from services.up.nats_server import find_server
from services.up.plan import STATE_FILE, UpState
from tests.support.nats import NatsServer


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own"


def publisher(data: Path, *arguments: str) -> int:
    return execute(["publisher", *arguments, "--data", str(data)])


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def runs(data: Path, url: str, credentials: str | None) -> None:
    """Say that an orchestrator runs in this folder."""
    data.mkdir(exist_ok=True)
    state = UpState(pid=os.getpid(), nats_url=url, credentials=credentials)
    (data / STATE_FILE).write_bytes(msgspec.json.encode(state))


def test_the_path_of_the_credentials_is_printed_alone(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publisher(data, "add", "crm", "--user", "acme") == Exit.OK
    said = capsys.readouterr()
    path = Path(said.out.strip())
    login = json.loads(path.read_text())
    assert (path, login["user"], is_private(path)) == (data / "credentials/crm.json", "crm", True)
    assert login["password"] not in said.out + said.err
    assert "crm publishes as acme. It holds from the next `metamcp up`" in said.err
    for words in (("list",), ()):
        assert publisher(data, *words, "--json") == Exit.OK
        rows = capsys.readouterr().out
        assert login["password"] not in rows
        assert [(row["name"], row["user"]) for row in json.loads(rows)] == [
            ("publisher", "publisher"),
            ("crm", "acme"),
        ]
    assert publisher(data, "list") == Exit.OK
    assert "acme" in capsys.readouterr().out


def test_json_has_the_login(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publisher(data, "add", "crm", "--user", "acme", "--json") == Exit.OK
    made = printed(capsys)
    login = json.loads(Path(made["credentials"]).read_text())
    assert made["login"] == {"user": "crm", "password": login["password"]}
    assert publisher(data, "rotate", "crm", "--json") == Exit.OK
    assert printed(capsys)["login"]["password"] != login["password"]
    assert publisher(data, "remove", "crm", "--json") == Exit.OK
    assert printed(capsys) == {"name": "crm", "removed": True}
    assert not Path(made["credentials"]).exists()


@pytest.mark.parametrize("name", [*ROLES, SYSTEM])
def test_a_roles_name_is_refused(data: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert publisher(data, "add", name, "--user", "acme") == Exit.REFUSED
    assert f"Publisher name '{name}' is taken; choose another." in capsys.readouterr().err
    for change in ("rotate", "remove"):
        assert publisher(data, change, name) == Exit.REFUSED
        assert f"There is no publisher {name}." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.b", "*", "../x", "x" * 65])
def test_what_is_no_token_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for words in (("add", name, "--user", "acme"), ("rotate", name), ("remove", name)):
        assert publisher(data, *words) == Exit.USAGE
        assert "publisher" in capsys.readouterr().err
    assert publisher(data, "add", "crm", "--user", name) == Exit.USAGE
    assert "user" in capsys.readouterr().err
    assert not data.exists()


def test_a_list_that_is_none_and_a_busy_one_are_said(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.mkdir()
    with publishers.changing(data):
        assert publisher(data, "remove", "publisher") == Exit.FAILED
    assert "Another command is changing the publishers." in capsys.readouterr().err
    (data / LIST_FILE).write_text("{")
    for words in (("list",), ("add", "crm", "--user", "acme")):
        assert publisher(data, *words) == Exit.FAILED
        assert "publishers.json can't be read" in capsys.readouterr().err


def test_nobody_is_a_list_too(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publisher(data, "remove", "publisher") == Exit.OK
    capsys.readouterr()
    assert publisher(data, "list") == Exit.OK
    assert "nobody" in capsys.readouterr().out
    assert publisher(data, "list", "--json") == Exit.OK
    assert printed(capsys) == []


def test_a_server_of_ones_own_needs_a_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs(data, "nats://127.0.0.1:1", None)
    assert publisher(data, "add", "crm", "--user", "acme") == Exit.USAGE
    said = capsys.readouterr().err
    assert "The NATS server at nats://127.0.0.1:1 is your own." in said
    assert "--config" in said
    assert not (data / LIST_FILE).exists()
    missing = str(data / "missing/accounts.conf")
    assert publisher(data, "add", "crm", "--user", "acme", "--config", missing) == Exit.USAGE


def test_who_does_not_take_it_over_is_said(
    nats_server: NatsServer,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that runs, whose owner looks at no list."""
    monkeypatch.setattr(commands, "EFFECT_S", 0.5)
    runs(data, nats_server.url, str(data / "credentials"))
    assert publisher(data, "add", "crm", "--user", "acme") == Exit.FAILED
    assert "has not taken the change over within 0.5 s" in capsys.readouterr().err


class OwnServer:
    """A nats-server with a configuration of one's own, which includes the accounts."""

    def __init__(self, folder: Path, accounts: Path) -> None:
        plan = ServerPlan(
            port=free_port("127.0.0.1"),
            store_dir=folder / "jetstream",
            credentials={},
            passwords_from_env=True,
        )
        rest = nats_config.render(plan).partition("accounts {")[0]
        self.file = folder / "own.conf"
        self.file.write_text(f'{rest}include "{accounts.name}"\n')
        self.url = f"nats://127.0.0.1:{plan.port}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        names = ("PUBLISHER", *(role.upper() for role in (SYSTEM, *ROLES)))
        environ = {f"NATS_PASSWORD_{name}": f"secret-{name}" for name in names}
        command = (str(find_server()), "-c", str(self.file))
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *command, env=environ, stdout=quiet, stderr=quiet
        )
        try:
            yield process
        finally:
            process.terminate()
            await process.wait()

    @contextlib.asynccontextmanager
    async def connected(self, user: str, password: str) -> AsyncIterator[Bus]:
        login = Credentials(user, password)
        prefix = inbox_prefix(user)
        bus = await Bus.connect(self.url, name="t", credentials=login, inbox_prefix=prefix)
        try:
            yield bus
        finally:
            await bus.close()

    async def refused(self, user: str, password: str) -> None:
        with pytest.raises(ConnectFailed, match="refuses these credentials"):
            async with self.connected(user, password):
                pass


async def answer(message: Any) -> None:
    await message.respond(message.subject.encode())


async def twice(process: Process, own: OwnServer) -> None:
    """Have it reload as docs/security.md says."""
    async with own.connected(SYSTEM, "secret-SYS") as system:
        for _ in range(2):
            before = await load_time(system)
            process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(20):
                while await load_time(system) == before:
                    pass


async def load_time(system: Bus) -> str:
    found = json.loads(await system.request("$SYS.REQ.SERVER.PING.VARZ"))
    return str(found["data"]["config_load_time"])


async def cut_off(bus: Bus) -> None:
    async with asyncio.timeout(20):
        while bus.connected:
            with contextlib.suppress(BusError):
                await bus.flush()
    with pytest.raises(BusError):
        await bus.publish("task.created", b"{}")


async def test_a_server_of_ones_own_reads_its_accounts_again(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = tmp_path / "accounts.conf"

    async def changed(*words: str) -> dict[str, Any]:
        arguments = ("publisher", *words, "--config", str(accounts), "--data", str(data), "--json")
        assert await asyncio.to_thread(execute, list(arguments)) == Exit.OK
        said = capsys.readouterr()
        assert "nats-server --signal reload=PID" in said.err
        assert is_private(accounts)
        return json.loads(said.out)  # type: ignore[no-any-return]

    first = (await changed("add", "crm", "--user", "acme"))["login"]
    own = OwnServer(tmp_path, accounts)
    async with own.running() as process, own.connected("publisher", "secret-PUBLISHER") as theirs:
        cuts = list[str]()
        theirs.on_disconnected.append(lambda: cuts.append("cut"))
        async with own.connected(**first) as crm:
            rotated = (await changed("rotate", "crm"))["login"]
            process.send_signal(signal.SIGHUP)
            await cut_off(crm)
        await own.refused(**first)
        async with own.connected(**rotated) as crm:
            await changed("remove", "crm")
            process.send_signal(signal.SIGHUP)
            await cut_off(crm)
        await own.refused(**rotated)
        shop = (await changed("add", "shop", "--user", "acme"))["login"]
        await twice(process, own)
        async with own.connected(**shop) as bus, own.connected("gateway", "secret-GATEWAY") as ours:
            await ours.subscribe("submit.*.*", answer)
            await ours.flush()
            assert await bus.request("metamcp.tasks.submit") == b"submit.acme.shop"
        await theirs.flush()
        assert cuts == []
