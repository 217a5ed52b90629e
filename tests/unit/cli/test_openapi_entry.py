"""From an OpenAPI document to a host's description, on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from services.cli.commands.host_changes import Description
from services.cli.common import CliError
from services.cli.host_entry import described
from services.cli.openapi_entry import endpoint
from services.foreign.entry import BadEntry
from services.outside.openapi import document, reading
from services.outside.openapi.servers import base_url
from services.registry.manifests import checks, entries
from tests.support.apis import FORGE, PETSTORE
from tests.support.http_host import answer, serving


@pytest.fixture
def forge(tmp_path: Path) -> str:
    file = tmp_path / "forge.json"
    file.write_bytes(msgspec.json.encode(FORGE))
    return str(file)


def test_a_file_stands_in_the_description(forge: str) -> None:
    given = Description(openapi=forge, operation=("issues_*",), secret=("bearer=FORGE_TOKEN",))
    made = given.entry(())
    content = made["endpoint"].pop("document")
    assert made == {
        "endpoint": {
            "kind": "openapi",
            "url": "https://api.forge.example",
            "operations": ["issues_*"],
            "secrets": {"bearer": "FORGE_TOKEN"},
        }
    }
    assert document.api(content).tools == document.api(FORGE).tools
    checks.check(entries.entry_of(given.entry(())), judged=True)


def test_the_target_is_the_base_url(forge: str) -> None:
    made = Description(openapi=forge, bearer_from="A").entry(("https://other.example/v1",))
    assert made["endpoint"]["url"] == "https://other.example/v1"
    assert made["endpoint"]["bearer_from"] == "A"


async def test_a_document_at_a_url_is_named(tmp_path: Path) -> None:
    async with serving(answer(PETSTORE.encode(), kind="text/yaml")) as server:
        url = f"{server.url}/openapi.yaml?v=1"
        made = await asyncio.to_thread(endpoint, url, (), ())
    assert made == {"kind": "openapi", "url": f"{server.url}/api/v3", "document_url": url}


@pytest.mark.parametrize(
    ("text", "target", "words"),
    [
        ("swagger: '2.0'", (), "convert it to OpenAPI 3"),
        (PETSTORE, (), "names no server with a host"),
        (PETSTORE, ("npx",), "for a URL, not for a program"),
    ],
)
def test_what_can_become_no_host(
    tmp_path: Path, text: str, target: tuple[str, ...], words: str
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(CliError, match=words):
        Description(openapi=str(file)).entry(target)


def test_what_does_not_go_together(forge: str) -> None:
    with pytest.raises(BadEntry, match="two kinds of hosts"):
        described(["https://a.example"], execute=True, openapi=endpoint(forge, (), ()))
    with pytest.raises(BadEntry, match="are for --openapi"):
        endpoint(None, ("x",), ())
    with pytest.raises(BadEntry, match="expected NAME=VALUE"):
        endpoint(forge, (), ("x",))
    with pytest.raises(BadEntry, match="can't be read: No such file"):
        endpoint("no-such-file", (), ())
    with pytest.raises(BadEntry, match=r"http://127.0.0.1:9/x can't be read"):
        endpoint("http://127.0.0.1:9/x?secret=1", (), ())


def test_a_document_is_read_as_it_is_written() -> None:
    assert base_url(reading.read(PETSTORE.encode()), "https://p.example/a.yaml") == (
        "https://p.example/api/v3"
    )
