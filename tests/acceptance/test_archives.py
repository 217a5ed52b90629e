"""One archive in place of thousands of files: from the upload to what is said of it afterwards."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.archives import COMPRESSED, ended, member, tar, zeros, zip, zip_link
from tests.support.system import System, recorder, system

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]
READER = """
[hosts.reader]
name = "Reader"
endpoint.kind = "stdio"
{start}
endpoint.cwd = "{root}"
path_arguments = {{ read = ["path"] }}

[hosts.reader.task_types.reading]
summary = "Read a file of what was brought along"
[[hosts.reader.task_types.reading.steps]]
tool = "read"
arguments = {{ path = "$input.path" }}
"""
ENTRIES = (
    *(member(b"repo-main/a.py", content=b"print(1)\n"), member(b"repo-main/link", b"2")),
    *(member(b"repo-main/.git/config", content=b"[core]\n"), member(b"repo-main/b.py")),
)
REPOSITORY = COMPRESSED["gz"](ended(*ENTRIES))
REMARK = "input.archive: 2 files, 9 bytes unpacked; left out: 1 below .git, 1 links"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    folder = tmp_path_factory.mktemp("archives")
    extra = folder / "reader.toml"
    extra.write_text(READER.format(start=recorder(), root=Path(__file__).parents[2]))
    limits = {"METAMCP_EXECUTOR_MAX_FILES": "5000", "METAMCP_EXECUTOR_MAX_FILES_BYTES": "8388608"}
    async with system(folder, {"one": 1}, extra=extra, real=False, **limits) as running:
        yield running


async def uploaded(one: System, data: bytes) -> dict[str, Any]:
    answer = await one.http.put(f"{one.url}/api/blobs", content=data)
    assert answer.status_code == 201, answer.text
    return {"pointer": answer.json()["data"]}


async def ended_with(one: System, archive: Any, **fields: Any) -> dict[str, Any]:
    input_ = {"path": "repo-main/a.py", "archive": archive}
    return await one.finished(await one.submit("reading", input=input_ | fields))


async def test_limits_are_told_before_anything_is_sent(one: System) -> None:
    answer = await one.http.get(f"{one.url}/api/limits", headers={"Authorization": ""})
    assert answer.json() == {
        "success": True,
        "data": {
            "max_files": 5000,
            "max_files_bytes": 8 * 2**20,
            "max_input_bytes": 8 * 2**20,
            "max_blob_bytes": 256 * 2**20,
            "max_body": 2**20,
            "inline_limit": 64 * 1024,
        },
        "message": "",
    }


async def test_an_uploaded_archive_is_unpacked_and_what_was_left_out_is_said(one: System) -> None:
    found = await ended_with(one, await uploaded(one, REPOSITORY))
    assert found["status"] == "succeeded", found
    assert found["remarks"] == [REMARK]
    assert found["result"]["value"]["content"][0]["text"] == "print(1)\n"


async def test_an_archive_may_stand_in_the_input_beside_files(one: System) -> None:
    packed = {"base64": base64.b64encode(zip([("x/a", b"1"), zip_link("x/l", "/")])).decode()}
    for path, text in (("x/a", "1"), ("more", "2")):
        found = await ended_with(one, packed, files={"more": "2"}, path=path)
        assert found["result"]["value"]["content"][0]["text"] == text


async def test_a_direct_call_may_bring_an_archive(one: System) -> None:
    input_ = {"tool": "read", "arguments": {"path": "repo-main/a.py"}}
    input_ |= {"archive": await uploaded(one, REPOSITORY)}
    found = await one.finished(await one.submit(host="reader", input=input_))
    assert found["result"]["value"]["content"][0]["text"] == "print(1)\n"


async def test_an_archive_of_thousands_of_files_is_one_upload(one: System) -> None:
    files = {f"repo-main/{n % 90}/{n}.py": b"x" * 100 for n in range(4800)}
    files["repo-main/a.py"] = b"the one"
    found = await ended_with(one, await uploaded(one, COMPRESSED["gz"](tar(files))))
    assert found["result"]["value"]["content"][0]["text"] == "the one"
    assert found["remarks"] == ["input.archive: 4801 files, 480007 bytes unpacked"]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (ended(member(b"../out", content=b"x")), "forbidden_path", "'../out' is not allowed"),
        (zeros(64), "bad_input", "too big"),
        (REPOSITORY[:150], "bad_input", "cut off"),
        (b"print(1)\n", "bad_input", "send a tar"),
    ],
    ids=["leads out", "bomb", "cut off", "none"],
)
async def test_a_hostile_archive_fails_its_task_and_says_why(
    one: System, data: bytes, code: str, words: str
) -> None:
    found = await ended_with(one, await uploaded(one, data))
    assert (found["status"], found["error"]["code"], found["attempt"]) == ("failed", code, 1)
    assert words in found["error"]["message"]
    workspaces = one.running.data / "workspaces" / "executor-1"
    assert [path.name for path in workspaces.iterdir()] == []
