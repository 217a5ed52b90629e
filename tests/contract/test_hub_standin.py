"""The stand-in of the Hub as the unmodified huggingface_hub sees it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import httpx2
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers

from tests.support.hub import HubServer, hub_server

# The library's own use of its HTTP client.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning"),
]

DATA = "ann/data"
BIG = bytes(range(256)) * 4096  # 1 MiB, no text: kept by LFS


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[HubServer]:
    async with hub_server(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.account("ann"))


@pytest.fixture
def data(api: HfApi) -> HfApi:
    """With a private dataset."""
    api.create_repo(DATA, repo_type="dataset", private=True)
    return api


def commit(api: HfApi, parent: str | None = None, **files: bytes) -> str:
    """Commit files; `__` in a name is a slash, the first `_` after it a dot."""
    operations = [
        CommitOperationAdd(name.replace("__", "/").replace("_", "."), content)
        for name, content in files.items()
    ]
    made = api.create_commit(
        DATA, operations, commit_message="more", repo_type="dataset", parent_commit=parent
    )
    assert made.oid is not None
    return made.oid


def download(api: HfApi, path: str, folder: Path, revision: str = "main") -> bytes:
    file = hf_hub_download(
        DATA,
        path,
        repo_type="dataset",
        revision=revision,
        cache_dir=folder,
        endpoint=api.endpoint,
        token=api.token,
    )
    return Path(file).read_bytes()


def status_of(call: Callable[[], object]) -> int:
    with pytest.raises(HfHubHTTPError) as error:
        call()
    return error.value.response.status_code


# Who.


def test_a_token_says_whose_it_is_and_what_it_may_do(hub: HubServer) -> None:
    api = HfApi(endpoint=hub.url)
    who = api.whoami(hub.account("ann", role="read", orgs=("club",)))
    assert (who["name"], who["type"], who["orgs"][0]["name"]) == ("ann", "user", "club")
    assert who["auth"]["accessToken"]["role"] == "read"
    fine = api.whoami(hub.account("ann", role="fineGrained", permissions=("repo.write",)))
    scoped = fine["auth"]["accessToken"]["fineGrained"]["scoped"]
    assert scoped[0]["permissions"] == ["repo.write"]
    gone = hub.account("ann")
    hub.revoke(gone)
    assert status_of(lambda: api.whoami(gone)) == 401
    assert [one.user for one in hub.requests] == ["ann", "ann", ""]


def test_a_token_that_only_reads_writes_nothing(hub: HubServer) -> None:
    api = HfApi(endpoint=hub.url, token=hub.account("ann", role="read"))
    assert status_of(lambda: api.create_repo(DATA, repo_type="dataset")) == 403
    other = HfApi(endpoint=hub.url, token=hub.account("bob"))
    assert status_of(lambda: other.create_repo(DATA, repo_type="dataset")) == 403
    assert hub.repos == {}


def test_a_private_repository_is_for_its_owner_only(hub: HubServer, data: HfApi) -> None:
    stranger = HfApi(endpoint=hub.url, token=hub.account("bob"))
    with pytest.raises(RepositoryNotFoundError) as error:
        stranger.dataset_info(DATA)
    assert error.value.response.status_code == 404
    with pytest.raises(RepositoryNotFoundError):
        stranger.upload_file(
            path_or_fileobj=b"x", path_in_repo="x", repo_id=DATA, repo_type="dataset"
        )
    nobody = httpx.get(f"{hub.url}/api/datasets/{DATA}", trust_env=False)
    assert (nobody.status_code, "x-error-code" in nobody.headers) == (401, False)
    assert nobody.headers["x-error-message"] == "Invalid username or password."
    assert data.dataset_info(DATA).private
    data.update_repo_settings(DATA, repo_type="dataset", private=False)
    assert stranger.dataset_info(DATA).sha == data.dataset_info(DATA).sha
    assert status_of(lambda: commit(stranger, a_txt=b"x")) == 403


# Repositories and files.


def test_a_repository_is_made_once(hub: HubServer, api: HfApi) -> None:
    url = api.create_repo(DATA, repo_type="dataset")
    assert (url.repo_id, url.repo_type) == (DATA, "dataset")
    assert api.create_repo(DATA, repo_type="dataset", exist_ok=True) == url
    assert status_of(lambda: api.create_repo(DATA, repo_type="dataset")) == 409
    assert not api.repo_exists("ann/other", repo_type="dataset")
    api.delete_repo(DATA, repo_type="dataset")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(DATA, repo_type="dataset")
    assert hub.repos == {}


def test_small_and_big_files_come_back_as_they_were(
    hub: HubServer, data: HfApi, tmp_path: Path
) -> None:
    revision = commit(data, tasks__t1_json=b'{"a": 1}', results__r_dat=BIG)
    assert download(data, "tasks/t1.json", tmp_path) == b'{"a": 1}'
    assert download(data, "results/r.dat", tmp_path, revision) == BIG
    info = {
        item.path: item
        for item in data.get_paths_info(
            DATA, ["tasks/t1.json", "results/r.dat", "none"], repo_type="dataset"
        )
    }
    assert set(info) == {"tasks/t1.json", "results/r.dat"}
    assert info["tasks/t1.json"].lfs is None
    lfs = info["results/r.dat"].lfs
    assert (lfs.sha256, lfs.size) == (hashlib.sha256(BIG).hexdigest(), len(BIG))
    uploads = [one for one in hub.requests if one.method == "PUT"]
    assert [(one.status, one.user) for one in uploads] == [(200, "")]
    assert hub.commits("dataset", DATA)[-1].paths == ("tasks/t1.json", "results/r.dat")


def test_what_is_there_already_is_not_sent_again(hub: HubServer, data: HfApi) -> None:
    first = commit(data, a_dat=BIG, a_txt=b"same")
    assert commit(data, a_dat=BIG, a_txt=b"same") == first
    commit(data, copy_dat=BIG)
    assert len([one for one in hub.requests if one.method == "PUT"]) == 1
    assert len(hub.commits("dataset", DATA)) == 3


def test_an_upload_may_come_in_parts(hub: HubServer, data: HfApi, tmp_path: Path) -> None:
    hub.state.part_size = 300_000
    commit(data, a_dat=BIG)
    assert download(data, "a.dat", tmp_path) == BIG
    assert len([one for one in hub.requests if one.method == "PUT"]) == 4


def test_old_revisions_stay_readable(hub: HubServer, data: HfApi, tmp_path: Path) -> None:
    first = commit(data, a_txt=b"one", b_txt=b"b")
    second = commit(data, first, a_txt=b"two")
    deleted = data.create_commit(
        DATA, [CommitOperationDelete("b.txt")], commit_message="less", repo_type="dataset"
    )
    assert download(data, "a.txt", tmp_path, first) == b"one"
    assert download(data, "a.txt", tmp_path) == b"two"
    assert download(data, "b.txt", tmp_path, second) == b"b"
    with pytest.raises(EntryNotFoundError):
        download(data, "b.txt", tmp_path)
    with pytest.raises(RevisionNotFoundError):
        download(data, "a.txt", tmp_path, "0" * 40)
    history = data.list_repo_commits(DATA, repo_type="dataset")
    assert [one.commit_id for one in history[:3]] == [deleted.oid, second, first]
    assert history[0].title == "less"
    assert data.dataset_info(DATA, revision=first).sha == first


def test_folders_are_deleted_whole_and_missing_files_not_at_all(data: HfApi) -> None:
    commit(data, x__a_txt=b"a", x__y__b_txt=b"b", c_txt=b"c")
    data.delete_folder("x/", DATA, repo_type="dataset")
    assert set(data.list_repo_files(DATA, repo_type="dataset")) == {".gitattributes", "c.txt"}
    head = data.dataset_info(DATA).sha
    with pytest.raises(EntryNotFoundError):
        data.delete_file("none.txt", DATA, repo_type="dataset")
    assert data.dataset_info(DATA).sha == head


def test_a_commit_on_another_parent_is_refused(hub: HubServer, data: HfApi) -> None:
    first = commit(data, a_txt=b"1")
    second = commit(data, first, a_txt=b"2")
    assert status_of(lambda: commit(data, first, b_txt=b"3")) == 412
    assert data.dataset_info(DATA).sha == second
    assert "b.txt" not in hub.files("dataset", DATA)


def test_a_commit_names_only_objects_that_have_come(hub: HubServer, data: HfApi) -> None:
    line = '{"key": "header", "value": {"summary": "x"}}\n' + (
        '{"key": "lfsFile", "value": {"path": "a", "algo": "sha256", "oid": "%s", "size": 1}}\n'
        % ("0" * 64)
    )
    answer = httpx.post(
        f"{hub.url}/api/datasets/{DATA}/commit/main",
        content=line,
        headers={"Authorization": f"Bearer {data.token}"},
        trust_env=False,
    )
    assert (answer.status_code, len(hub.commits("dataset", DATA))) == (400, 1)
    assert "does not exist" in answer.json()["error"]


def test_bad_metadata_of_a_readme_is_refused(data: HfApi) -> None:
    with pytest.raises((BadRequestError, ValueError), match="Invalid metadata"):
        data.upload_file(
            path_or_fileobj=b"---\n{: bad\n---\n",
            path_in_repo="README.md",
            repo_id=DATA,
            repo_type="dataset",
        )


def test_parts_of_files_are_served(hub: HubServer, data: HfApi) -> None:
    commit(data, a_txt=b"0123456789", a_dat=BIG)
    signed = {"Authorization": f"Bearer {data.token}"}

    with httpx.Client(trust_env=False, follow_redirects=True, headers=signed) as http:

        def ask(path: str, part: str) -> httpx.Response:
            url = f"{hub.url}/datasets/{DATA}/resolve/main/{path}"
            return http.get(url, headers={"Range": f"bytes={part}"})

        part = ask("a.txt", "2-4")
        assert (part.status_code, part.content) == (206, b"234")
        assert part.headers["content-range"] == "bytes 2-4/10"
        assert ask("a.txt", "-3").content == b"789"
        assert ask("a.dat", "1000-").content == BIG[1000:]
        beyond = ask("a.txt", "10-")
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")


def test_the_ids_are_git_s_own(hub: HubServer, data: HfApi, tmp_path: Path) -> None:
    commit(data, a__b_txt=b"1", a_txt=b"2", a0_txt=b"3", c__d__e_txt=b"4")
    folder = tmp_path / "git"
    for path, content in hub.files("dataset", DATA).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    there = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*words: str) -> str:
        made = subprocess.run(
            ["git", *words], cwd=folder, env=there, check=True, capture_output=True, text=True
        )
        return made.stdout.strip()

    git("init", "-q")
    git("-c", "core.autocrlf=false", "add", "-A")
    root = git("write-tree")
    listed = list(data.list_repo_tree(DATA, repo_type="dataset", recursive=True))
    ours = {one.path: getattr(one, "blob_id", "") or one.tree_id for one in listed}
    theirs = git("ls-tree", "-rt", "--format=%(path) %(objectname)", root)
    assert ours == dict(line.split() for line in theirs.splitlines())


# Lists.


def test_trees_come_in_pages(hub: HubServer, data: HfApi) -> None:
    commit(data, **{f"d__{n}_txt": b"x" for n in range(7)})
    hub.state.page = 3
    tree = list(data.list_repo_tree(DATA, "d", repo_type="dataset", expand=True))
    assert [one.path for one in tree] == [f"d/{n}.txt" for n in range(7)]
    assert tree[0].last_commit.title == "more"
    assert len([one for one in hub.requests if "/tree/" in one.path]) == 3
    with pytest.raises(EntryNotFoundError):
        list(data.list_repo_tree(DATA, "none", repo_type="dataset"))


# Trouble.


def test_a_rate_limit_says_when_to_come_back(hub: HubServer, api: HfApi) -> None:
    hub.fail("GET /api/whoami", status=429, retry_after=7)
    with pytest.raises(HfHubHTTPError) as error:
        api.whoami()
    answer = error.value.response
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    limit = parse_ratelimit_headers(answer.headers)
    assert limit is not None
    assert (limit.resource_type, limit.remaining, limit.reset_in_seconds) == ("api", 0, 7)
    assert api.whoami()["name"] == "ann"


def test_the_library_comes_back_after_a_rate_limit(hub: HubServer, data: HfApi) -> None:
    hub.fail("preupload", status=429, retry_after=0)
    commit(data, a_txt=b"1")
    assert [one.status for one in hub.requests if "preupload" in one.path] == [429, 200]


def test_a_failure_is_for_as_many_requests_as_it_says(hub: HubServer, api: HfApi) -> None:
    hub.fail("whoami", status=500, times=2)
    assert [status_of(api.whoami) for _ in range(2)] == [500, 500]
    assert api.whoami()["name"] == "ann"
    hub.fail("whoami", status=503)
    hub.heal()
    assert api.whoami()["name"] == "ann"


def test_an_answer_can_get_lost_after_the_work(hub: HubServer, data: HfApi) -> None:
    hub.fail("POST .*/commit/", after=True)
    with pytest.raises(httpx2.TransportError):
        commit(data, a_txt=b"1")
    assert hub.files("dataset", DATA)["a.txt"] == b"1"
    assert hub.requests[-1].status == 0


def test_while_it_is_down_nobody_gets_through(hub: HubServer, api: HfApi) -> None:
    api.whoami()
    hub.down = True
    with pytest.raises(httpx2.TransportError):
        api.whoami()
    hub.down = False
    assert api.whoami()["name"] == "ann"


def test_an_upload_that_is_cut_is_sent_again(hub: HubServer, data: HfApi, tmp_path: Path) -> None:
    hub.fail("PUT /storage/")
    commit(data, a_dat=BIG)
    assert download(data, "a.dat", tmp_path) == BIG
    assert [one.status for one in hub.requests if one.method == "PUT"] == [0, 200]


def test_a_download_that_is_torn_goes_on(hub: HubServer, data: HfApi, tmp_path: Path) -> None:
    # The library writes 10 MiB at a time, and goes on behind what it has written.
    content = BIG * 12
    commit(data, a_dat=content)
    hub.fail("GET /storage/", torn_at=11 * len(BIG))
    assert download(data, "a.dat", tmp_path) == content
    answers = [one for one in hub.requests if one.path.startswith("/storage/")]
    assert [(one.method, one.status) for one in answers] == [
        ("PUT", 200),
        ("GET", 200),
        ("GET", 206),
    ]


async def test_a_request_can_hang_until_its_client_goes(hub: HubServer) -> None:
    hub.fail("whoami", hang=True)
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(f"{hub.url}/api/whoami-v2", timeout=httpx.Timeout(60, read=0.1))
