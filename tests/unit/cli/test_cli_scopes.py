"""What each command says to a token that is not for it: which scope is missing, and nothing else.

A new command needs one line in `NEEDS` or a word in `WITHOUT`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
from _pytest.capture import CaptureResult

from contracts.scopes import (
    ADMIN,
    HOSTS_READ,
    HOSTS_WRITE,
    RESULTS_READ,
    TASKS_READ,
    TASKS_WRITE,
)
from services.cli.common import Exit
from services.cli.table import COMMANDS
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.cli.kept import metamcp
from tests.unit.gateway.scoped import take_scoped_tokens, token, without
from tests.unit.gateway.world import World, world

NEEDS: dict[str, tuple[str, str]] = {
    "scan": ("scan .", HOSTS_READ),
    "types": ("types", HOSTS_READ),
    "call": ("call h tool", HOSTS_READ),
    "submit": ("submit work", TASKS_WRITE),
    "watch": ("watch t1", TASKS_READ),
    "tasks": ("tasks", TASKS_READ),
    "task": ("task t1", TASKS_READ),
    "tag": ("tag t1", TASKS_READ),
    "again": ("again t1", TASKS_WRITE),
    "cancel": ("cancel t1", TASKS_WRITE),
    "batch": ("batch", TASKS_READ),
    "operations": ("operations", TASKS_READ),
    "operations show": ("operations show x", TASKS_READ),
    "operations stop": ("operations stop x", TASKS_WRITE),
    "operations cancel": ("operations cancel t1", TASKS_WRITE),
    "operations again": ("operations again t1", TASKS_WRITE),
    "operations tag": ("operations tag t1", TASKS_WRITE),
    "asks": ("asks", TASKS_READ),
    "queue": ("queue", TASKS_READ),
    "answer": ("answer t1 --accept", TASKS_READ),
    "result": ("result t1", RESULTS_READ),
    "results": ("results", RESULTS_READ),
    "results delete": ("results delete t1", TASKS_WRITE),
    "results tasks": ("results tasks", TASKS_READ),
    "results verify": ("results verify t1", RESULTS_READ),
    "blobs": ("blobs", TASKS_READ),
    "blobs list": ("blobs list", TASKS_READ),
    "blobs delete": (f"blobs delete {'0' * 64}", TASKS_WRITE),
    "hosts": ("hosts", HOSTS_READ),
    "hosts add": ("hosts add new https://h.example/mcp", HOSTS_WRITE),
    "hosts update": ("hosts update new https://h.example/mcp", HOSTS_WRITE),
    "hosts enable": ("hosts enable h", HOSTS_WRITE),
    "hosts disable": ("hosts disable h", HOSTS_WRITE),
    "hosts remove": ("hosts remove h", HOSTS_WRITE),
    "hosts probe": ("hosts probe h", HOSTS_WRITE),
    "hosts discover": ("hosts discover", HOSTS_WRITE),
    "hosts import": ("hosts import servers.json", HOSTS_WRITE),
    "prefer": ("prefer h 1", HOSTS_READ),
    "link": ("link huggingface --token-file token", HOSTS_WRITE),
    "unlink": ("unlink huggingface", HOSTS_WRITE),
    "accounts": ("accounts", HOSTS_READ),
    "spaces": ("spaces", HOSTS_READ),
    "spaces create": ("spaces create a-space", HOSTS_WRITE),
    "spaces deploy": ("spaces deploy ann/a-space", HOSTS_WRITE),
    "spaces restart": ("spaces restart ann/a-space", HOSTS_WRITE),
    "access": ("access", ADMIN),
    "restored": ("restored", ADMIN),
    "restored go-on": ("restored go-on", ADMIN),
    "restored end": ("restored end", ADMIN),
    "clients": ("clients", ADMIN),
    "clients list": ("clients list", ADMIN),
    "clients add": ("clients add it --redirect https://x.example/", ADMIN),
    "clients remove": ("clients remove some-id", ADMIN),
    "github": ("github", HOSTS_WRITE),
    "github user": ("github user", HOSTS_WRITE),
    "github repos": ("github repos", HOSTS_WRITE),
    "github create": ("github create shop", HOSTS_WRITE),
    "github ls": ("github ls ann/shop", HOSTS_WRITE),
    "github cat": ("github cat ann/shop README.md", HOSTS_WRITE),
    "github put": ("github put ann/shop token.txt token", HOSTS_WRITE),
    "github branches": ("github branches ann/shop", HOSTS_WRITE),
    "login allow": ("login allow BCDF-GHJK", ADMIN),
    "project": ("project", TASKS_READ),
    "project list": ("project list", TASKS_READ),
    "project show": ("project show shop", TASKS_READ),
    "project members": ("project members shop", TASKS_READ),
    "project tasks": ("project tasks shop", TASKS_READ),
    "project results": ("project results shop", TASKS_READ),
    "project create": ("project create shop", TASKS_WRITE),
    "project change": ("project change shop --description x", TASKS_READ),
    "project archive": ("project archive shop", TASKS_READ),
    "project add": ("project add shop ann", TASKS_READ),
    "project remove": ("project remove shop ann", TASKS_READ),
    "profiles": ("profiles", HOSTS_READ),
    "profiles list": ("profiles list", HOSTS_READ),
    "profiles show": ("profiles show x", HOSTS_READ),
    "profiles set": ("profiles set x --host h", HOSTS_WRITE),
    "profiles remove": ("profiles remove x", HOSTS_WRITE),
    "quota show": ("quota show ann", ADMIN),
    "quota set": ("quota set ann hosts=1", ADMIN),
    "quota unset": ("quota unset ann", ADMIN),
    "sessions": ("sessions", ADMIN),
    "sessions list": ("sessions list", ADMIN),
    "sessions end": ("sessions end some-id", ADMIN),
    "identities": ("identities", ADMIN),
    "identities list": ("identities list", ADMIN),
    "identities unlink": ("identities unlink some-key", ADMIN),
    "user": ("user", ADMIN),
    "user list": ("user list", ADMIN),
    "user show": ("user show ann", ADMIN),
    "user add": ("user add ann --service", ADMIN),
    "user change": ("user change ann --display Ann", ADMIN),
    "user disable": ("user disable ann", ADMIN),
    "user enable": ("user enable ann", ADMIN),
    "user delete": ("user delete ann", ADMIN),
    "user password": ("user password ann --remove", ADMIN),
    "user invite": ("user invite ann", ADMIN),
    "user invitations": ("user invitations", ADMIN),
    "user uninvite": ("user uninvite some-id", ADMIN),
    "token": ("token", ADMIN),
    "token list": ("token list", ADMIN),
    "token add": ("token add alice", ADMIN),
    "token revoke": ("token revoke some-id", ADMIN),
}
"""A way to call each command, and a scope without which it is refused."""
TABLES = {"hosts import"}
"""They list what has become of each of several things."""
PUBLISHERS = ("add", "list", "remove", "rotate")
WITHOUT = {
    *("up", "provision", "demo", "version", "keys", "keys rotate"),
    *("replay", "audit", "publisher", *(f"publisher {v}" for v in PUBLISHERS)),
    *("login", "logout", "whoami", "quota", "identities link"),
    *("doctor", "limits"),
}
"""They work on this machine, ask NATS with credentials of its own, or only routes for all."""


@pytest.fixture
async def site(
    tmp_path: Path, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.chdir(tmp_path)
    servers = {"mcpServers": {"x": {"url": "https://h.example/mcp"}}}
    for name, text in (("token", "hf_x\n"), ("servers.json", json.dumps(servers))):
        (tmp_path / name).write_text(text)
    async with nats_server.connected("gateway") as bus, world(tmp_path, bus) as one:
        take_scoped_tokens(one)
        monkeypatch.setenv("METAMCP_URL", one.url)
        await one.append(facts.created("alice", "t1"))
        await one.settled()
        yield one


def test_every_command_says_which_scope_it_needs() -> None:
    every = {words for group in COMMANDS.values() for one in group for words in one.load()}
    missing = sorted(every - set(NEEDS) - WITHOUT)
    assert missing == [], "say in NEEDS which scope the token of these commands needs"
    assert sorted((set(NEEDS) | WITHOUT) - every) == [], "there are no such commands"


def check_refused(
    words: str, code: int, told: CaptureResult[str], why: str, tables: Collection[str] = TABLES
) -> None:
    if words in tables:
        assert (code, why in told.out) == (Exit.FAILED, True), words
        return
    assert (code, told.out) == (Exit.REFUSED, ""), (words, told.err)
    assert why in told.err, words
    assert "METAMCP_TOKEN" in told.err, f"{words}: what to do"


async def test_commands_name_the_scope_that_is_missing(
    site: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head = await site.log.head()
    for words, (line, scope) in NEEDS.items():
        for narrow in (without("alice", scope, roles=("admin",)), token("alice")):
            monkeypatch.setenv("METAMCP_TOKEN", narrow)
            code = await metamcp(*line.split())
            check_refused(words, code, capsys.readouterr(), f"`{scope}`")
    assert await site.log.head() == head


async def disabled(site: World) -> str:
    """A token of an account that is disabled now, with which commands worked before."""
    user = facts.name("u")
    async with site.http("admin-token") as admin:
        made = await admin.post("/api/users", json={"name": user, "service": True})
        assert made.status_code == 201, made.text
        issued = (await admin.post("/api/tokens", json={"user": user})).json()["data"]["token"]
        async with site.http(issued) as theirs:
            assert (await theirs.get("/api/tasks")).status_code == 200
        assert (await admin.patch(f"/api/users/{user}", json={"disabled": True})).status_code == 200
    return str(issued)


async def test_commands_without_a_good_token_say_so(
    site: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = ("nobodys", await disabled(site))
    capsys.readouterr()
    for number, (words, (line, _)) in enumerate(NEEDS.items()):
        monkeypatch.setenv("METAMCP_TOKEN", ended[number % len(ended)])
        code = await metamcp(*line.split())
        # Who is asking is the first question of each of them.
        check_refused(words, code, capsys.readouterr(), "unknown or expired", ())
