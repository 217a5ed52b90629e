"""Everything that a user can have, all of it Alice's, and clients of those who may not see it.

Whatever is hers has MARK in it, so that it is known when it shows anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import msgspec

from contracts.facts import McpHealth, McpRegistered
from contracts.host import Host, Noop
from contracts.operation import Action, OperationStarted
from contracts.result import inline, sha256_hex
from contracts.subjects import ACCOUNTS_BUCKET
from contracts.task import TaskSpec
from services.bus.all import answer_all
from services.executor.hosts import host_log
from services.gateway.access.identity import Principal
from services.gateway.bulk import operations
from services.gateway.peers.host_logs import SUBJECT
from services.gateway.people.membership import MemberRole
from services.gateway.people.projects import Projects
from services.gateway.people.records import Invitation, OAuthClient, OAuthGrant, Project
from services.gateway.people.state import PeopleState
from services.outside.mcp_child import log_path
from services.process.ids import new_id
from services.store.blobs import Blobs
from services.store.kv import Bucket
from tests.support import facts
from tests.support.github.server import GitHubServer, github_server
from tests.support.hub import HubServer, hub_server
from tests.support.nats import NatsServer
from tests.unit.gateway.whole import ENTRY, Whole, whole
from tests.unit.gateway.world import TOKENS, write_tokens

MARK = "alicesown"
DONE, BLOB, WAIT, GONE = (f"{MARK}-{end}" for end in ("done", "blob", "wait", "gone"))
"""Tasks: over with a small result, with a big one, not over, its result deleted."""
HOST, IDLE = f"{MARK}-host", f"{MARK}-idle"
SPACE = f"{MARK}-room"
BATCH, OPERATION = f"{MARK}-pack", f"{MARK}-work"
"""The operation is not over, and another gateway's, from which it is never taken over here."""
GRANT, CLIENT = f"{MARK}-grant", f"{MARK}-client"
SHOP = f"{MARK}-shop"
"""A project, to which the first of the tasks belongs."""
VIEW = f"{MARK}-view"
"""A profile."""
REPOSITORY = f"{MARK}-repo"
"""At GitHub, with a file and a branch of her name."""
NONE = f"{MARK}-none"
"""There is none of this name, which is as long as all the others."""
UPLOAD = MARK.encode() * 100
"""Bytes that she has sent."""
SHA256 = sha256_hex(UPLOAD)
INVITED = f"{MARK}-invited"
"""Key of an invitation for her."""
HERS = {
    "task": (DONE, BLOB, WAIT, GONE),
    "host": (HOST, IDLE),
    "name": (SPACE,),
    "repo": (REPOSITORY,),
    "grant": (GRANT,),
    "sha256": (SHA256,),
    "project": (SHOP,),
    "profile": (VIEW,),
    "batch": (BATCH,),
    "operation": (OPERATION,),
}
"""By the name they have in paths."""
MORE_NAMES = ("token", "person", "session", "client")
PUBLIC_HOST = "for-everybody"
MORE = {
    "ben-token": {"user": "ben"},
    "viewer-token": {"user": "vera"},
    "editor-token": {"user": "eddy"},
    "auditor-token": {"user": "watson", "roles": ["auditor"]},
    "expired-token": {"user": "alice", "roles": ["admin"], "expires": 1.0},
}
MEMBERS: dict[str, MemberRole] = {MARK: "viewer", "vera": "viewer", "eddy": "editor"}
"""Of her project, besides her."""
USERS = {token: entry["user"] for token, entry in (TOKENS | MORE).items()}
_VARY = {"date", "x-request-id"}
AT_ONCE = 16
T = TypeVar("T")


class Seen(NamedTuple):
    """An answer without what has to differ between two requests for different things."""

    status: int
    headers: Mapping[str, str]
    text: str


