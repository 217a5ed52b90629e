"""The console's files: what is vendored is what it says, and all of it may be served."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import httpx
import msgspec
import pytest

from services.bus.bus import Bus
from services.gateway.console import assets, routes
from tests.unit.gateway.world import SETTINGS, World, world

ROW = re.compile(r"^\| (\S+\.js) \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)
IMPORT = re.compile(r'(?:from\s*|import\s*\(?\s*)"([^"]+)"')


def test_vendored_modules_are_those_that_are_named() -> None:
    vendor = assets.WEB / "vendor"
    named = dict(ROW.findall((vendor / "README.md").read_text()))
    found = {path.name: path.read_bytes() for path in vendor.glob("*.js")}
    assert named == {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


@pytest.mark.parametrize("name", assets.load().modules)
def test_modules_import_what_is_served_here_alone(name: str) -> None:
    module = assets.WEB / name
    for imported in IMPORT.findall(module.read_text()):
        assert imported.startswith("."), imported
        assert (module.parent / imported).resolve().is_relative_to(assets.WEB)
        assert (module.parent / imported).is_file(), imported


@pytest.mark.parametrize("name", [n for n in assets.load().modules if "vendor/" not in n])
def test_nothing_is_markup_but_what_we_wrote(name: str) -> None:
    text = (assets.WEB / name).read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text)
    assert len(text.splitlines()) < 400


@pytest.mark.parametrize("path", ["", "/tasks/t1", "/hosts/alice/files", "/nowhere"])
async def test_every_address_is_the_same_page(gateway: World, path: str) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{gateway.url}/console{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == routes.shell()


async def test_files_are_kept_for_ever_and_packed(gateway: World) -> None:
    found = assets.load()
    async with httpx.AsyncClient() as http:
        for name, file in found.files.items():
            answer = await http.get(gateway.url + found.url(name))
            assert answer.content == file.data, name
            assert answer.headers["content-encoding"] == "gzip"
            assert answer.headers["cache-control"].endswith("immutable")
            assert answer.headers["content-type"].split(";")[0] in file.media_type
            assert answer.headers["x-content-type-options"] == "nosniff"
        plain = await http.get(gateway.url + found.url("app.js"), headers={"accept-encoding": ""})
        assert "content-encoding" not in plain.headers
        for path in (found.url("vendor/README.md"), f"{assets.PATH}/0/app.js", found.url("no.js")):
            assert (await http.get(gateway.url + path)).status_code == 404, path
    assert gzip.decompress(found.files["app.js"].packed) == found.files["app.js"].data


async def test_a_browser_is_led_to_the_console_and_a_program_is_not(gateway: World) -> None:
    async with httpx.AsyncClient() as http:
        person = await http.get(gateway.url, headers={"accept": "text/html"})
        program = await http.get(gateway.url)
    assert (person.status_code, person.headers["location"]) == (303, "/console")
    assert program.json()["data"]["links"]["console"] == "/console"


async def test_who_loads_the_console_is_not_told_to_wait(tmp_path: Path, bus: Bus) -> None:
    few = msgspec.structs.replace(SETTINGS, rate_limit_requests=3)
    found = assets.load()
    async with world(tmp_path, bus, few) as one, one.http(None) as http:
        answers = [await http.get(found.url(name)) for name in found.modules]
        assert {answer.status_code for answer in answers} == {200}
        codes = [(await http.get("/console")).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
