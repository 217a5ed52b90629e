"""The stand-in is as GitHub's documentation says the API is, and its objects are git's."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.github.repos import GitRepo
from tests.support.github.server import GitHubServer

FILES = {"a.txt": b"a\n", "lib/b.py": b"b", "lib.x": b"", "lib/in/c": b"c" * 1000, "libz/d": b"d"}


@pytest.fixture
async def client(github: GitHubServer) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {github.account('ann')}"}
    async with httpx.AsyncClient(base_url=github.url, headers=headers) as one:
        yield one


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_its_objects_are_those_of_git(tmp_path: Path) -> None:
    repo = GitRepo(1, "ann", "app")
    made = repo.commit(dict(FILES))
    git(tmp_path, "init", "-q")
    for path, content in FILES.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    git(tmp_path, "add", "-A")
    assert git(tmp_path, "write-tree") == made.tree
    listed = git(tmp_path, "ls-files", "-s").splitlines()
    theirs = {line.split("\t")[1]: line.split()[1] for line in listed}
    assert theirs == {path: node.sha for path, node in made.files.items()}


async def test_pages_are_linked(github: GitHubServer, client: httpx.AsyncClient) -> None:
    for n in range(5):
        github.repo("ann", f"r{n}")
    url: str | None = "/user/repos?per_page=2&sort=full_name"
    seen: list[list[str]] = []
    rels = []
    while url:
        answer = await client.get(url)
        seen.append([one["name"] for one in answer.json()])
        rels.append(set(answer.links))
        url = answer.links.get("next", {}).get("url")
    assert seen == [["r0", "r1"], ["r2", "r3"], ["r4"]]
    assert rels == [{"next", "last"}, {"prev", "next", "last", "first"}, {"prev", "first"}]


async def test_tags_spare_the_limit(github: GitHubServer, client: httpx.AsyncClient) -> None:
    first = await client.get("/user")
    assert first.headers["x-ratelimit-remaining"] == "4999"
    again = await client.get("/user", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-ratelimit-remaining"] == "4999"
    github.limit = 1
    limited = await client.get("/user")
    assert (limited.status_code, limited.headers["x-ratelimit-remaining"]) == (403, "0")
    assert "rate limit exceeded" in limited.json()["message"]
    assert int(limited.headers["x-ratelimit-reset"]) == github.reset


async def test_files_as_they_are_documented(
    github: GitHubServer, client: httpx.AsyncClient
) -> None:
    repo = github.repo("ann", "app")
    repo.commit({"small": b"x" * 100, "big": bytes(1024 * 1024 + 1)})
    small = (await client.get("/repos/ann/app/contents/small")).json()
    assert "\n" in small["content"]
    assert base64.b64decode(small["content"]) == b"x" * 100
    big = (await client.get("/repos/ann/app/contents/big")).json()
    assert (big["content"], big["encoding"], big["size"]) == ("", "none", 1024 * 1024 + 1)
    blob = f"/repos/ann/app/git/blobs/{big['sha']}"
    assert len(base64.b64decode((await client.get(blob)).json()["content"])) == big["size"]
    raw = await client.get(blob, headers={"Accept": "application/vnd.github.raw+json"})
    assert len(raw.content) == big["size"]


async def test_writes_as_they_are_answered(github: GitHubServer, client: httpx.AsyncClient) -> None:
    github.repo("ann", "app").commit({"a": b"1"})
    known = (await client.get("/repos/ann/app/contents/a")).json()["sha"]

    async def put(path: str = "a", **more: Any) -> httpx.Response:
        body = {"message": "m", "content": base64.b64encode(b"2").decode()} | more
        return await client.put(f"/repos/ann/app/contents/{path}", json=body)

    missing = await put()
    assert (missing.status_code, "wasn't supplied" in missing.text) == (422, True)
    wrong = await put(sha="0" * 40)
    assert (wrong.status_code, wrong.json()["message"]) == (409, f"a does not match {'0' * 40}")
    assert (await put(branch="none")).status_code == 404
    assert (await put(sha=known)).status_code == 200
    made = await put("new", sha="0" * 40)
    assert made.status_code == 201, "of what is not there no sha is looked at"
    assert (await put("b", content="%")).status_code == 422


async def test_archives_are_redirected(github: GitHubServer, client: httpx.AsyncClient) -> None:
    github.repo("ann", "app", private=True).commit({"a": b"1"})
    moved = await client.get("/repos/ann/app/tarball/main")
    assert moved.status_code == 302
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(moved.headers["location"])).content[:2] == b"\x1f\x8b"
        where = moved.headers["location"].partition("?")[0]
        assert (await anybody.get(where)).status_code == 404


async def test_who_is_not_known(github: GitHubServer, client: httpx.AsyncClient) -> None:
    github.repo("bob", "his", private=True)
    github.repo("bob", "open")
    assert (await client.get("/repos/bob/his")).json()["message"] == "Not Found"
    wrong = {"Authorization": "Bearer ghp_wrong"}
    assert (await client.get("/user", headers=wrong)).json()["message"] == "Bad credentials"
    async with httpx.AsyncClient(base_url=github.url) as nobody:
        assert (await nobody.get("/user")).status_code == 401
        assert (await nobody.get("/repos/bob/open")).status_code == 200
        assert (await nobody.get("/repos/bob/his")).status_code == 404
