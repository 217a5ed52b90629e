"""Results on their way to Datasets: once each, whatever breaks; real NATS, a stand-in Hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from huggingface_hub import HfApi

from contracts.account import Provider
from contracts.errors import Reason, Rejected
from contracts.facts import McpRegistered, ResultStored
from contracts.host import Flags, Host, Stdio
from contracts.result import DatasetTasks, Kept, ResultFound, sha256_hex
from contracts.task import TaskSpec
from services.bus.bus import Bus
from services.huggingface.datasets import Datasets
from services.huggingface.hub import Hub, Patience
from services.keys.accounts import Accounts
from services.keys.vault import KeyFile
from services.log.memory import MemoryLog
from services.log.projection import Projection
from services.process.ids import new_id
from services.results import mover as moving
from services.results import sweeper as sweeping
from services.results.actor import Keeper
from services.results.copies import Copies
from services.results.listing import Listing
from services.results.mover import Mover
from services.results.projection import SCHEMA, VERSION, count_waiting
from services.results.settings import Settings
from services.results.sources import DatasetSource, InLog, InStore, Sources
from services.results.sweeper import Sweeper
from services.store.blobs import Blobs
from tests.support import facts
from tests.support.facts import name
from tests.support.hub import HubServer, hub_server
from tests.support.nats import NatsServer
from tests.support.system import until

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

REPO = "ann/metamcp-results"
HF = Provider.HUGGINGFACE


class World:
    """A results service in parts, its user, and the Hub."""

    def __init__(self, bus: Bus, accounts: Accounts, hub: HubServer, folder: Path) -> None:
        self.bus = bus
        self.accounts = accounts
        self.hub = hub
        self.folder = folder
        self.log = MemoryLog()
        self.user = name("u")
        self.keeper: Keeper
        self.mover: Mover
        self.sweeper: Sweeper
        self.listing: Listing
        self.projection: Projection

    async def link(self) -> str:
        token = self.hub.account("ann")
        await self.accounts.link(self.user, HF, "ann", token)
        return token

    async def host(self) -> None:
        flags = Flags(result_pointer_preferred=True)
        spec = Host(id="h", name="h", endpoint=Stdio("x"), flags=flags)
        await self.log.append(McpRegistered(id=new_id(), by="t", host="h", k=1, spec=spec))

    async def result(self, task: str, data: bytes) -> None:
        pointer = await Blobs(self.bus).put(self.user, data, "application/json")
        spec = TaskSpec(type="scan", input=msgspec.Raw(b'{"a":1}'))
        await self.log.append(facts.created(self.user, task, spec=spec))
        await self.log.append(facts.done(self.user, task, host="h", attempt=1, result=pointer))

    async def stored(self) -> dict[str, ResultStored]:
        """Tasks whose results have moved."""
        found = await self.log.read(("result.stored.>",), 1000)
        return {r.fact.task: r.fact for r in found if isinstance(r.fact, ResultStored)}

    async def until_stored(self, count: int) -> dict[str, ResultStored]:
        async def there() -> bool:
            return len(await self.stored()) >= count

        await until(there)
        return await self.stored()

    async def read(self, task: str) -> bytes:
        data = b""
        while True:
            ask = {"user": self.user, "task": task, "offset": len(data)}
            part = await self.keeper.read(msgspec.json.encode(ask))
            if not part:
                return data
            data += part

    @contextlib.asynccontextmanager
    async def running(self, file: str = "results.sqlite") -> AsyncIterator[None]:
        """Run the service's parts for as long as the block."""
        settings = Settings(commit_results=100)
        log, folder = self.log, self.folder
        self.projection = await Projection.open(folder / file, SCHEMA, VERSION)
        hub = Hub(
            self.hub.url,
            cache=folder / "hub-cache",
            patience=Patience(attempts=2, seconds=10.0, first_s=0.01),
        )
        datasets, blobs = Datasets(hub), Blobs(self.bus)
        store = InStore(blobs)
        sources = Sources(InLog(log), store, DatasetSource(datasets, self.accounts))
        copies = Copies(folder / "copies", settings.cache_bytes, sources.fetch)
        sweeper = Sweeper(log, self.projection, blobs, datasets, self.accounts, settings, "r")
        self.sweeper = sweeper
        self.keeper = Keeper(log, self.projection, blobs, copies, sweeper, settings)
        self.mover = Mover(
            log, self.projection, store, datasets, self.accounts, settings, "r", folder / "moving"
        )
        self.keeper.on_big = self.mover.wake
        self.listing = Listing(datasets, self.accounts, settings)
        tasks = [asyncio.create_task(self.keeper.follow()), asyncio.create_task(self.mover.run())]
        try:
            yield
            for task in tasks:
                assert not task.done(), task.exception()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            copies.close()
            await hub.close()
            await self.projection.close()