class Alices:
    """A running gateway with all services, and what Alice has there."""

    def __init__(self, gateway: Whole, hub: HubServer) -> None:
        self.gateway = gateway
        self.hub = hub
        self.token = ""
        """Id of a token of the API that is hers."""
        self._values = {"provider": "huggingface", "owner": MARK, "path": NONE, "user": "alice"}
        self._values |= {"way": "nobody", "page": "x", "version": "x", "file": "x"}
        self._clients: dict[str, httpx.AsyncClient] = {}

    @contextlib.asynccontextmanager
    async def clients(self) -> AsyncIterator[None]:
        """Let `ask` work."""
        async with contextlib.AsyncExitStack() as stack:
            for token in ("", *USERS):
                self._clients[token] = await stack.enter_async_context(self.gateway.http(token))
            yield

    async def ask(
        self, token: str, method: str, path: str, name: str = "", **given: Any
    ) -> httpx.Response:
        """Ask with a token; `path` is a route's, `name` that of the thing which it names."""
        values = self._values | dict.fromkeys((*HERS, *MORE_NAMES), name)
        values["key"] = name or "none"
        user = USERS.get(token, token.partition("|")[0])
        fields = json.loads(json.dumps(given).replace("USER", user))
        client = self._clients.get(token)
        if client is None:
            client = self._clients[""]
            shown = {"Authorization": f"Bearer {token}"}
            fields["headers"] = shown | fields.get("headers", {})
        return await client.request(method, path.format(**values), **fields)

    async def has(
        self, token: str, method: str, path: str, *, status: int | None = None, **given: Any
    ) -> Any:
        """Ask for what must work, and be answered like that."""
        answer = await self.ask(token, method, path, **given)
        assert answer.is_success, answer.text
        assert status in (None, answer.status_code)
        return answer.json()["data"]

    async def written(self, after: int) -> list[str]:
        """Types of the facts after this one, but for how the hosts are."""
        found = [await self.gateway.log.at(n) for n in range(after + 1, await self.head() + 1)]
        return [type(r.fact).__name__ for r in found if r and not isinstance(r.fact, McpHealth)]

    async def head(self) -> int:
        """The last fact's sequence."""
        return await self.gateway.log.head()


def seen(answer: httpx.Response, name: str) -> Seen:
    """What can be seen in an answer, the name that was asked for left out."""
    headers = {key: text for key, text in answer.headers.items() if key not in _VARY}
    text = answer.text.replace(answer.headers["x-request-id"], "REQUEST")
    if name:
        text = text.replace(name, "NAME")
        headers = {key: value.replace(name, "NAME") for key, value in headers.items()}
        if size := headers.get("content-length"):
            # A digest is longer than other names.
            headers["content-length"] = str(int(size) - len(name) * answer.text.count(name))
    return Seen(answer.status_code, headers, text)


async def together(*work: Coroutine[Any, Any, T], at_once: int = AT_ONCE) -> list[T]:
    """Do it all, so much of it at once; the first failure ends the rest."""
    places = asyncio.Semaphore(at_once)

    async def done(one: Coroutine[Any, Any, T]) -> T:
        async with places:
            return await one

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(done(one)) for one in work]
    finally:
        for one in work:
            one.close()
    return [task.result() for task in tasks]


@contextlib.asynccontextmanager
async def alices(server: NatsServer, folder: Path) -> AsyncIterator[Alices]:
    """Run everything."""
    async with (
        hub_server(folder / "hub") as hub,
        github_server() as github,
        whole(server, folder, hub.url, github.url) as gateway,
        server.connected("executor") as executor,
    ):
        write_tokens(folder, TOKENS | MORE)
        logs = folder / "host-logs"
        logs.mkdir()
        for host in (HOST, f"alice/{HOST}"):
            log_path(logs, host).write_text(f"{MARK}\n")
        quiet, operations.QUIET_S = operations.QUIET_S, float("inf")
        await answer_all(executor, SUBJECT, host_log.HostLogServer(logs, "e1").answer)
        one = Alices(gateway, hub)
        async with one.clients():
            await _repositories(one, github)
            await _furnish(one)
            try:
                yield one
            finally:
                operations.QUIET_S = quiet


