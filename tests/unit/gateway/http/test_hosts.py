"""Logs of hosts over the HTTP API: who may read them, and what is said when there is none."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.di import Provide

from contracts.facts import McpRegistered
from contracts.host import Endpoint, Host, Noop, Stdio
from services.bus.all import answer_all
from services.executor.hosts import host_log
from services.gateway import errors
from services.gateway.http import hosts
from services.gateway.http import parts as http_parts
from services.gateway.peers.host_logs import SUBJECT
from services.outside.mcp_child import log_path
from services.process.ids import new_id
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, error_of, world


@pytest.fixture
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    """A gateway with these routes alone, on a server where no executor is yet."""
    async with fresh_nats.connected("gateway") as bus, world(tmp_path, bus) as one:

        async def parts() -> http_parts.Parts:
            return one.site.parts

        dependencies = {
            "parts": Provide(parts),
            "principal": Provide(http_parts.principal),
            "host_id": Provide(http_parts.host_id),
        }
        one.site.app._http = Litestar(
            [*hosts.ROUTES],
            dependencies=dependencies,
            exception_handlers=errors.HANDLERS,
            openapi_config=None,
            logging_config=None,
        )
        yield one


class Executors:
    """Starts what serves logs in an executor; each has its own folder."""

    def __init__(self, server: NatsServer, folder: Path) -> None:
        self._server = server
        self._folder = folder

    @contextlib.asynccontextmanager
    async def __call__(self, **logs: str) -> AsyncIterator[None]:
        """Executors by name, and what each has of some hosts."""
        async with contextlib.AsyncExitStack() as stack:
            for name, text in logs.items():
                folder = self._folder / name
                folder.mkdir()
                for host in ("h1", "removed", "root/own") if text else ():
                    log_path(folder, host).write_text(text)
                bus = await stack.enter_async_context(self._server.connected("executor"))
                await answer_all(bus, SUBJECT, host_log.HostLogServer(folder, name).answer)
            yield


@pytest.fixture
def executors(fresh_nats: NatsServer, tmp_path: Path) -> Executors:
    return Executors(fresh_nats, tmp_path)


async def register(gateway: World, name: str, endpoint: Endpoint) -> None:
    spec = Host(id=name, name=name, endpoint=endpoint)
    await gateway.append(McpRegistered(id=new_id(), by="registry-1", host=name, k=1, spec=spec))
    await gateway.site.projection.reached(await gateway.log.head(), 5)


async def test_an_admin_reads_the_log_of_the_executor_that_has_one(
    gateway: World, executors: Executors
) -> None:
    async with executors(e1="", e2="a\nb\n\x1bc\n"), gateway.http("admin-token") as client:
        answer = await client.get("/api/mcps/h1/log")
        assert answer.status_code == 200
        (log,) = answer.json()["data"]
        assert log == {"host": "h1", "instance": "e2", "lines": ["a", "b", r"\x1bc"]}
        last = await client.get("/api/mcps/h1/log", params={"lines": 1})
        assert last.json()["data"][0]["lines"] == [r"\x1bc"]


async def test_executors_of_one_folder_are_one_log_and_others_are_told_apart(
    gateway: World, executors: Executors
) -> None:
    async with executors(e3="other", e2="same", e1="same"), gateway.http("admin-token") as client:
        logs = (await client.get("/api/mcps/h1/log")).json()["data"]
    found = [(log["instance"], log["lines"]) for log in logs]
    assert found == [("e1", ["same"]), ("e3", ["other"])]


async def test_there_are_no_logs_for_anybody_else(gateway: World, executors: Executors) -> None:
    await register(gateway, "h1", Stdio("x"))
    async with executors(e1="secret"), gateway.http() as client:
        there = await client.get("/api/mcps/h1/log")
        nowhere = await client.get("/api/mcps/nowhere/log")
    assert "secret" not in there.text
    assert error_of(there).code == 404
    assert error_of(there).message == error_of(nowhere).message
    async with gateway.http(None) as nobody:
        assert error_of(await nobody.get("/api/mcps/h1/log")).code == 401


@pytest.mark.parametrize(
    ("host", "status", "message"),
    [
        ("nowhere", 404, "there is no host nowhere"),
        ("program", 404, "host program has no log yet: no executor has started it"),
        ("inside", 404, "host inside is no program that executors start"),
        ("a.b", 400, "host 'a.b' is not allowed"),
    ],
)
async def test_it_is_said_why_there_is_none(
    gateway: World, executors: Executors, host: str, status: int, message: str
) -> None:
    await register(gateway, "program", Stdio("x"))
    await register(gateway, "inside", Noop())
    async with executors(e1=""), gateway.http("admin-token") as client:
        error = error_of(await client.get(f"/api/mcps/{host}/log"))
    assert error.code == status
    assert error.message.startswith(message)


async def test_the_log_of_a_host_that_was_removed_can_still_be_read(
    gateway: World, executors: Executors
) -> None:
    async with executors(e1="last"), gateway.http("admin-token") as client:
        assert (await client.get("/api/mcps/removed/log")).json()["data"][0]["lines"] == ["last"]


@pytest.mark.parametrize("path", ["..%2f..%2fsecret", "a%2f..", "-/h1", "a/b%2fc", "a.b/h1"])
async def test_no_path_leads_out_of_the_folder(
    gateway: World, executors: Executors, tmp_path: Path, path: str
) -> None:
    (tmp_path / "secret.log").write_text("secret")
    async with executors(e1="x"), gateway.http("admin-token") as client:
        answer = await client.get(f"/api/mcps/{path}/log")
    assert answer.status_code in (400, 404)
    assert answer.json()["success"] is False


async def test_the_log_of_ones_own_host(gateway: World, executors: Executors) -> None:
    await register(gateway, "root/own", Stdio("x"))
    async with executors(e1="mine"), gateway.http("admin-token") as client:
        for path in ("root/own", "own"):
            (log,) = (await client.get(f"/api/mcps/{path}/log")).json()["data"]
            assert (log["host"], log["lines"]) == ("root/own", ["mine"])


async def test_without_an_executor_that_is_said_at_once(gateway: World) -> None:
    async with gateway.http("admin-token") as client:
        error = error_of(await client.get("/api/mcps/h1/log"))
    assert (error.code, error.reason) == (503, "unavailable")
    assert "no executor is running" in error.message


@pytest.mark.parametrize("lines", ["0", "1001", "many"])
async def test_lines_have_limits(gateway: World, lines: str) -> None:
    async with gateway.http("admin-token") as client:
        error = error_of(await client.get("/api/mcps/h1/log", params={"lines": lines}))
    assert (error.code, "lines" in error.message) == (400, True)