@pytest.fixture
async def world(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(moving, "LINGER_S", 0.05)
    monkeypatch.setattr(moving, "LOOK_S", 0.5)
    monkeypatch.setattr(moving, "FIRST_S", 0.05)
    monkeypatch.setattr(moving, "LONGEST_S", 0.3)
    key = KeyFile(tmp_path / "master.key")
    key.ensure()
    async with (
        nats_server.connected("gateway") as gateway,
        hub_server(tmp_path / "hub") as hub,
    ):
        yield World(gateway, Accounts(gateway, key), hub, tmp_path)


def body(n: int, size: int = 80_000) -> bytes:
    return json.dumps({"n": n, "x": "x" * size}).encode()


async def test_results_move_in_one_commit_and_are_read_there(world: World) -> None:
    await world.link()
    await world.host()
    for n in range(5):
        await world.result(f"t{n}", body(n))
    await world.result("same", body(0))
    async with world.running():
        stored = await world.until_stored(6)
        commits = [c for c in world.hub.commits("dataset", REPO) if "results" in c.title]
        assert len(commits) == 1
        assert world.hub.repos["dataset", REPO].private
        for n in range(5):
            pointer = stored[f"t{n}"].pointer
            digest = sha256_hex(body(n))
            assert pointer.sha256 == digest
            assert pointer.uri == (
                f"hf://datasets/{REPO}@{commits[0].oid}/results/{digest[:2]}/{digest}.json"
            )
            assert await world.read(f"t{n}") == body(n)
        assert stored["same"].pointer == stored["t0"].pointer
        described = json.loads(world.hub.files("dataset", REPO)["tasks/t3.json"])
        assert (described["task_id"], described["type"]) == ("t3", "scan")
        assert (described["status"], described["input"]) == ("succeeded", {"a": 1})
        assert described["result_id"].endswith(f"{sha256_hex(body(3))}.json")
        ask = msgspec.json.encode({"user": world.user, "limit": 2, "offset": 1})
        listed = msgspec.json.decode(await world.listing.tasks(ask), type=DatasetTasks)
        assert [task.task_id for task in listed.tasks] == ["t3", "t2"]
        assert await count_waiting(world.projection) == 0


async def test_without_an_account_results_stay(world: World) -> None:
    await world.host()
    await world.result("t1", body(1))
    async with world.running():
        assert await world.projection.reached(await world.log.head(), 10)
        assert await world.read("t1") == body(1)
        with pytest.raises(Rejected) as refusal:
            await world.listing.tasks(msgspec.json.encode({"user": world.user}))
        assert refusal.value.reason is Reason.NOT_FOUND
        await world.link()
        await world.result("t2", body(2))
        assert set(await world.until_stored(1)) == {"t2"}, "only what is made after the linking"


async def test_what_arrived_before_a_crash_is_not_sent_again(world: World) -> None:
    await world.link()
    await world.host()
    for n in range(3):
        await world.result(f"t{n}", body(n, 200_000))
    append = world.log.append

    async def never(*args: Any, **options: Any) -> int:
        await asyncio.Event().wait()
        raise AssertionError

    async with world.running():
        world.log.append = never  # type: ignore[method-assign]

        async def committed() -> bool:
            repo = world.hub.repos.get(("dataset", REPO))
            return repo is not None and any("results" in c.title for c in repo.history("main"))

        await until(committed)
        assert await world.stored() == {}
    world.log.append = append  # type: ignore[method-assign]
    before = len(world.hub.commits("dataset", REPO))
    uploads = sum(one.method == "PUT" for one in world.hub.requests)
    async with world.running():
        await world.until_stored(3)
    assert len(world.hub.commits("dataset", REPO)) == before
    assert sum(one.method == "PUT" for one in world.hub.requests) == uploads


async def test_a_lost_answer_is_no_second_upload(world: World) -> None:
    await world.link()
    await world.host()
    await world.result("t1", body(1))
    world.hub.fail("commit/main", after=True)
    async with world.running():
        await world.until_stored(1)
    assert len([c for c in world.hub.commits("dataset", REPO) if "results" in c.title]) == 1


async def test_trouble_at_the_hub_delays_and_loses_nothing(world: World) -> None:
    await world.link()
    await world.host()
    world.hub.down = True
    async with world.running():
        for n in range(30):
            await world.result(f"t{n}", body(n))
        assert await world.projection.reached(await world.log.head(), 10)
        assert await world.read("t7") == body(7), "they are read all the same"

        async def tried() -> bool:
            return moving.MOVE_ERRORS.labels("HubBusy")._value.get() >= 3

        await until(tried)
        world.hub.fail("commit/main", status=429, times=2, retry_after=0.05)
        world.hub.fail("preupload", status=500, times=2)
        world.hub.down = False
        await world.until_stored(30)
        paths = [path for path in world.hub.files("dataset", REPO) if path.startswith("results/")]
        assert len(paths) == 30
        assert await world.read("t7") == body(7)


async def test_a_refused_token_rests_until_it_is_another(world: World) -> None:
    token = await world.link()
    world.hub.revoke(token)
    await world.host()
    await world.result("t1", body(1))
    async with world.running():

        async def refused() -> bool:
            return moving.MOVE_ERRORS.labels("HubDenied")._value.get() >= 1

        await until(refused)
        await world.link()
        await world.result("t2", body(2))
        assert set(await world.until_stored(2)) == {"t1", "t2"}, "it is the same account"


async def test_a_deleted_result_goes_from_the_dataset(world: World) -> None:
    await world.link()
    await world.host()
    for task, n in (("t1", 1), ("t2", 1), ("t3", 3)):
        await world.result(task, body(n))
    async with world.running():
        await world.until_stored(3)
        assert await world.projection.reached(await world.log.head(), 10)
        one, three = (sha256_hex(body(n)) for n in (1, 3))

        def there(digest: str) -> bool:
            files = world.hub.files("dataset", REPO)
            return f"results/{digest[:2]}/{digest}.json" in files

        for task, left in (("t1", True), ("t2", False), ("t3", False)):
            ask = msgspec.json.encode({"user": world.user, "task": task})
            kept = msgspec.json.decode(await world.keeper.delete(ask), type=Kept)
            assert kept.deleted
            assert there(three if task == "t3" else one) is left
            with pytest.raises(Rejected) as refusal:
                await world.read(task)
            assert refusal.value.reason is Reason.NOT_FOUND


async def test_a_sweep_takes_all_away_that_has_outlived_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "PAGE", 2)
    await world.link()
    await world.host()
    for n in range(5):
        await world.result(f"t{n}", body(n))
    async with world.running():
        await world.until_stored(5)
        assert await world.projection.reached(await world.log.head(), 10)
        for n in range(1, 5):
            ask = msgspec.json.encode({"user": world.user, "task": f"t{n}"})
            kept = msgspec.json.decode(await world.keeper.get(ask), type=ResultFound).result
            await world.sweeper.delete(kept, "too old", erase=False)
        await world.sweeper.sweep()
        left = [path for path in world.hub.files("dataset", REPO) if path.startswith("results/")]
        digest = sha256_hex(body(0))
        assert left == [f"results/{digest[:2]}/{digest}.json"]


