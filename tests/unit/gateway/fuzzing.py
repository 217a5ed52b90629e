"""What the fuzz tests share: Alice, who has secrets, and a watch over what nobody has caught."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import msgspec
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from contracts import facts as kinds
from contracts import wire
from contracts.facts import AnyFact, Failure, Outcome
from contracts.host import HealthStatus, Host, Stdio, TaskBinding, Tool
from contracts.result import Pointer, inline
from contracts.task import TaskSpec
from contracts.wire import Progress, ServerFrame
from services.process.ids import new_id
from tests.support import facts
from tests.unit.gateway.world import World

SECRET = "OnlyAlice7f3"
"""Stands in everything of Alice's. Nobody else ever says it, so nobody else may hear it."""
HERS, HER_OPEN, HER_HOST = "hers", "her-open", "her-host"
"""Ids of Alice's that others may guess."""
HIS, HIS_OPEN, HIS_HOST, PUBLIC = "his", "his-open", "his-host", "everyones"
PATIENCE_S = 60.0
"""A gateway of its own process takes its time to start where many others run."""
BLOB = f'{{"text":"{SECRET}"}}'.encode()

Case = TypeVar("Case")
_frames: msgspec.json.Decoder[ServerFrame] = msgspec.json.Decoder(ServerFrame)


async def holds(
    play: Callable[[Case], Awaitable[None]], cases: st.SearchStrategy[Case], examples: int
) -> None:
    """Play made-up cases on this loop, one after the other and the same in each run.

    Nothing may go wrong meanwhile that nobody takes care of.
    """
    loop = asyncio.get_running_loop()

    async def bounded(case: Case) -> None:
        try:
            async with asyncio.timeout(20):
                with nothing_unhandled():
                    await play(case)
        except Exception as error:
            raise AssertionError(f"{error!r} after {case!r}") from error

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        # A smaller case that fails would be nice, but takes minutes to find.
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def one(case: Case) -> None:
        asyncio.run_coroutine_threadsafe(bounded(case), loop).result()

    with nothing_unhandled():
        await asyncio.to_thread(one)
        gc.collect()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing tells about."""
    never = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.01)


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.lines.append(f"{record.name}: {record.getMessage()} {record.exc_info}")


@contextlib.contextmanager
def nothing_unhandled() -> Iterator[None]:
    """Fail if an error was logged in here, by us, a library or the loop, or a task's was lost."""
    heard, root = _Heard(), logging.getLogger()
    root.addHandler(heard)
    try:
        with structlog.testing.capture_logs() as lines:
            yield
    finally:
        root.removeHandler(heard)
    bad = [line for line in lines if line["log_level"] == "error" or line.get("exc_info")]
    assert heard.lines + bad == []


def _registered(host: str, owner: str | None, text: str) -> list[AnyFact]:
    tools = (Tool("echo", text), Tool(text, text, {"type": "object", "title": text}))
    spec = Host(
        id=host,
        name=text,
        owner=owner,
        endpoint=Stdio("x", (text,)),
        tools=tools,
        task_types={"t.x": TaskBinding((), text)},
    )
    status = HealthStatus.WARNING
    return [
        kinds.McpRegistered(id=new_id(), by="test", host=host, k=1, spec=spec),
        kinds.McpHealth(id=new_id(), by="test", host=host, k=1, status=status, reason=text),
    ]


def _removed(host: str) -> kinds.McpRemoved:
    return kinds.McpRemoved(id=new_id(), by="test", host=host, k=1, reason=SECRET)


def _system() -> list[AnyFact]:
    key = {"kty": "RSA", "n": SECRET}
    return [
        kinds.LogRouter(id=new_id(), by=SECRET, term=1),
        kinds.LogKey(id=new_id(), by="test", kid=SECRET, jwk=key),
    ]


def _task(user: str, task: str, text: str) -> kinds.TaskCreated:
    input_ = msgspec.Raw(msgspec.json.encode({"text": text}))
    return facts.created(user, task, spec=TaskSpec(type="t.x", input=input_))


def _hosts() -> list[AnyFact]:
    hidden = f"{SECRET}-host"
    made = [
        *_registered(PUBLIC, None, "plain"),
        *_registered(HIS_HOST, "bob", "plain"),
        *_registered(HER_HOST, "alice", SECRET),
        *_registered(hidden, "alice", SECRET),
        *_registered(f"{SECRET}-gone", "alice", SECRET),
    ]
    liked = [
        kinds.McpPreferred(id=new_id(), by="test", user="alice", host=host, k=1, weight=0.5)
        for host in (PUBLIC, HER_HOST, hidden)
    ]
    return [*made, _removed(f"{SECRET}-gone"), *liked]


