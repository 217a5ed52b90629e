"""Everything that a user can have, all of it Alice's, and clients of those who may not see it.

Whatever is hers has MARK in it, so that it is known when it shows anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx

from contracts.facts import McpHealth, McpRegistered
from contracts.host import Host, Noop
from contracts.result import inline
from services.bus.all import answer_all
from services.executor.hosts import host_log
from services.gateway.peers.host_logs import SUBJECT
from services.process.ids import new_id
from services.store.blobs import Blobs
from tests.support import facts
from tests.support.hub import HubServer, hub_server
from tests.support.nats import NatsServer
from tests.unit.gateway.whole import ENTRY, Whole, whole
from tests.unit.gateway.world import TOKENS, write_tokens

MARK = "alicesown"
DONE, BLOB, WAIT, GONE = (f"{MARK}-{end}" for end in ("done", "blob", "wait", "gone"))
"""Tasks: over with a small result, with a big one, not over, its result deleted."""
HOST, IDLE = f"{MARK}-host", f"{MARK}-idle"
SPACE = f"{MARK}-room"
NONE = f"{MARK}-none"
"""There is none of this name, which is as long as all the others."""
HERS = {"task": (DONE, BLOB, WAIT, GONE), "host": (HOST, IDLE), "name": (SPACE,)}
"""By the name they have in paths."""
PUBLIC_HOST = "for-everybody"
MORE = {
    "auditor-token": {"user": "watson", "roles": ["auditor"]},
    "expired-token": {"user": "alice", "roles": ["admin"], "expires": 1.0},
}
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
        self._values = {"provider": "huggingface", "owner": MARK, "path": NONE}
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
        values = self._values | dict.fromkeys((*HERS, "token"), name)
        fields = json.loads(json.dumps(given).replace("USER", USERS.get(token, "")))
        return await self._clients[token].request(method, path.format(**values), **fields)

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
        whole(server, folder, hub.url) as gateway,
        server.connected("executor") as executor,
    ):
        write_tokens(folder, TOKENS | MORE)
        logs = folder / "host-logs"
        logs.mkdir()
        (logs / f"{HOST}.log").write_text(f"{MARK}\n")
        await answer_all(executor, SUBJECT, host_log.HostLogServer(logs, "e1").answer)
        one = Alices(gateway, hub)
        async with one.clients():
            await _furnish(one)
            yield one


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
    # How it is from now on; nothing else of hers changes by itself.
    await has("POST", "/api/mcps/{host}/probe", name=HOST)
    noop = Host(id=PUBLIC_HOST, name=PUBLIC_HOST, endpoint=Noop(), enabled=False)
    await one.gateway.append(
        McpRegistered(id=new_id(), by="registry-1", host=PUBLIC_HOST, k=1, spec=noop)
    )
    issued = await one.has("admin-token", "POST", "/api/tokens", json={"user": MARK})
    one.token = issued["id"]
    await one.gateway.written()


async def _tasks(one: Alices) -> None:
    big = await Blobs(one.gateway.bus).put("alice", MARK.encode() * 9000, "text/plain")
    for task, result in ((DONE, inline(b'"%b"' % MARK.encode())), (BLOB, big), (GONE, big)):
        done = facts.done("alice", task, result=result, host=HOST, attempt=1)
        routed = facts.routed("alice", task, host=HOST)
        await one.gateway.append(facts.created("alice", task), routed, done)
    await one.gateway.append(facts.created("alice", WAIT), facts.routed("alice", WAIT, host=HOST))
    await one.gateway.written()
    await one.has("alice-token", "DELETE", "/api/results/{task}", name=GONE)
