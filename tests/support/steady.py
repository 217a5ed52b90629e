"""Users who submit and follow without a pause, and go on at another gateway when they are cut off.

They use nothing but the protocols: it is what a careful client in any language does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from services.bus.bus import Bus
from services.bus.errors import BusError

SUBMIT = "metamcp.tasks.submit"
DOORS = ("http", "socket", "follow", "sse")
WORK: dict[str, Any] = {"type": "work", "input": {"ms": 200}}
ROOM = 8
"""Tasks of one user that are not over yet; more are submitted when some are."""
BURST = 4
"""Submissions in a row on one websocket."""


class Site(NamedTuple):
    """One of the gateways."""

    name: str
    url: str

    def stream(self, token: str) -> connect:
        """Open a websocket."""
        return connect(
            "ws" + self.url.removeprefix("http") + "/api/stream",
            subprotocols=["metamcp.v1"],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {token}"},
            max_size=None,
            proxy=None,
        )


class Client:
    """One user's programs; each connects to the other gateway when it is cut off."""

    def __init__(self, user: str, token: str, sites: tuple[Site, Site]) -> None:
        self.user = user
        self.token = token
        self.sites = sites
        self.room = asyncio.Semaphore(ROOM)
        self.enough = False
        """Submit no more."""
        self.at = dict.fromkeys(DOORS, sites[0])
        self.news: Counter[str] = Counter()
        """Answers and facts that have come, by door."""
        self.asking: dict[str, dict[int, str]] = {"http": {}, "socket": {}}
        """Submissions without an answer."""
        self.told: dict[str, int] = {}
        """Accepted tasks and the sequences they were said to have."""
        self.cut: Counter[str] = Counter()
        """How often an answer was lost on its way, or what it would have answered."""
        self.seen: dict[str, list[int]] = {"follow": [], "sse": []}
        self.epoch: str | None = None
        self.codes: list[int] = []
        """How websockets were closed."""

    def waits(self) -> bool:
        """Whether both programs that submit wait for an answer."""
        return all(self.asking.values())

    async def post(self) -> None:
        """Submit by HTTP, one task after the other."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=60) as http:
            for number in itertools.count():
                await self.room.acquire()
                if self.enough:
                    return
                self.asking["http"][number] = f"{self.user}-http-{number}"
                while self.asking["http"]:
                    try:
                        await self._post(http, number)
                    except httpx.TransportError as error:
                        self.cut["http"] += not isinstance(error, httpx.ConnectError)
                        self._move("http")

    async def _post(self, http: httpx.AsyncClient, number: int) -> None:
        task = self.asking["http"][number]
        answer = await http.post(f"{self.at['http'].url}/api/tasks", json=WORK | {"id": task})
        assert answer.status_code in (200, 201), answer.text
        self._accepted("http", number, answer.json()["data"]["created_seq"])

    async def submit(self) -> None:
        """Submit on a websocket, some tasks at a time."""
        numbers = itertools.count()
        asking = self.asking["socket"]

        async def talk(socket: ClientConnection) -> None:
            while not self.enough:
                for ref, task in asking.items():
                    await socket.send(submission(ref, task))
                while asking:
                    frame = json.loads(await socket.recv())
                    assert frame["op"] == "ack", frame
                    self._accepted("socket", frame["ref"], frame["seq"])
                for _ in range(BURST):
                    await self.room.acquire()
                    number = next(numbers)
                    asking[number] = f"{self.user}-socket-{number}"

        await self._keep("socket", talk)

    async def follow(self) -> None:
        """Follow all tasks on a websocket, and resume where the last one was cut."""
        seen = self.seen["follow"]

        async def talk(socket: ClientConnection) -> None:
            await self._resume(socket, seen[-1] if seen else "start")
            while True:
                frame = json.loads(await socket.recv())
                seen.extend(event["seq"] for event in frame.get("events", ()))
                self.news["follow"] += len(frame.get("events", ()))

        await self._keep("follow", talk)

    async def since(self, site: Site, after: int) -> list[int]:
        """What comes up to now for one who has read so far and returns to this gateway."""
        seqs: list[int] = []
        async with site.stream(self.token) as socket:
            await socket.recv()
            await self._resume(socket, after)
            while (frame := json.loads(await socket.recv()))["op"] != "caught_up":
                seqs += [event["seq"] for event in frame.get("events", ())]
        return seqs

    async def _resume(self, socket: ClientConnection, after: int | str) -> None:
        ask = {"op": "subscribe", "ref": 1, "sub": "mine", "after": after, "epoch": self.epoch}
        await socket.send(json.dumps(ask))
        ack = json.loads(await socket.recv())
        through = 0 if after == "start" else after
        assert ack == {"op": "ack", "ref": 1, "recovered": True, "seq": through}

    async def _keep(self, door: str, talk: Callable[[ClientConnection], Awaitable[None]]) -> None:
        """Talk until that returns; on another connection when one is cut."""
        while True:
            try:
                async with self.at[door].stream(self.token) as socket:
                    hello = json.loads(await socket.recv())
                    self.epoch = self.epoch or hello["epoch"]
                    return await talk(socket)
            except (OSError, WebSocketException) as error:
                if isinstance(error, ConnectionClosed):
                    self.codes.append(error.rcvd.code if error.rcvd else 1006)
                    self.cut[door] += len(self.asking.get(door, ()))
                self._move(door)

    async def listen(self) -> None:
        """Read server-sent events, and come back as a browser does."""
        last = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            while True:
                address = f"{self.at['sse'].url}/api/events?after=start"
                with contextlib.suppress(httpx.TransportError):
                    async with http.stream("GET", address, headers=last) as answer:
                        assert answer.status_code == 200
                        async for event in blocks(answer):
                            if "id" in event:
                                last["Last-Event-ID"] = event["id"]
                            self._hear(event)
                self._move("sse")

    def _hear(self, event: dict[str, str]) -> None:
        assert event.get("event") != "reset"
        if "id" in event and event["event"] != "caught_up":
            self.seen["sse"].append(int(event["id"].partition("@")[0]))
            self.news["sse"] += 1

    def _accepted(self, door: str, ref: int, seq: int) -> None:
        self.told[self.asking[door].pop(ref)] = seq
        self.news[door] += 1

    def _move(self, door: str) -> None:
        self.at[door] = self.sites[self.at[door] is self.sites[0]]


class Publisher:
    """Publishes over NATS, by turns into the queue and as a request that is answered."""

    user = "publisher"

    def __init__(self, bus: Bus) -> None:
        self.room = asyncio.Semaphore(ROOM)
        self.enough = False
        self.queued: list[str] = []
        """What the queue has taken."""
        self.told: dict[str, int] = {}
        self._bus = bus

    async def publish(self) -> None:
        """Go on until there is enough."""
        for number in itertools.count():
            await self.room.acquire()
            if self.enough:
                return
            if number % 2:
                await self._queue(WORK | {"id": f"nats-{number}"})
            else:
                await self._ask(WORK | {"id": f"nats-{number}"})

    async def queue(self, label: str, count: int) -> None:
        """Publish several tasks at once."""
        await asyncio.gather(*(self._queue(WORK | {"id": f"{label}-{k}"}) for k in range(count)))

    async def _queue(self, body: dict[str, Any]) -> None:
        answer = json.loads(await self._bus.request("task.created", json.dumps(body).encode()))
        assert "error" not in answer, answer
        self.queued.append(body["id"])

    async def _ask(self, body: dict[str, Any]) -> None:
        while body["id"] not in self.told:
            # The gateway that has the question may be gone.
            with contextlib.suppress(BusError):
                data = json.dumps(body).encode()
                answer = json.loads(await self._bus.request(SUBMIT, data, timeout=1.0))
                assert "seq" in answer, answer
                self.told[body["id"]] = answer["seq"]


def submission(ref: int, task: str, **fields: Any) -> str:
    """The frame that submits a task."""
    return json.dumps({"op": "submit", "ref": ref, "task": WORK | {"id": task} | fields})


def request(token: str, task: str) -> bytes:
    """The bytes that submit a task by HTTP."""
    body = json.dumps(WORK | {"id": task})
    head = ("POST /api/tasks HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}")
    return "\r\n".join((*head, f"Content-Length: {len(body)}", "", body)).encode()


async def rest(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """What still comes on a connection, and the code it is closed with."""
    frames: list[dict[str, Any]] = []
    try:
        while True:
            frames.append(json.loads(await socket.recv()))
    except ConnectionClosed as closed:
        return frames, closed.rcvd.code if closed.rcvd else 0


async def blocks(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Server-sent events, as the fields of each; one that was cut off is none."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        else:
            yield fields
            fields = {}