def _tasks(blob: Pointer) -> list[AnyFact]:
    hidden = f"{SECRET}-task"
    gone = kinds.ResultDeleted(id=new_id(), by="test", user="alice", task=hidden, reason=SECRET)
    moved = kinds.ResultStored(id=new_id(), by="test", user="alice", task=HERS, pointer=blob)
    said = facts.failed("alice", HERS, message=SECRET, host=HER_HOST)
    error = Failure("tool", SECRET)
    return [
        _task("alice", HERS, SECRET),
        facts.signed("alice", HERS, permit=SECRET, host=HER_HOST),
        said,
        facts.done("alice", HERS, result=inline(BLOB), host=HER_HOST, attempt=1),
        moved,
        _task("alice", HER_OPEN, SECRET),
        _task("alice", hidden, SECRET),
        facts.done("alice", hidden, Outcome.FAILED, error=error),
        gone,
        _task("bob", HIS, "plain"),
        facts.done("bob", HIS, result=inline(b'{"text":"plain"}'), host=PUBLIC, attempt=1),
        _task("bob", HIS_OPEN, "plain"),
    ]


async def fill(gateway: World) -> Pointer:
    """Give Alice and Bob tasks, results, hosts and preferences; the answer is a blob of hers."""

    async def data() -> AsyncIterator[bytes]:
        yield BLOB

    blob = await gateway.site.desk.upload("alice", data(), "application/json")
    await gateway.append(*_system(), *_hosts(), *_tasks(blob))
    await gateway.settled()
    assert await gateway.site.projection.reached(gateway.site.feed.position, 20)
    return blob


def may_have(user: str, fact: AnyFact) -> bool:
    """Whether a fact is one of this user's, or of a host that everybody or he has."""
    match fact:
        case kinds.McpRegistered():
            return fact.spec.owner in (None, user)
        case kinds.McpHealth() | kinds.McpRemoved():
            return fact.host == PUBLIC or (user == "bob" and fact.host == HIS_HOST)
        case kinds.LogRouter() | kinds.LogKey() | kinds.LogSealed():
            return False
        case _:
            return fact.user == user


def read(text: str | bytes) -> ServerFrame:
    """What the server has sent, which must be one of its frames and nothing besides."""
    assert isinstance(text, str)
    frame = _frames.decode(text)
    assert json.loads(msgspec.json.encode(frame)) == json.loads(text)
    return frame


def read_by_bob(text: str | bytes) -> ServerFrame:
    """The same, and there is nothing in it that is not for Bob."""
    frame = read(text)
    assert SECRET not in str(text)
    if isinstance(frame, wire.Events):
        assert all(may_have("bob", kinds.decode(bytes(one.event))) for one in frame.events), text
    if isinstance(frame, wire.Ack):
        assert frame.user in (None, "bob")
    return frame


async def happen(gateway: World) -> None:
    """Something happens to Alice and to Bob, while they listen."""
    feed = gateway.site.feed
    for user, text in (("alice", SECRET), ("bob", "plain")):
        await gateway.append(facts.created(user, source=text))
        for task in (HERS, HER_OPEN, HIS_OPEN):
            feed.progress(user, task, msgspec.json.encode(Progress(user, task, 1, 0.5, 1.0, text)))
    await gateway.settled()


def nobody_listens(gateway: World) -> bool:
    """Whether connections, subscriptions and whoever waited have all gone."""
    feed = gateway.site.feed
    return not (gateway.site.streams.connections or feed._index or feed._progress or feed._waiters)


async def serves(gateway: World) -> None:
    """See that somebody else is served as ever."""
    async with gateway.stream() as one:
        assert (await one.receive())["op"] == "hello"
        await one.follow()
        (last,) = await gateway.append(facts.created("alice"))
        assert await one.through(last) == [last]
    await until(lambda: nobody_listens(gateway))


NUMBERS = (0, -1, 2**53, 2**63, 2**64, 10**40, -(10**40), 1.0, 0.5, 1e308, math.nan, math.inf)
THERE = (HERS, HER_OPEN, HER_HOST, "alice", HIS, HIS_OPEN, HIS_HOST, PUBLIC, "bob")
WILD = ("none", "*", ">", "hers.>", "*.hers", "alice.hers", "../alice/hers", "hers\n", " hers")
ENDS = ("", "\0", "\ud800", "é\U0001f600", "a" * 65, "a" * 3000)
IDS = st.sampled_from(THERE) | st.sampled_from((*WILD, *ENDS))
"""Ids that are there, and what may be taken for one or for many."""


def odd() -> st.SearchStrategy[Any]:
    """JSON values, and what only calls itself JSON, for where something else is expected."""
    numbers = st.sampled_from(NUMBERS)
    plain = st.none() | st.booleans() | numbers | IDS | st.text(max_size=8)
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(IDS, inner, max_size=3),
        max_leaves=6,
    )