async def _furnish(one: Alices) -> None:
    for token, account in (("alice-token", MARK), ("bob-token", "bobs")):
        # Under a name that the table of routes can say.
        made = one.hub.state.tokens.pop(one.hub.account(account))
        one.hub.state.tokens[f"hf_{USERS[token]}"] = made
        link = {"token": "hf_USER"}
        await one.has(token, "PUT", "/api/accounts/{provider}", json=link)
    await _tasks(one)
    has = partial(one.has, "alice-token")
    await has("POST", "/api/spaces", json={"name": SPACE})
    one.hub.stage(f"{MARK}/{SPACE}", "PAUSED")
    for host in (HOST, IDLE):
        await has("POST", "/api/mcps/{host}", name=host, json=ENTRY)
        await has("PUT", "/api/preferences/{host}", name=host, json={"weight": 0.5})
    await has("POST", "/api/mcps/{host}/disable", name=IDLE)
    await has("PUT", "/api/profiles/{profile}", name=VIEW, json={"hosts": [HOST]})
    # How it is from now on.
    await has("POST", "/api/mcps/{host}/probe", name=HOST)
    noop = Host(id=PUBLIC_HOST, name=PUBLIC_HOST, endpoint=Noop(), enabled=False)
    await one.gateway.append(
        McpRegistered(id=new_id(), by="registry-1", host=PUBLIC_HOST, k=1, spec=noop)
    )
    people = PeopleState(Bucket(one.gateway.bus, ACCOUNTS_BUCKET))
    projects, her = Projects(people, new=lambda: SHOP), Principal("alice", frozenset())
    await projects.create(her.user, Project(id="", name=MARK, members=()))
    for member, role in MEMBERS.items():
        await projects.put_member(SHOP, her, member, role)
    await one.gateway.site.parts.projects.refresh()
    issued = await one.has("admin-token", "POST", "/api/tokens", json={"user": MARK})
    one.token = issued["id"]
    invited = Invitation(user=MARK, by="root", created=1.0, expires=4e9)
    await one.gateway.site.sign_in_door.invitations._table.put(INVITED, invited, 0)
    await _client(one)
    await one.gateway.written()


async def _repositories(one: Alices, github: GitHubServer) -> None:
    for token, login in (("alice-token", MARK), ("bob-token", "bobs")):
        shown = github.account(login)
        answer = await one._clients[token].put("/api/accounts/github", json={"token": shown})
        assert answer.is_success, answer.text
    hers = github.repo(MARK, REPOSITORY, private=True)
    hers.branches[MARK] = hers.commit({MARK: MARK.encode()}).sha


async def _client(one: Alices) -> None:
    """Have a client that she lets act for her."""
    oauth = one.gateway.site.oauth
    client = OAuthClient(id=CLIENT, name=MARK, redirects=("https://x.example/",))
    assert await oauth.clients.table.put(CLIENT, client, 0)
    grant = OAuthGrant(
        user="alice",
        epoch=0,
        client=CLIENT,
        client_name=MARK,
        created=1.0,
        expires=time.time() + 3600,
    )
    assert await oauth.grants.table.put(GRANT, grant, 0)


async def _tasks(one: Alices) -> None:
    await Blobs(one.gateway.bus).put("alice", UPLOAD, "text/plain")
    big = await Blobs(one.gateway.bus).put("alice", MARK.encode() * 9000, "text/plain")
    for task, result in ((DONE, inline(b'"%b"' % MARK.encode())), (BLOB, big), (GONE, big)):
        done = facts.done("alice", task, result=result, host=HOST, attempt=1)
        routed = facts.routed("alice", task, host=HOST)
        created = facts.created("alice", task)
        if task == DONE:
            created = msgspec.structs.replace(created, project=SHOP)
        await one.gateway.append(created, routed, done)
    await one.gateway.append(facts.created("alice", WAIT), facts.routed("alice", WAIT, host=HOST))
    spec = TaskSpec(type="mcp.call", batch=BATCH)
    operation = OperationStarted(
        id=new_id(),
        by="gateway-9",
        user="alice",
        operation=OPERATION,
        k=1,
        parts=1,
        total=1,
        action=Action.TAG,
        tasks=(DONE,),
        tags={MARK: MARK},
    )
    await one.gateway.append(facts.created("alice", f"{BATCH}-1", spec=spec), operation)
    await one.gateway.written()
    await one.has("alice-token", "DELETE", "/api/results/{task}", name=GONE)
