"""Calls of APIs: what goes over the wire, what comes back, and APIs that behave badly."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from contracts.facts import FailureKind
from contracts.host import COMMAND, Host, Limits, Step, TaskBinding
from contracts.task import TaskSpec
from services.executor.attempt.call import Call, HostError, HostSession, Opening, Spooled
from services.executor.attempt.plan import BadInput, KnownHost, prepare
from services.executor.attempt.spool import IN_MEMORY
from services.executor.attempt.workspace import Workspace
from services.executor.hosts import orders
from services.executor.hosts.kinds import open_session
from services.executor.hosts.pool import Pool
from services.keys.secrets import Secrets
from services.outside.apart.pool import is_apart
from tests.support.apis import FORGE, OK, api, endpoint
from tests.support.http_host import HttpHost, Reply, answer, cut, hang, serving
from tests.unit.executor.world import routed, spec

CONTENT = api(
    {
        "/things/{id}": {
            "parameters": [{"name": "id", "in": "path"}, {"name": "X-Tenant", "in": "header"}],
            "get": {"operationId": "get", **OK},
            "post": {"operationId": "post", "requestBody": {"content": {"text/plain": {}}}, **OK},
        }
    },
    components={"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
    security=[{"key": []}],
)


class Caller:
    """Sessions with one API."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sessions: list[HostSession] = []

    def host(self, server: HttpHost | str, **fields: Any) -> Host:
        url = server if isinstance(server, str) else f"{server.url}/v1/"
        of_api = ("secrets", "headers", "bearer_from", "content")
        more = {name: fields.pop(name) for name in of_api if name in fields}
        known = endpoint(url, more.pop("content", CONTENT), **more)
        known |= {"limits": Limits(start_s=0.3)}
        return Host(**{"id": "a", "name": "a"} | known | fields)

    def open(self, host: Host, **fields: Any) -> HostSession:
        opening = Opening(host, self.folder, spool=self.folder, **fields)
        session = open_session(opening)
        self.sessions.append(session)
        return session

    def call(self, host: Host, tool: str = "get", **arguments: Any) -> Call:
        data = {"tool": tool, "arguments": {"id": "1"} | arguments}
        return self.task(host, "mcp.call", data)

    def task(self, host: Host, type_: str, data: dict[str, Any]) -> Call:
        wanted = TaskSpec(type=type_, input=msgspec.Raw(msgspec.json.encode(data)))
        raw = bytes(wanted.input)
        plan = prepare(KnownHost(1, host), routed("t1", spec()), wanted, raw, "permit")

        async def on_progress(progress: float, total: float | None, message: str) -> None:
            pass

        async def still_ours() -> bool:
            return True

        return Call(plan, Workspace(self.folder / "w", "ann", "t1", 1), on_progress, still_ours)

    async def ask(self, *script: Reply, tool: str = "get", **fields: Any) -> Any:
        async with serving(*script) as server:
            host = self.host(server, **fields)
            return await self.open(host).call(self.call(host, tool))

    async def fails(self, *script: Reply, tool: str = "get", **fields: Any) -> HostError:
        with pytest.raises(HostError) as caught:
            await self.ask(*script, tool=tool, **fields)
        return caught.value


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    one = Caller(tmp_path)
    yield one
    for session in one.sessions:
        await session.close()


async def test_a_call_is_one_request_over_a_connection_of_its_own(caller: Caller) -> None:
    async with serving(answer({"ok": True})) as server:
        host = caller.host(server, secrets={"key": "hush"}, headers={"X-Tenant": "ours"})
        session = caller.open(host, bearer="token")
        for _ in range(2):
            await session.call(caller.call(host, "post", id="a b", body="hi", **{"X-Tenant": "?"}))
        first, second = server.seen
    assert (first.method, first.path, first.body) == ("POST", "/v1/things/a%20b", b"hi")
    assert first.headers["X-Key"] == "hush"
    assert first.headers["X-Tenant"] == "ours", "what the host says no argument changes"
    assert first.headers["Authorization"] == "Bearer token"
    assert first.connection != second.connection


PIXEL = base64.b64encode(b"\x89PNG").decode()


