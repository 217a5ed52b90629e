"""Our view of Hugging Face, through the unmodified library, on the stand-in of its protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.huggingface.datasets import Datasets, same
from services.huggingface.hub import (
    Hub,
    HubBusy,
    HubConflict,
    HubDenied,
    HubError,
    HubMissing,
    HubRefused,
    Patience,
)
from services.huggingface.spaces import Space, Spaces
from tests.support.hub import HubServer, hub_server

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

REPO = "ann/metamcp-results"
SPACE = "ann/tools"
BIG = bytes(range(256)) * 50_000
QUICK = Patience(attempts=3, seconds=20.0, first_s=0.01)
README = b"---\ntitle: T\nsdk: docker\n---\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[HubServer]:
    async with hub_server(tmp_path / "server") as server:
        yield server


@pytest.fixture
async def hub(server: HubServer, tmp_path: Path) -> AsyncIterator[Hub]:
    hub = Hub(server.url, cache=tmp_path / "cache", patience=QUICK)
    yield hub
    await hub.close()


@pytest.fixture
def token(server: HubServer) -> str:
    return server.account("ann")


@pytest.fixture
def datasets(hub: Hub) -> Datasets:
    return Datasets(hub)


@pytest.fixture
def spaces(hub: Hub) -> Spaces:
    return Spaces(hub)


def asked(server: HubServer, method: str, words: str) -> int:
    return sum(one.method == method and words in one.path for one in server.requests)


async def test_whose_a_token_is(server: HubServer, hub: Hub, token: str) -> None:
    assert await hub.whoami(token) == (await hub.whoami(token))
    who = await hub.whoami(token)
    assert (who.name, who.can_write) == ("ann", True)
    reader = await hub.whoami(server.account("ann", role="read"))
    assert reader.can_write is False
    with pytest.raises(HubDenied, match="metamcp link huggingface") as denied:
        await hub.whoami("hf_wrong")
    assert "hf_wrong" not in str(denied.value)


async def test_trouble_is_waited_out_within_bounds(server: HubServer, hub: Hub, token: str) -> None:
    server.fail("whoami", status=503, times=2)
    assert (await hub.whoami(token)).name == "ann"
    server.fail("whoami", status=429, times=1, retry_after=0.05)
    assert (await hub.whoami(token)).name == "ann"
    server.fail("whoami", times=2)
    assert (await hub.whoami(token)).name == "ann", "cut connections too"
    server.fail("whoami", status=500, times=10)
    with pytest.raises(HubBusy):
        await hub.whoami(token)
    server.heal()
    server.down = True
    with pytest.raises(HubBusy, match="can't be reached"):
        await hub.whoami(token)
    server.down = False
    assert (await hub.whoami(token)).name == "ann"


async def test_a_cancelled_call_leaves_the_rest_usable(
    server: HubServer, hub: Hub, token: str
) -> None:
    server.fail("whoami", hang=True)
    asking = asyncio.create_task(hub.whoami(token))
    async with asyncio.timeout(20):
        while not asked(server, "GET", "whoami"):
            await asyncio.wait((asking,), timeout=0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await hub.whoami(token)).name == "ann"


async def test_files_are_committed_once_and_read_at_their_revision(
    server: HubServer, datasets: Datasets, token: str, tmp_path: Path
) -> None:
    await datasets.ensure(token, REPO)
    await datasets.ensure(token, REPO)
    big = tmp_path / "big"
    big.write_bytes(BIG)
    files: dict[str, Any] = {"results/aa/big.bin": big, "tasks/t1.json": b"{}\n"}
    first = await datasets.commit(token, REPO, files, "two")
    before = len(server.commits("dataset", REPO))
    assert await datasets.commit(token, REPO, files, "again") == first
    assert len(server.commits("dataset", REPO)) == before, "nothing was missing"
    second = await datasets.commit(token, REPO, files | {"tasks/t1.json": b"{1}\n"}, "changed")
    assert second != first
    assert (await datasets.download(token, REPO, "tasks/t1.json", first)).read_bytes() == b"{}\n"
    assert (await datasets.download(token, REPO, "tasks/t1.json", second)).read_bytes() == b"{1}\n"
    assert (await datasets.download(token, REPO, "results/aa/big.bin", first)).read_bytes() == BIG
    found = await datasets.existing(token, REPO, [*files, "none"], second)
    assert set(found) == set(files)
    assert same(found["results/aa/big.bin"], BIG)
    assert not same(found["results/aa/big.bin"], BIG[1:])
    listed = await datasets.list(token, REPO, "tasks", second, limit=10)
    assert [entry.path for entry in listed] == ["tasks/t1.json"]
    third = await datasets.delete(token, REPO, ["results/aa/big.bin", "none"], "gone")
    assert set(await datasets.existing(token, REPO, list(files), third)) == {"tasks/t1.json"}
    assert await datasets.delete(token, REPO, ["none"], "gone") == third


@pytest.mark.parametrize("words", ["commit/main", "paths-info", "info/lfs", "preupload"])
async def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    server: HubServer, datasets: Datasets, token: str, words: str
) -> None:
    await datasets.ensure(token, REPO)
    before = len(server.commits("dataset", REPO))
    server.fail(words, after=True)
    await datasets.commit(token, REPO, {"a.bin": BIG, "b.txt": b"b"}, "two")
    assert len(server.commits("dataset", REPO)) == before + 1
    assert set(server.files("dataset", REPO)) >= {"a.bin", "b.txt"}


async def test_two_commits_at_once_both_arrive(
    server: HubServer, datasets: Datasets, token: str
) -> None:
    await datasets.ensure(token, REPO)
    one, two = await asyncio.gather(
        *(datasets.commit(token, REPO, {f"{n}.txt": b"%d" % n}, f"{n}") for n in range(2))
    )
    assert one != two
    assert set(server.files("dataset", REPO)) >= {"0.txt", "1.txt"}


async def test_strangers_see_nothing(server: HubServer, datasets: Datasets, token: str) -> None:
    await datasets.ensure(token, REPO)
    revision = await datasets.commit(token, REPO, {"a.txt": b"a"}, "one")
    stranger = server.account("bob")
    for work in (
        datasets.head(stranger, REPO),
        datasets.download(stranger, REPO, "a.txt", revision),
        datasets.commit(stranger, REPO, {"b.txt": b"b"}, "mine"),
        datasets.head(token, "ann/none"),
        datasets.download(token, REPO, "none.txt", revision),
        datasets.download(token, REPO, "a.txt", "0" * 40),
    ):
        with pytest.raises((HubMissing, HubDenied)) as error:
            await work
        assert stranger not in str(error.value)
        assert token not in str(error.value)
    reader = server.account("ann", role="read")
    with pytest.raises(HubDenied):
        await datasets.commit(reader, REPO, {"b.txt": b"b"}, "mine")


async def test_downloads_have_a_limit(
    server: HubServer, datasets: Datasets, token: str, tmp_path: Path
) -> None:
    await datasets.ensure(token, REPO)
    revisions = []
    for n in range(3):
        files = {f"{n}.bin": bytes([n]) * 2_000_000}
        revisions.append(await datasets.commit(token, REPO, files, "one"))
        await datasets.download(token, REPO, f"{n}.bin", revisions[n])
    assert await datasets.trim(10_000_000) == 0
    assert await datasets.trim(3_000_000) >= 2_000_000
    size = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.bin"))
    assert size <= 6_000_000
    assert (await datasets.download(token, REPO, "0.bin", revisions[0])).stat().st_size


async def test_spaces_are_made_deployed_and_listed(
    server: HubServer, spaces: Spaces, token: str, tmp_path: Path
) -> None:
    made = await spaces.create(token, SPACE, variables={"A": "1"})
    assert (made.repo, made.sdk, made.private) == (SPACE, "docker", True)
    assert (await spaces.create(token, SPACE)).repo == SPACE
    with pytest.raises(HubRefused, match="its SDK is docker"):
        await spaces.create(token, SPACE, sdk="static")
    with pytest.raises(HubRefused, match="there is no SDK"):
        await spaces.create(token, "ann/x", sdk="cobol")
    kit = tmp_path / "kit"
    for name, content in {
        "README.md": README,
        "mcp.json": b"{}",
        "tests/test_x.py": b"",
        ".hidden": b"",
    }.items():
        path = kit / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    first = await spaces.deploy(token, SPACE, kit, "the kit")
    assert await spaces.deploy(token, SPACE, kit, "again") == first
    files = server.files("space", SPACE)
    assert files["mcp.json"] == b"{}"
    assert not {"tests/test_x.py", ".hidden"} & set(files)
    assert await spaces.read_file(token, SPACE, "mcp.json", 10) == b"{}"
    assert await spaces.read_file(token, SPACE, "README.md", 10) is None, "too big"
    assert await spaces.read_file(token, SPACE, "none", 10) is None
    (listed,) = await spaces.list(token, "ann")
    assert isinstance(listed, Space)
    assert (listed.repo, listed.sdk) == (SPACE, "docker")
    assert "mcp.json" in listed.files
    assert (await spaces.get(token, SPACE)).sha == first
    await spaces.set_variables(token, SPACE, {"A": "2", "B": "3"})
    assert spaces.page(SPACE) == f"{server.url}/spaces/{SPACE}"


async def test_stages_are_said_as_they_are(server: HubServer, spaces: Spaces, token: str) -> None:
    await spaces.create(token, SPACE, sdk="static")
    for stage in ("SLEEPING", "PAUSED", "BUILDING", "SOMETHING_NEW"):
        server.stage(SPACE, stage)
        assert (await spaces.get(token, SPACE)).stage == stage
    server.stage(SPACE, "RUNTIME_ERROR", "it fell")
    found = await spaces.get(token, SPACE)
    assert (found.stage, found.error) == ("RUNTIME_ERROR", "it fell")


async def test_errors_are_of_few_kinds(server: HubServer, hub: Hub, token: str) -> None:
    datasets = Datasets(hub)
    await datasets.ensure(token, REPO)
    for status, kind in (
        (400, HubRefused),
        (403, HubDenied),
        (409, HubConflict),
        (404, HubMissing),
    ):
        server.fail(f"GET /api/datasets/{REPO}", status=status)
        with pytest.raises(kind):
            await datasets.head(token, REPO)
    assert issubclass(HubConflict, HubError)
