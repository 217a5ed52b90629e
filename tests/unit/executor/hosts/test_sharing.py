"""Who shares a session with whom: real servers that keep what they are told in its memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.host import (
    COMMAND,
    Execute,
    Host,
    Limits,
    Stdio,
    StreamableHttp,
    TaskBinding,
    Tool,
)
from contracts.task import TaskSpec
from services.executor.attempt.call import Opening
from services.executor.attempt.plan import KnownHost, prepare
from services.executor.hosts import door as pools
from services.executor.hosts.pool import Pool
from services.keys.secrets import Secrets
from tests.support import forked
from tests.support.http_host import answer, serving
from tests.support.keeping_mcp import PROTOCOL, Keeper, keeper
from tests.unit.executor.sessions import ROOT, STDIO, Bench, gone
from tests.unit.executor.world import moment, routed, spec

SCAN = TaskSpec(type="scan", input=msgspec.Raw(b"{}"))
NO_SECRETS = Secrets(Path("nowhere"), {})
TOOLS = (Tool("keep", read_only=True, idempotent=True), Tool("write", read_only=False))


class Desk:
    """Two users at one pool."""

    def __init__(self, folder: Path, endpoint: Stdio | StreamableHttp) -> None:
        self.bench = Bench(folder, STDIO)
        self.endpoint = endpoint
        self.pool = self.with_processes(64)

    def with_processes(self, most: int) -> Pool:
        opening = Opening(self.host("user"), self.bench.folder / "hosts")
        return Pool(opening, 100, NO_SECRETS, most)

    def host(self, sessions: Any, id_: str = "h1", **fields: Any) -> Host:
        return Host(
            **{"id": id_, "name": "h1", "endpoint": self.endpoint, "tools": TOOLS}
            | {"protocol": PROTOCOL, "sessions": sessions, "limits": Limits(16)}
            | fields
        )

    async def say(
        self, host: Host, user: str, text: str, tool: str = "keep", **kinds: Any
    ) -> dict[str, Any]:
        """What the session knows after it was told this."""
        call = self.bench.call(tool, host=host, text=text)
        call.plan = call.plan._replace(user=user)
        call.isolated = kinds.get("isolated", False)
        answer = await self.pool.call(KnownHost(kinds.get("seq", 1), host), call)
        assert isinstance(answer, dict)
        return answer["structured"]


@pytest.fixture(params=["stdio", "http"])
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "stdio":
            one = stdio_desk(tmp_path)
        else:
            server = await stack.enter_async_context(keeper())
            one = Desk(tmp_path, StreamableHttp(server.url))
        yield one
        await one.pool.close()


def stdio_desk(folder: Path) -> Desk:
    start = forked.command("tests.support.keeping_mcp")
    endpoint = Stdio(start[0], start[1:], cwd=str(ROOT))
    return Desk(folder, endpoint)


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Desk]:
    one = stdio_desk(tmp_path)
    yield one
    await one.pool.close()


async def test_a_shared_host_has_one_memory_for_everybody(desk: Desk) -> None:
    host = desk.host("shared")
    await desk.say(host, "alice", "a secret")
    assert (await desk.say(host, "bob", "hello"))["notes"] == ["a secret", "hello"]


async def test_two_users_never_see_each_others_memory(desk: Desk) -> None:
    host = desk.host("user")
    await asyncio.gather(*[desk.say(host, "alice", f"secret {n}") for n in range(3)])
    bob = await desk.say(host, "bob", "hello")
    assert bob["notes"] == ["hello"]
    alice = await desk.say(host, "alice", "me again")
    assert {"secret 0", "me again"} <= set(alice["notes"])
    assert alice["who"] != bob["who"]


async def test_a_host_that_says_nothing_keeps_users_apart(desk: Desk) -> None:
    host = Host(id="h1", name="h1", endpoint=desk.endpoint, protocol=PROTOCOL, tools=TOOLS)
    await desk.say(host, "alice", "a secret")
    assert (await desk.say(host, "bob", "hello"))["notes"] == ["hello"]


@pytest.mark.parametrize("kinds", [{"tool": "write"}, {"isolated": True}], ids=str)
async def test_calls_that_share_no_session_at_work_meet_no_other_user_later(
    desk: Desk, kinds: dict[str, Any]
) -> None:
    host = desk.host("user")
    await desk.say(host, "alice", "a secret", **kinds)
    assert (await desk.say(host, "bob", "hello", **kinds))["notes"] == ["hello"]


async def test_each_attempt_has_a_session_where_no_task_may_meet_another(desk: Desk) -> None:
    host = desk.host("task")
    first = await desk.say(host, "alice", "a secret")
    second = await desk.say(host, "alice", "again")
    assert (first["notes"], second["notes"]) == (["a secret"], ["again"])
    assert first["who"] != second["who"]


@pytest.mark.parametrize(("sessions", "count"), [("shared", 1), ("user", 2), ("task", 3)])
async def test_cookies_stay_in_their_session(tmp_path: Path, sessions: str, count: int) -> None:
    async with keeper() as server:
        desk = Desk(tmp_path, StreamableHttp(server.url))
        for user in ("alice", "bob", "alice"):
            await desk.say(desk.host(sessions), user, "hello")
        await desk.pool.close()
    assert isinstance(server, Keeper)
    assert len(server.cookies) == count
    assert all(cookie == session for cookie, session in server.cookies)
    assert server.notes == {}, "the server is told that a session has ended"


async def test_the_session_of_an_attempt_ends_with_it(processes: Desk) -> None:
    pid = (await processes.say(processes.host("task"), "alice", "x"))["who"]
    await _until(lambda: gone(pid))


async def test_a_users_session_ends_when_it_has_rested(
    processes: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "USER_REST_S", 0.2)
    kept = (await processes.say(processes.host("shared", "h2"), "alice", "x"))["who"]
    pid = (await processes.say(processes.host("user"), "alice", "x"))["who"]
    await _until(lambda: gone(pid))
    assert not gone(kept), "one that is everybody's stays"
    again = await processes.say(processes.host("user"), "alice", "y")
    assert again["notes"] == ["y"]


async def test_at_the_limit_a_session_that_rests_makes_way(
    processes: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MOST_SESSIONS", 2)
    host = processes.host("user")
    pids = [(await processes.say(host, user, "x"))["who"] for user in ("alice", "bob", "carol")]
    await _until(lambda: gone(pids[0]))
    assert not gone(pids[1])
    assert (await processes.say(host, "bob", "y"))["notes"] == ["x", "y"]


@pytest.mark.parametrize("sessions", ["user", "task"])
async def test_when_all_are_at_work_calls_wait_and_all_come_to_their_end(
    processes: Desk, sessions: str
) -> None:
    """Over two hosts, with three processes for six users."""
    processes.pool = processes.with_processes(3)
    hosts = [processes.host(sessions, id_) for id_ in ("h1", "h2")]
    users = [f"user-{n}" for n in range(6)]
    told = await asyncio.gather(
        *[processes.say(host, user, user) for user in users for host in hosts]
    )
    assert [entry["notes"] for entry in told] == [[user] for user in users for _ in hosts]
    assert sum(not gone(entry["who"]) for entry in told) <= 3


async def test_a_waiting_call_that_is_cancelled_takes_no_place(processes: Desk) -> None:
    processes.pool = processes.with_processes(1)
    host = processes.host("task")
    first = asyncio.create_task(processes.say(host, "alice", "x"))
    second = asyncio.create_task(processes.say(host, "bob", "y"))
    await moment()
    second.cancel()
    await first
    assert (await processes.say(host, "carol", "z"))["notes"] == ["z"]


async def test_a_users_own_host_has_one_user_only(desk: Desk) -> None:
    """Whatever it says of its sessions: when it gets another owner, it is another registration."""
    mine = desk.host("shared", owner="alice", source=COMMAND)
    desk.pool._opening = desk.pool._opening._replace(allow_private=True)
    await desk.say(mine, "alice", "a secret")
    theirs = desk.host("shared", owner="bob", source=COMMAND)
    assert (await desk.say(theirs, "bob", "hello", seq=2))["notes"] == ["hello"]


async def test_over_connections_to_what_users_have_brought_each_user_is_alone(
    tmp_path: Path,
) -> None:
    """Whoever calls it: today the owner alone does."""
    owned: dict[str, Any] = {"owner": "alice", "source": COMMAND}
    async with keeper() as server:
        desk = Desk(tmp_path, StreamableHttp(server.url))
        desk.pool._opening = desk.pool._opening._replace(allow_private=True)
        await desk.say(desk.host("shared", **owned), "alice", "a secret")
        assert (await desk.say(desk.host("shared", **owned), "bob", "hello"))["notes"] == ["hello"]
        await desk.pool.close()


async def test_connections_to_a_users_execute_host_carry_one_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MOST_SESSIONS", 2)
    async with serving(answer({"done": True}, metamcp_jti="t1.1")) as server:
        desk = Desk(tmp_path, StreamableHttp(server.url))
        desk.pool._opening = desk.pool._opening._replace(allow_private=True)
        types = {"scan": TaskBinding()}
        execute: dict[str, Any] = {"endpoint": Execute(server.url), "task_types": types}
        host = desk.host("shared", owner="alice", source=COMMAND, **execute)
        carried: dict[str, set[int]] = {"alice": set(), "bob": set(), "carol": set()}
        for user in ("alice", "bob", "alice", "bob", "carol", "alice", "carol"):
            before = len(server.seen)
            for _ in range(2):
                plan = prepare(KnownHost(1, host), routed("t1", spec()), SCAN, b"{}", "permit")
                call = desk.bench.call()
                call.plan = plan._replace(user=user)
                assert await desk.pool.call(KnownHost(1, host), call) == {"done": True}
            carried[user] |= {seen.connection for seen in server.seen[before:]}
        assert len(set().union(*carried.values())) == sum(map(len, carried.values()))
        assert sum(map(len, desk.pool._doors["h1"]._rooms.values())) == 2, "so many at most"
        await desk.pool.close()


async def _until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not true():
            await moment()
