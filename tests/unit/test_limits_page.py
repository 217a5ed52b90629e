"""docs/limits.md tells the truth: each value is what the code has, and no setting is missing."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.roles import SERVICES
from services.cli import settings_page
from services.process.settings import fields
from services.process.settings_sources import env_name

PAGE = (Path(__file__).parents[2] / "docs/limits.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| (.+?) \| `([A-Za-z_.]+)` \| (.+?) \|$", PAGE, re.MULTILINE)
UNITS = {"": 1, "s": 1, "ms": 1e-3, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
NO_LIMITS = {"METAMCP_GATEWAY_PORT", "METAMCP_METRICS_PORT"}
SETTINGS = {
    env_name(section, field.name): field.default
    for section, cls in settings_page.installed_sections().items()
    if section in (*SERVICES, "common")
    for field in fields(cls)
    if type(field.default) in (int, float)
}


def number(text: str) -> float:
    """What a cell such as `1,000`, `64 KiB` or `5 s` says."""
    found = re.fullmatch(r"([\d,]+) ?(\w*)", text)
    assert found, f"{text!r} is no number"
    return int(found[1].replace(",", "")) * UNITS[found[2]]


def value(name: str) -> Any:
    """Default of a setting, or what a dotted name stands for."""
    if name.startswith("METAMCP_"):
        return SETTINGS[name]
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = member(found, part)
        return found
    raise AssertionError(f"there is no {name}")


def member(of: Any, name: str) -> Any:
    if isinstance(of, Mapping):
        return of[name]
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        return {field.name: field.default for field in msgspec.structs.fields(of)}[name]
    return getattr(of, name)


@pytest.mark.parametrize(("limit", "default", "name"), [row[:3] for row in ROWS])
def test_a_limit_is_what_the_page_says(limit: str, default: str, name: str) -> None:
    assert value(name) == number(default), limit


def test_every_row_of_the_page_is_compared_but_the_disk() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| (?!limit \|)", line)]
    assert [row.split("|")[1].strip() for row in rows if "`" not in row] == ["size of the log"]
    assert len(rows) == len(ROWS) + 1
    assert len(ROWS) > 60


def test_every_setting_that_limits_something_is_on_the_page() -> None:
    named = {name for _, _, name, _ in ROWS}
    assert sorted(set(SETTINGS) - named - NO_LIMITS) == []
