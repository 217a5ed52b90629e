"""Prompts, resources and completion of the reference server, through us and to a direct client.

It is met over stdio and over streamable HTTP, by clients of both eras.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal

import httpx2
import mcp_types as t
import pytest
import pytest_asyncio
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.subscriptions import ResourceUpdated

from tests.acceptance.test_faithful import directly, everything, plain
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
STDIO, HTTP = "everything", "everything-http"
HOSTS = """
[hosts.everything]
name = "everything"
endpoint = {{ kind = "stdio", command = {command}, args = {args}, env = {{ PATH = {path} }} }}
[hosts.everything-http]
name = "everything-http"
endpoint = {{ kind = "http", url = "http://127.0.0.1:{port}/mcp" }}
"""
Asked = Callable[[Client], Awaitable[Any]]


@contextlib.contextmanager
def listening(port: int) -> Any:
    """The same server behind a URL."""
    server = everything()
    command = (server.command, server.args[0], "streamableHttp")
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    env = os.environ | (server.env or {}) | {"PORT": str(port)}
    with subprocess.Popen(command, env=env, **quiet) as running:
        try:
            yield
        finally:
            running.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    server, folder = everything(), tmp_path_factory.mktemp("reads")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    extra = folder / "extra.toml"
    parts = {"command": server.command, "args": server.args, "path": (server.env or {})["PATH"]}
    extra.write_text(HOSTS.format(port=port, **{k: json.dumps(v) for k, v in parts.items()}))
    with listening(port):
        async with system(folder, {"one": 4}, extra=extra, real=False) as running:

            async def known() -> bool:
                hosts = (await running.get("/api/mcps")).json()["data"]
                return all(
                    host["health"]["status"] == "healthy" and host["features"]
                    for host in hosts
                    if host["id"] in (STDIO, HTTP)
                )

            await until(known)
            yield running


@contextlib.asynccontextmanager
async def through(
    one: System, mode: Literal["legacy", "auto"], at: str = "", **options: Any
) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {one.running.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(
            streamable_http_client(f"{one.url}/mcp{at}", http_client=http), mode=mode, **options
        ) as client,
    ):
        yield client


def prompt(name: str, /, **arguments: str) -> Asked:
    return lambda client: client.get_prompt(name, arguments or None)


def resource(uri: str) -> Asked:
    return lambda client: client.read_resource(uri)


def completed(ref: t.PromptReference | t.ResourceTemplateReference, name: str, value: str) -> Asked:
    return lambda client: client.complete(ref, {"name": name, "value": value})


TIME = re.compile(r"\b\d{1,2}:\d\d:\d\d\s[AP]M\b")
TEXT = "demo://resource/dynamic/text/{resourceId}"
ASKED: list[Asked] = [
    prompt("simple-prompt"),
    prompt("args-prompt", city="Paris", state="Texas"),
    prompt("args-prompt"),
    prompt("completable-prompt", department="Engineering", name="Alice"),
    prompt("resource-prompt", resourceType="Text", resourceId="1"),
    prompt("none"),
    resource("demo://resource/static/document/features.md"),
    resource("demo://resource/static/document/none.md"),
    completed(t.PromptReference(name="completable-prompt"), "department", "E"),
    completed(t.ResourceTemplateReference(uri=TEXT), "resourceId", "1"),
    completed(t.PromptReference(name="none"), "x", ""),
]


async def said(client: Client, asked: Asked) -> Any:
    """An answer or an error, as it is on the wire, but for the time of day that it tells."""
    try:
        found = plain(await asked(client))
    except MCPError as error:
        return error.code, error.message
    for field in ("ttlMs", "cacheScope"):
        found.pop(field, None)
    return json.loads(TIME.sub("now", json.dumps(found, ensure_ascii=False)))


def by_name(found: dict[str, Any], field: str) -> dict[str, Any]:
    key = {"resources": "uri", "resourceTemplates": "uriTemplate"}.get(field, "name")
    return {one[key]: one for one in found[field]}


@pytest.mark.parametrize("host", [STDIO, HTTP])
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_answers_and_errors_are_the_servers(
    one: System, mode: Literal["legacy", "auto"], host: str
) -> None:
    errors = set()
    async with directly(everything()) as direct, through(one, mode, f"?hosts={host}") as ours:
        lists: list[tuple[str, Asked]] = [
            ("prompts", lambda client: client.list_prompts()),
            ("resources", lambda client: client.list_resources()),
            ("resourceTemplates", lambda client: client.list_resource_templates()),
        ]
        for field, asked in lists:
            mine, theirs = await said(ours, asked), await said(direct, asked)
            assert by_name(mine, field) == by_name(theirs, field), field
            assert theirs[field]
        for asked in ASKED:
            mine, theirs = await said(ours, asked), await said(direct, asked)
            if isinstance(theirs, tuple) and isinstance(mine, tuple):
                errors.add(True)
                assert mine[1] == theirs[1]
                # Of a resource that is not there the two eras have codes of their own.
                assert mine[0] == theirs[0] or mode == "auto"
            else:
                errors.add(False)
                assert mine == theirs
    assert errors == {True, False}


@pytest.mark.parametrize("host", [STDIO, HTTP])
async def test_it_tells_of_a_resource(one: System, host: str) -> None:
    uri, updated = f"metamcp:{host}:{TEXT.format(resourceId=1)}", asyncio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, t.ResourceUpdatedNotification) and message.params.uri == uri:
            updated.set()

    async with through(one, "legacy", message_handler=hear) as ours:
        request = t.SubscribeRequest(params=t.SubscribeRequestParams(uri=uri))
        await ours.session.send_request(request, t.EmptyResult)
        await ours.call_tool(f"{host}__toggle-subscriber-updates", {})
        async with asyncio.timeout(30):
            await updated.wait()
    async with (
        through(one, "auto") as ours,
        ours.listen(resource_subscriptions=[uri]) as told,
    ):
        assert told.honored.resource_subscriptions == [uri]
        async with asyncio.timeout(30):
            assert await anext(aiter(told)) == ResourceUpdated(uri)


async def test_the_same_of_many_hosts(one: System) -> None:
    async with through(one, "auto") as ours:
        prompts = {each.name for each in (await ours.list_prompts()).prompts}
        assert {f"{STDIO}__simple-prompt", f"{HTTP}__simple-prompt"} <= prompts
        for host in (STDIO, HTTP):
            found = await ours.read_resource(f"metamcp:{host}:{TEXT.format(resourceId=7)}")
            assert found.contents[0].uri == f"metamcp:{host}:{TEXT.format(resourceId=7)}"