async def test_a_dataset_that_its_owner_has_removed_is_made_again(world: World) -> None:
    token = await world.link()
    await world.host()
    await world.result("t1", body(1))
    async with world.running():
        await world.until_stored(1)
        api = HfApi(world.hub.url, token=token)
        await asyncio.to_thread(api.delete_repo, REPO, repo_type="dataset")
        await world.result("t2", body(2))
        world.mover.wake()
        await world.until_stored(2)
        assert await world.projection.reached(await world.log.head(), 10)
        assert await world.read("t2") == body(2)


async def test_bytes_that_were_changed_there_are_never_given_out(world: World) -> None:
    await world.link()
    await world.host()
    await world.result("t1", body(1))
    async with world.running():
        await world.until_stored(1)
        digest = sha256_hex(body(1))
        repo = world.hub.repos["dataset", REPO]
        entry = repo.at("main").files[f"results/{digest[:2]}/{digest}.json"]
        for kept in (repo.blobs, repo.objects):
            for key, value in list(kept.items()):
                if value == body(1):
                    kept[key] = body(2)
        assert repo.read(entry) == body(2)
        assert await world.projection.reached(await world.log.head(), 10)
        with pytest.raises(Rejected) as refusal:
            await world.read("t1")
        assert refusal.value.reason in (Reason.DIGEST_MISMATCH, Reason.UNAVAILABLE)


async def test_tables_are_the_same_when_they_are_built_anew(world: World) -> None:
    await world.link()
    await world.host()
    for n in range(3):
        await world.result(f"t{n}", body(n))

    async def rows() -> list[Any]:
        assert await world.projection.reached(await world.log.head(), 10)
        return [
            await world.projection.query(f"SELECT * FROM {table} ORDER BY 1, 2")
            for table in ("results", "moves")
        ]

    async with world.running():
        await world.until_stored(3)
        first = await rows()
    async with world.running("other.sqlite"):
        assert await rows() == first
