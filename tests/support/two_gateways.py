"""Everything with two gateways and users at work; the first gateway is the one they all use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from contracts import subjects
from contracts.facts import JobDone, TaskCreated
from services.bus.bus import Bus
from services.log.jetstream import NatsLog
from services.log.port import START
from tests.support import invariants
from tests.support.steady import DOORS, Client, Publisher, Site
from tests.support.system import System, add_gateway, system, until

STEADY = ("ann", "ben", "cat")
OTHERS = ("deaf", "agent")


class Scene:
    """Everything that runs, and what was accepted."""

    def __init__(
        self,
        one: System,
        log: NatsLog,
        bus: Bus,
        sites: tuple[Site, Site],
        tokens: dict[str, str],
    ) -> None:
        self.one = one
        self.log = log
        self.publisher = Publisher(bus)
        self.sites = sites
        self.tokens = tokens
        self.clients = [Client(user, tokens[user], sites) for user in STEADY]
        self.told: dict[str, int] = {}
        """Accepted from those that are not steady clients, and the sequences they were told."""
        self.calls: dict[str, str] = {}
        """Tasks of the MCP endpoint, by the argument `task` of the call."""

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Let all users work; at the end everything is done and everybody has heard of it."""
        async with asyncio.TaskGroup() as group:
            submitting = [group.create_task(self.publisher.publish())]
            following = [group.create_task(self.pace())]
            for client in self.clients:
                submitting += [group.create_task(w) for w in (client.post(), client.submit())]
                following += [group.create_task(w) for w in (client.follow(), client.listen())]
            yield
            for user in (*self.clients, self.publisher):
                user.enough = True
            await asyncio.wait(submitting)
            await self.one.all_done(self.accepted())
            for client in self.clients:
                await self.heard(client)
            for task in following:
                task.cancel()

    async def pace(self) -> None:
        """Let each user submit another task for each that is over."""
        users = {one.user: one for one in (*self.clients, self.publisher)}
        async for batch in self.log.follow(("job.done.>",), START):
            for record in batch.records:
                if isinstance(record.fact, JobDone) and record.fact.user in users:
                    users[record.fact.user].room.release()

    def accepted(self) -> list[str]:
        """Every task that anybody was told is accepted."""
        told = [one.told for one in (*self.clients, self.publisher, self)]
        return [
            *(task for tasks in told for task in tasks),
            *self.publisher.queued,
            *self.calls.values(),
        ]

    async def used(self, site: Site, more: int = 5) -> None:
        """Wait until every program of every client gets its news from this gateway."""
        before = [client.news.copy() for client in self.clients]

        async def enough() -> bool:
            return all(
                client.at[door] is site and client.news[door] >= was[door] + more
                for client, was in zip(self.clients, before, strict=True)
                for door in DOORS
            )

        await until(enough)

    async def stuck(self) -> None:
        """Wait until all who submit wait for an answer, and none comes."""
        count = -1

        async def still() -> bool:
            nonlocal count
            before, count = count, sum(len(client.told) for client in self.clients)
            return before == count and all(client.waits() for client in self.clients)

        await until(still)

    async def heard(self, client: Client) -> None:
        """Wait until the client has heard of the last fact of its tasks."""
        last = (await self.facts(client.user))[-1]

        async def reached() -> bool:
            return all(seen and seen[-1] >= last for seen in client.seen.values())

        await until(reached)

    async def facts(self, user: str) -> list[int]:
        """Sequences of all facts of the user's tasks, as the auditor reads them."""
        head = await self.log.head()
        batches = self.log.scan(subjects.of_user(user), 0, head)
        return [record.seq async for batch in batches for record in batch.records]

    async def created(self, user: str) -> dict[str, int]:
        """The user's tasks in the log, and the sequences of their creation."""
        records = await self.log.read(subjects.of_user(user))
        return {r.fact.task: r.seq for r in records if isinstance(r.fact, TaskCreated)}

    async def stored(self, user: str, tasks: list[str]) -> dict[str, int]:
        """Wait until the log has all of these tasks; the answer is their sequences."""
        found: dict[str, int] = {}

        async def there() -> bool:
            nonlocal found
            found = await self.created(user)
            return found.keys() >= set(tasks)

        await until(there)
        return {task: found[task] for task in tasks}

    async def begun(self, task: str) -> None:
        """Wait until a host works on the task."""

        async def there() -> bool:
            return any(call["task"] == task for call in self.one.calls())

        await until(there)

    def freeze(self, name: str) -> None:
        """Stop a process where it is: nothing of it runs any more when this returns."""
        (pid,) = self.one.running.kill(name, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)

    async def moved(self, door: str, site: Site) -> None:
        """Wait until these programs of all clients have turned to this gateway."""

        async def all_did() -> bool:
            return all(client.at[door] is site for client in self.clients)

        await until(all_did)

    async def listens(self, site: Site) -> None:
        """Wait until this gateway answers; the supervisor starts it again when it was killed."""

        async def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await self.one.http.get(f"{site.url}/api/health")).status_code == 200
            return False

        await until(answers)

    async def late(self, client: Client, site: Site) -> None:
        """Resume from the first fact of all: no gateway that was started since has it in memory."""
        facts = await self.facts(client.user)
        assert await client.since(site, facts[0]) == facts[1:]

    async def check(self) -> None:
        """What was accepted is there once, as it was told; all have heard everything once."""
        records = await self.one.facts()
        invariants.check(records, self.one.calls(), self.accepted())
        created = {r.fact.task: r.seq for r in records if isinstance(r.fact, TaskCreated)}
        for one in (*self.clients, self.publisher, self):
            assert one.told.items() <= created.items()
        for client in self.clients:
            facts = await self.facts(client.user)
            assert client.seen == {"follow": facts, "sse": facts}, client.user
        starts = [call for call in self.one.calls() if call["event"] == "start" and call["task"]]
        for label, task in self.calls.items():
            assert [c["task"] for c in starts if c["arguments"].get("task") == label] == [task]


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Start everything, with a second gateway."""
    unlimited = {"METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0"}
    async with system(folder, {"one": 16, "two": 16}, **unlimited) as one, one.log() as log:
        tokens: dict[str, str] = {}
        for user in (*STEADY, *OTHERS):
            answer = await one.http.post(f"{one.url}/api/tokens", json={"user": user})
            tokens[user] = answer.json()["data"]["token"]
        # Started later, it knows all tokens from the beginning.
        second = await add_gateway(one.running, folder / "second")
        sites = (Site("gateway-1", one.url), Site("gateway-2", second))
        bus = await one.publisher()
        try:
            yield Scene(one, log, bus, sites, tokens)
        finally:
            await bus.close()
