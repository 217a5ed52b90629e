"""Files of a repository as input: the real gateway, the stand-in of GitHub, an executor's hands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from contracts.budget import DEFAULT
from contracts.facts import TaskCreated
from contracts.result import Pointer
from services.bus.bus import Bus
from services.executor.attempt.tree import WorkspaceLimits
from services.executor.attempt.workspace import Workspace
from services.gateway.sources import repository
from services.store.blobs import Blobs
from tests.support.facts import name
from tests.support.github.repos import SYMLINK, GitRepo, Node
from tests.support.github.server import GitHubServer, github_server
from tests.support.nats import NatsServer
from tests.unit.gateway.world import (
    SETTINGS,
    TOKENS,
    World,
    error_of,
    made,
    world,
    write_tokens,
)

TREE = {"app.py": b"eval(input())\n", "lib/x.py": b"x = 1\n", "docs/a.md": b"# A\n"}


class Scene(NamedTuple):
    """A gateway, GitHub, a repository of ann there; she is linked to the asking user."""

    at: World
    github: GitHubServer
    repo: GitRepo
    client: httpx.AsyncClient
    user: str

    async def submit(self, **files: Any) -> httpx.Response:
        """Submit a scan of these files."""
        content = {"input": {"files_from": {"repo": "ann/app"} | files}}
        return await self.client.post("/api/tasks", json={"type": "security_scan"} | content)


@contextlib.asynccontextmanager
async def scene(
    folder: Path, bus: Bus, github: GitHubServer, **options: Any
) -> AsyncIterator[Scene]:
    user = name("ann")
    settings = msgspec.structs.replace(SETTINGS, github_url=github.url)
    async with world(folder, bus, settings, **options) as one:
        write_tokens(folder, TOKENS | {"ann-token": {"user": user}})
        async with one.http("ann-token") as client:
            token = {"token": github.account("ann")}
            linked = await client.put("/api/accounts/github", json=token)
            assert linked.status_code == 200, linked.text
            repo = github.api.repos.get("ann/app") or github.repo("ann", "app", private=True)
            yield Scene(one, github, repo, client, user)


@pytest.fixture
async def github() -> AsyncIterator[GitHubServer]:
    async with github_server() as server:
        yield server


@pytest.fixture
async def shop(tmp_path: Path, bus: Bus, github: GitHubServer) -> AsyncIterator[Scene]:
    async with scene(tmp_path, bus, github) as one:
        one.repo.commit(TREE)
        yield one


def archive_of(view: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = view["spec"]["input"]["archive"]
    return found


async def unpacked(shop: Scene, bus: Bus, view: dict[str, Any], folder: Path) -> dict[str, bytes]:
    """What an executor finds in the workspace."""
    space = Workspace(folder, shop.user, "t", 1)
    blobs = Blobs(bus)
    await space.fill(shop.user, None, blobs, WorkspaceLimits(100, 10**6), archive_of(view))
    files = {
        str(path.relative_to(space.path)): path.read_bytes()
        for path in space.path.rglob("*")
        if path.is_file()
    }
    await space.remove()
    return files


async def test_a_repository_goes_as_far_as_the_workspace(
    shop: Scene, bus: Bus, tmp_path: Path
) -> None:
    answer = await shop.submit()
    assert answer.status_code == 201, answer.text
    view = answer.json()["data"]
    assert "files_from" not in view["spec"]["input"]
    commit = shop.repo.branches["main"]
    assert archive_of(view)["files_from"] == {
        "repo": "ann/app",
        "commit": commit,
        "files": 3,
        "size": sum(map(len, TREE.values())),
    }
    pointer = msgspec.convert(archive_of(view)["pointer"], Pointer)
    assert pointer.uri.endswith(f"/{shop.user}/{pointer.sha256}")
    assert await unpacked(shop, bus, view, tmp_path) == TREE
    # The log itself says so.
    (record,) = await shop.at.log.read((f"task.created.{shop.user}.*",))
    assert isinstance(record.fact, TaskCreated)
    assert msgspec.json.decode(record.fact.spec.input)["archive"] == archive_of(view)


async def test_branch_tag_commit_and_paths_are_meant_as_they_are_then(
    shop: Scene, bus: Bus, tmp_path: Path
) -> None:
    first = shop.repo.branches["main"]
    shop.repo.tags["v1"] = first
    shop.repo.commit({"app.py": b"safe\n", "ln": Node(SYMLINK, shop.repo.blob(b"/etc/passwd"))})
    digests = []
    for revision in ("v1", first, first[:10]):
        view = (await shop.submit(revision=revision, paths=["lib", "app.py"])).json()["data"]
        what = archive_of(view)["files_from"]
        assert (what["revision"], what["commit"]) == (revision, first)
        digests.append(archive_of(view)["pointer"]["sha256"])
    assert len(set(digests)) == 1, "the same commit and paths are the same bytes"
    assert (await unpacked(shop, bus, view, tmp_path)).keys() == {"app.py", "lib/x.py"}
    new = (await shop.submit()).json()["data"]
    assert archive_of(new)["files_from"]["left_out"] == {"links": 1}
    assert (await unpacked(shop, bus, new, tmp_path))["app.py"] == b"safe\n"


async def test_a_task_that_is_sent_again_is_the_first_whatever_the_branch_is_now(
    shop: Scene,
) -> None:
    body = {"type": "security_scan", "id": "again"}
    content = {"input": {"files_from": {"repo": "ann/app", "revision": "main", "paths": []}}}
    first = await shop.client.post("/api/tasks", json=body | content)
    assert first.status_code == 201
    shop.repo.commit({"app.py": b"other\n"})
    asked = len(shop.github.asked)
    bare = {"input": {"files_from": {"repo": "ann/app", "revision": "main"}}}
    again = await shop.client.post("/api/tasks", json=body | bare)
    assert (again.status_code, again.json()["data"]["spec"]) == (200, first.json()["data"]["spec"])
    assert len(shop.github.asked) == asked, "nothing is resolved anew"
    for other in ({"files_from": {"repo": "ann/app"}}, {"x": 1} | bare["input"]):
        refused = await shop.client.post("/api/tasks", json=body | {"input": other})
        assert (refused.status_code, error_of(refused).reason) == (409, "conflict")


async def test_two_gateways_that_are_sent_one_task_make_one(
    shop: Scene, github: GitHubServer, tmp_path: Path, nats_server: NatsServer
) -> None:
    body = {"type": "t.x", "id": "one", "input": {"files_from": {"repo": "ann/app"}}}
    settings = msgspec.structs.replace(SETTINGS, github_url=github.url)
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / "credentials").symlink_to(tmp_path / "credentials")
    async with (
        nats_server.connected("gateway") as bus,
        world(folder, bus, settings, log=shop.at.log) as other,
    ):
        write_tokens(folder, TOKENS | {"ann-token": {"user": shop.user}})
        async with other.http("ann-token") as there:
            reached = asyncio.Event()

            async def moves_on(_: Any) -> None:
                # Between the one's question and the other's, the branch goes on.
                shop.repo.commit({"app.py": b"moved\n"})
                reached.set()

            github.trouble.append(moves_on)
            answers = await asyncio.gather(
                shop.client.post("/api/tasks", json=body), there.post("/api/tasks", json=body)
            )
    assert reached.is_set()
    assert sorted(answer.status_code for answer in answers) == [200, 201]
    views = [answer.json()["data"] for answer in answers]
    assert views[0]["spec"] == views[1]["spec"]


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ({"repo": "ann/none"}, 404, "ann/none has no revision"),
        ({"repo": "bob/secret"}, 404, "bob/secret has no revision"),
        ({"revision": "nope"}, 404, "has no revision 'nope'"),
        ({"paths": ["src"]}, 404, "the commit has no path 'src'"),
        ({"paths": ["../x"]}, 400, "is no path in a repository"),
        ({"paths": ["/app.py"]}, 400, "is no path in a repository"),
        ({"revision": "a..b"}, 400, "is no branch, tag or commit"),
        ({"repo": "../app"}, 400, "is no name of an owner"),
        ({"repo": "app"}, 400, "input.files_from"),
        ({"commit": "0" * 40}, 400, "commit"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_made(
    shop: Scene, files: dict[str, Any], status: int, words: str
) -> None:
    shop.github.repo("bob", "secret", private=True).commit({"a": b"1"})
    answer = await shop.submit(**files)
    assert answer.status_code == status, answer.text
    assert words in error_of(answer).message
    assert await shop.at.log.head() == 0
    assert shop.at.site.admission.used(shop.user).open_tasks == 0


async def test_without_a_linked_account_one_is_told_to_link_it(shop: Scene) -> None:
    assert (await shop.client.delete("/api/accounts/github")).status_code == 200
    answer = await shop.submit()
    assert answer.status_code == 404
    assert "metamcp link github" in error_of(answer).message


async def test_what_github_says_is_passed_on(shop: Scene) -> None:
    shop.github.fail(401, "Bad credentials")
    answer = await shop.submit()
    assert (answer.status_code, "link" in error_of(answer).message) == (403, True)
    shop.github.used["ann"] = shop.github.limit
    limited = await shop.submit()
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) > 60
    assert await shop.at.log.head() == 0


async def test_what_is_too_big_is_refused_with_its_limit(
    tmp_path: Path, bus: Bus, github: GitHubServer
) -> None:
    budget = msgspec.structs.replace(DEFAULT, stored_bytes=2000)
    async with scene(tmp_path, bus, github, budget=budget) as shop:
        shop.repo.commit({f"{n}.txt": str(n).encode() * 9 for n in range(400)})
        answer = await shop.submit()
        assert answer.status_code == 413
        assert "stored_bytes" in error_of(answer).message
    shop.repo.commit({f"{n}.txt": b"1" for n in range(10_001)})
    async with scene(tmp_path, bus, github) as shop:
        answer = await shop.submit()
        assert answer.status_code == 413
        assert "more than 10,000 files with one task (max_files)" in error_of(answer).message
        assert (await shop.submit(paths=["1.txt"])).status_code == 201


async def test_what_only_the_gateway_says_nobody_else_can(shop: Scene) -> None:
    view = (await shop.submit()).json()["data"]
    forged = {"type": "t.x", "input": {"archive": archive_of(view)}}
    answer = await shop.client.post("/api/tasks", json=forged)
    assert (answer.status_code, error_of(answer).reason) == (400, "bad_request")
    hidden = b'{"type":"t.x","input":{"files\\u005ffrom":{"repo":"ann/app"}}}'
    over_http = await shop.client.post("/api/tasks", content=hidden)
    assert over_http.status_code == 400
    async with shop.at.stream("ann-token") as stream:
        await stream.socket.send('{"op":"submit","ref":9,"task":' + hidden.decode() + "}")
        refused = await stream.until(ref=9)
        assert (refused["op"], refused["code"]) == ("error", "bad_request")
        plain = {"type": "t.x", "input": {"files_from": {"repo": "ann/app"}}}
        assert (await stream.ask("submit", task=plain))["op"] == "ack"


async def test_one_user_has_only_so_many_fetched_at_once(
    shop: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "EACH", 1)
    go_on, began = asyncio.Event(), asyncio.Event()

    async def waits(_: Any) -> None:
        began.set()
        await go_on.wait()

    shop.github.trouble.append(waits)
    first = asyncio.create_task(shop.submit())
    await began.wait()
    over = await shop.submit()
    assert over.status_code == 429
    assert "fetched already" in error_of(over).message
    # Nobody else waits for it.
    await made(shop.client)
    go_on.set()
    assert (await first).status_code == 201
    assert (await shop.submit()).status_code == 201