@pytest.mark.parametrize(
    ("kind", "body", "content", "structured"),
    [
        ("application/json", b'{"a": 1}', [{"type": "text", "text": '{"a": 1}'}], {"a": 1}),
        ("application/a+json", b"[1]", [{"type": "text", "text": "[1]"}], {"result": [1]}),
        ("application/json", b"{", [{"type": "text", "text": "{"}], None),
        ("text/html", "ä".encode(), [{"type": "text", "text": "ä"}], None),
        (
            "image/png",
            b"\x89PNG",
            [{"type": "image", "data": PIXEL, "mimeType": "image/png"}],
            None,
        ),
        ("application/json", b"", [], None),
        (
            "application/zip",
            b"\0\1",
            [
                {
                    "type": "resource",
                    "resource": {
                        "uri": "openapi:answer",
                        "mimeType": "application/zip",
                        "blob": "AAE=",
                    },
                }
            ],
            None,
        ),
    ],
)
async def test_an_answer_has_its_form(
    caller: Caller, kind: str, body: bytes, content: Any, structured: Any
) -> None:
    found = await caller.ask(answer(body, kind=kind))
    assert found == {"content": content, "structured": structured, "is_error": False}


BIG = 2 * IN_MEMORY


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b' {"a": "' + b"x" * BIG + b'"}'),
        ("application/json", b"[" + b"1," * BIG + b"1]"),
        ("application/json", b"{" * BIG),
        ("text/plain", "ä\n\x01".encode() * BIG),
        ("text/plain", b"\xff" * BIG),
        ("image/png", b"\0\1" * BIG),
        ("application/zip", b"\0\1" * BIG),
    ],
)
async def test_a_big_answer_lies_in_a_file_of_the_same_form(
    caller: Caller, kind: str, body: bytes
) -> None:
    found = await caller.ask(answer(body, kind=kind))
    assert isinstance(found, Spooled)
    data = found.path.read_bytes()
    assert len(data) == found.size
    value = json.loads(data)
    assert value["is_error"] is False
    if kind == "application/json" and body != b"{" * BIG:
        parsed = json.loads(body)
        assert value["content"] == []
        assert value["structured"] == (parsed if isinstance(parsed, dict) else {"result": parsed})
    elif kind in ("text/plain", "application/json"):
        assert value["content"] == [{"type": "text", "text": body.decode("utf-8", "replace")}]
    else:
        (item,) = value["content"]
        assert base64.b64decode(item.get("data") or item["resource"]["blob"]) == body
    found.remove()
    assert [path for path in caller.folder.iterdir() if path.suffix == ".json"] == []


async def test_an_answer_over_the_limit_is_refused(caller: Caller) -> None:
    limits = Limits(max_output_bytes=10)
    error = await caller.fails(answer(b"x" * 11, kind="text/plain"), limits=limits)
    assert (error.kind, error.called) == (FailureKind.TOO_LARGE, True)


@pytest.mark.parametrize(
    ("reply", "kind", "called", "words"),
    [
        (answer({"no": "it"}, 404), FailureKind.TOOL, True, '404 Not Found: {"no": "it"}'),
        (answer(b"\x1b[31m" + b"x" * 99999, 500), FailureKind.TOOL, True, "500 Internal"),
        (answer(b"", 401), FailureKind.TOOL, True, "no secret is named for it"),
        (answer(b"gate", 502), FailureKind.CUT, None, "502 Bad Gateway: gate"),
        (answer(b"", 504), FailureKind.CUT, None, "504"),
        (answer(b"", 503), FailureKind.UNREACHABLE, False, "503"),
        (answer(b"", 429, Retry_After="99"), FailureKind.UNREACHABLE, False, "429"),
        (cut(), FailureKind.CUT, None, "the connection was lost"),
        (answer(b"", 302, Location="https://b.example"), FailureKind.PROTOCOL, True, "another"),
    ],
)
async def test_a_failure_says_what_became_of_the_call(
    caller: Caller, reply: Reply, kind: FailureKind, called: bool | None, words: str
) -> None:
    error = await caller.fails(reply)
    assert (error.kind, error.called) == (kind, called)
    assert words in error.message
    assert len(error.message) < 2200


async def test_a_busy_api_is_asked_again(caller: Caller) -> None:
    found = await caller.ask(answer(b"", 429, Retry_After="0"), answer({"a": 1}))
    assert found["structured"] == {"a": 1}


async def test_what_reads_follows_within_the_origin_and_what_writes_does_not(
    caller: Caller,
) -> None:
    moved = answer(b"", 307, Location="/v2/things")
    async with serving(moved, answer({"a": 1})) as server:
        host = caller.host(server)
        found = await caller.open(host).call(caller.call(host))
        assert isinstance(found, dict)
        assert found["structured"] == {"a": 1}
        assert [seen.path for seen in server.seen] == ["/v1/things/1", "/v2/things"]
    error = await caller.fails(moved, tool="post")
    assert (error.kind, error.called) == (FailureKind.PROTOCOL, True)


