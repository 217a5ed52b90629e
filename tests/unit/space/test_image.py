"""What the Space is built of is named to the byte."""

from __future__ import annotations

import re

import pytest

from tests.support.space import KIT

PIN = re.compile(r"^([a-z0-9][a-z0-9-]*)(?:\[[a-z,]+\])?==\S+(?: ; .*)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


@pytest.mark.parametrize("name", ["requirements", "server-requirements"])
def test_every_package_is_named_by_version_and_hash(name: str) -> None:
    lines = (KIT / f"{name}.txt").read_text().splitlines()
    pinned: dict[str, int] = {}
    last = ""
    for line in lines:
        if found := PIN.fullmatch(line):
            last = found[1]
            pinned[last] = 0
        elif not line.startswith("#"):
            assert HASH.fullmatch(line), line
            pinned[last] += 1
    assert pinned
    assert all(pinned.values())
    asked = re.findall(r"^([a-z][a-z0-9-]*)", (KIT / f"{name}.in").read_text(), re.MULTILINE)
    assert set(asked) <= pinned.keys()


def test_nothing_is_installed_without_its_hash() -> None:
    text = (KIT / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install[^&\n]*", text)
    assert len(installs) == 2
    assert all("--require-hashes" in one and "-r " in one for one in installs)
