"""A log like that of a busy installation, put straight into a server of its own: what happened to
many tasks of many users, without the services that would have made it happen."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from contracts import facts, subjects
from contracts.facts import AnyFact, FailureKind, Outcome
from contracts.host import Host, Limits, Noop
from contracts.result import Pointer, inline, sha256_hex
from contracts.route import Candidate, Policy, Route
from contracts.task import TaskSpec
from services.bus.bus import Bus
from services.bus.client import Outgoing
from services.log.jetstream import STREAM_CONFIG
from services.log.wire import Wire
from services.process.ids import new_id
from services.up.nats_server import find_server

USERS = 100
HOSTS = 5
AT_ONCE = 64
"""Tasks that are under way at any time."""
PIECE = 2000
"""Messages sent before their arrival is waited for."""
_TRACE = "00-" + "4bf92f3577b34da6a3ce929d0e0e4736" + "-" + "00f067aa0ba902b7" + "-01"
_HEAD = f"NATS/1.0\r\ntraceparent: {_TRACE}\r\n\r\n".encode()
_PERMIT = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJlbmNoIn0." + "A" * 420 + "." + "B" * 342
_INPUT = b'{"arguments":{"path":"src/module.py","rules":["security","style"]},"tool":"scan"}'


def hosts() -> Iterator[AnyFact]:
    """Those that all tasks run on, and the key of the permits."""
    yield facts.LogRouter(id=new_id(), by="router-1", term=1)
    yield facts.LogKey(id=new_id(), by="executor-1", kid="bench", jwk={"kty": "RSA", "n": "A"})
    for i in range(HOSTS):
        spec = Host(id=f"h{i}", name=f"Host {i}", endpoint=Noop(), limits=Limits())
        yield facts.McpRegistered(id=new_id(), by="registry-1", host=spec.id, k=1, spec=spec)


def one_task(chance: random.Random, i: int) -> Iterator[AnyFact]:
    """All that is said of one task, from its creation to its end; some end never."""
    user, task = f"user{chance.randrange(USERS)}", f"{new_id()}"
    host = f"h{chance.randrange(HOSTS)}"
    both = {"user": user, "task": task}
    kind = chance.choice(("scan", "parse", "mcp.call"))
    project = f"p{chance.randrange(10)}" if chance.random() < 0.3 else ""
    spec = TaskSpec(type=kind, input=msgspec.Raw(_INPUT))
    yield facts.TaskCreated(id=new_id(), by="gateway-1", spec=spec, project=project, **both)
    fate = chance.random()
    attempts = 2 if fate < 0.05 else 1
    for attempt in range(1, attempts + 1):
        yield from _attempt(host, i, last=attempt == attempts, attempt=attempt, **both)
    if 0.05 <= fate < 0.0505:
        return
    result = inline(b'{"findings":[%b]}' % b",".join([b'{"line":12,"rule":"x"}'] * 12))
    big = 0.1 <= fate < 0.12
    pointer = Pointer(f"nats://METAMCP_BLOBS/{user}/{task}", "0" * 64, 100_000)
    yield facts.JobDone(
        id=new_id(),
        by="executor-1",
        outcome=Outcome.SUCCEEDED,
        attempt=attempts,
        host=host,
        input_sha256=sha256_hex(_INPUT),
        result=pointer if big else result,
        elapsed_ms=12.5,
        **both,
    )
    if big:
        yield facts.ResultStored(id=new_id(), by="results-1", pointer=pointer, **both)


def _attempt(host: str, i: int, *, last: bool, **named: Any) -> Iterator[AnyFact]:
    yield facts.TaskRouted(id=new_id(), by="router-1", route=_route(host, i), **named)
    yield facts.JobSigned(
        id=new_id(),
        by="executor-1",
        host=host,
        input_sha256=sha256_hex(_INPUT),
        executor="executor-1",
        incarnation="019a0000-0000-7000-8000-000000000000",
        expires=time.time() + 300,
        permit=_PERMIT,
        **named,
    )
    if not last:
        why: dict[str, Any] = {
            "kind": FailureKind.TOOL,
            "message": "the tool says no",
            "called": True,
        }
        yield facts.JobFailed(
            id=new_id(), by="executor-1", host=host, retryable=True, **why, **named
        )


def history(tasks: int) -> Iterator[AnyFact]:
    """The facts of so many tasks, interleaved as they would be."""
    yield from hosts()
    chance = random.Random(1)
    begun, running = 0, list[Iterator[AnyFact]]()
    while begun < tasks or running:
        while len(running) < AT_ONCE and begun < tasks:
            running.append(one_task(chance, begun))
            begun += 1
        place = chance.randrange(len(running))
        if (fact := next(running[place], None)) is None:
            running[place] = running[-1]
            running.pop()
        else:
            yield fact


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """A server without accounts, whose store is in `folder`; yields its address."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [str(find_server()), "-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(port)]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def fill(url: str, tasks: int) -> int:
    """Make the stream and store the facts of so many tasks; returns how many."""
    return await keep(url, history(tasks))


async def keep(url: str, past: Iterable[AnyFact]) -> int:
    """Make the stream and store these facts; returns how many."""
    bus = await Bus.connect(url, name="bench-history")
    wire = Wire(bus)
    await wire.start()
    plain = {**STREAM_CONFIG, "republish": None}
    await wire.api(f"$JS.API.STREAM.CREATE.{subjects.STREAM}", msgspec.json.encode(plain))
    piece: list[Outgoing] = []
    count = 0
    for fact in past:
        piece.append((subjects.of(fact), "", _HEAD, facts.encode(fact)))
        count += 1
        if len(piece) == PIECE:
            await _send(bus, wire, piece)
            piece = []
    if piece:
        await _send(bus, wire, piece)
    await wire.api(f"$JS.API.STREAM.UPDATE.{subjects.STREAM}", msgspec.json.encode(STREAM_CONFIG))
    await bus.close()
    return count


async def _send(bus: Bus, wire: Wire, piece: list[Outgoing]) -> None:
    """Store these; the answer to the last says that all are."""
    *others, (subject, _, _, payload) = piece
    await bus.nc.publish_all(others)
    await wire.request(subject, payload)


def _route(host: str, i: int) -> Route:
    names = [f"h{n}" for n in range(HOSTS)]
    return Route(
        host=host,
        host_seq=3,
        basis=i * 4,
        now=time.time(),
        term=1,
        policy=Policy(4, "c" * 16),
        input_sha256=sha256_hex(_INPUT),
        task_type="scan",
        slots=dict.fromkeys(names, 12),
        candidates=tuple(Candidate(name, 0.9, 0.4, 0.3, 0.1, 0.1) for name in names),
    )