async def test_secrets_are_in_no_message(caller: Caller) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(status=400, text=str(dict(request.headers)))

    error = await caller.fails(echo, secrets={"key": "hush-hush"})
    assert "'X-Key': '***'" in error.message
    assert "hush" not in f"{error.message}{error.answer}"
    schemes = {"login": {"type": "http", "scheme": "basic"}}
    content = CONTENT | {"components": {"securitySchemes": schemes}, "security": [{"login": []}]}
    error = await caller.fails(echo, content=content, secrets={"login": "ann:hush"})
    assert "'Authorization': 'Basic ***'" in error.message


async def test_nothing_is_called_with_wrong_arguments(caller: Caller) -> None:
    async with serving(answer({})) as server:
        host = caller.host(server)
        with pytest.raises(HostError, match="other paths") as caught:
            await caller.open(host).call(caller.call(host, id=".."))
        assert (caught.value.kind, caught.value.called) == (FailureKind.BAD_INPUT, False)
        with pytest.raises(BadInput, match="has no tool 'other'"):
            caller.call(host, "other")
        assert server.seen == []


async def test_before_the_document_was_read_there_is_nothing_to_call(caller: Caller) -> None:
    host = caller.host("http://127.0.0.1:9", tools=())
    with pytest.raises(HostError, match="was not read yet") as caught:
        await caller.open(host).call(caller.call(host))
    assert (caught.value.kind, caught.value.called) == (FailureKind.UNREACHABLE, False)


async def test_a_closed_session_ends_its_calls(caller: Caller) -> None:
    async with serving(hang) as server:
        host = caller.host(server)
        session, call = caller.open(host), caller.call(host)
        running = asyncio.create_task(session.call(call))
        await server.until(1)
        await session.close()
        with pytest.raises(HostError) as caught:
            await running
        assert (caught.value.kind, caught.value.called) == (FailureKind.CUT, None)


async def test_steps_of_a_task_type_are_calls(caller: Caller) -> None:
    steps = (
        Step("get", {"id": "$input.first"}, output="found"),
        Step("get", {"id": "$step.found.next"}),
    )
    async with serving(answer({"next": "second"}), answer({"last": 1})) as server:
        host = caller.host(server, task_types={"two": TaskBinding(steps)})
        await caller.open(host).call(caller.task(host, "two", {"first": "first"}))
        assert [seen.path for seen in server.seen] == ["/v1/things/first", "/v1/things/second"]


@pytest.mark.parametrize(
    "url", ["https://169.254.169.254/latest", "https://127.0.0.1:1", "https://localhost:1"]
)
async def test_an_api_of_a_user_leads_to_public_addresses_only(caller: Caller, url: str) -> None:
    host = caller.host(url, owner="ann", source=COMMAND)
    assert is_apart(host)
    with pytest.raises(HostError, match=r"public address|private address") as caught:
        await caller.open(host).call(caller.call(host))
    assert (caught.value.kind, caught.value.called) == (FailureKind.UNREACHABLE, False)


async def test_a_users_own_secret_is_sent(caller: Caller) -> None:
    kept = caller.folder / "secrets" / "ann"
    kept.mkdir(parents=True, mode=0o700)
    (kept / "MY_KEY").write_text("hush")
    (kept / "MY_KEY").chmod(0o600)
    async with serving(answer({"a": 1})) as server:
        host = caller.host(server, owner="ann", source=COMMAND, secrets={"key": "MY_KEY"})
        opening = Opening(host, caller.folder, allow_private=True, spool=caller.folder)
        pool = Pool(opening, 10, Secrets(caller.folder / "secrets", {}))
        call = caller.call(host)
        call.plan = call.plan._replace(user="ann")
        try:
            await pool.call(KnownHost(1, host), call)
        finally:
            await pool.close()
        assert server.seen[0].headers["X-Key"] == "hush"


def test_a_worker_gets_of_a_document_what_the_call_needs() -> None:
    known = endpoint("https://api.forge.example", FORGE)
    host = Host(id="f", name="f", **known)
    lean = orders.lean(host, "mcp.call", (Step("issues_create"),))
    assert [tool.name for tool in lean.tools] == ["issues_create"]
    assert lean.endpoint == msgspec.structs.replace(host.endpoint, document={})
