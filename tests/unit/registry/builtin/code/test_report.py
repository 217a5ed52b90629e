"""Sums over files, and what goes first when an answer is too big."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.registry.builtin.code import report

NAMES = st.text("abc", min_size=1, max_size=3)


@st.composite
def a_file(draw: st.DrawFn) -> dict[str, Any]:
    file: dict[str, Any] = {"path": draw(NAMES), "language": draw(st.sampled_from("xyz"))}
    file["status"] = draw(st.sampled_from(("analyzed", "analyzed", "not_analyzed", "failed")))
    if file["status"] != "analyzed":
        return file | {"reason": "binary", "message": "no text"}
    code, blank = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    file["lines"] = {"total": code + blank, "code": code, "blank": blank}
    if draw(st.booleans()):
        numbers = draw(st.lists(st.integers(1, 30), max_size=4))
        file["functions"] = [{"name": "f", "line": 1, "complexity": one} for one in numbers]
    if draw(st.booleans()):
        names = draw(st.lists(NAMES, max_size=4))
        file["symbols"] = [{"name": one, "kind": "class", "signature": "x"} for one in names]
    return file


@given(st.lists(a_file(), max_size=8))
def test_the_sums_are_those_of_the_languages(files: list[dict[str, Any]]) -> None:
    sums = report.totals(files)
    parts = sums["by_language"].values()
    assert sums["files"] == sums["analyzed"] + sums["not_analyzed"] + sums["failed"] == len(files)
    assert sum(one["files"] for one in parts) == sums["analyzed"]
    for name in ("symbols", "functions"):
        assert sum(one.get(name, 0) for one in parts) == sums.get(name, 0)
        assert (name in sums) == any(name in file for file in files)
    if "complexity" in sums:
        assert 1 <= sums["complexity"]["mean"] <= sums["complexity"]["max"]
    else:
        assert not any(file.get("functions") for file in files)


@given(st.lists(a_file(), max_size=8), st.randoms())
def test_every_file_is_told_once_by_name(files: list[dict[str, Any]], random: Any) -> None:
    files = list({file["path"]: file for file in files}.values())
    answer = report.folder(files)
    told = [*answer["files"], *answer["not_analyzed"], *answer["failed"]]
    assert sorted(one["path"] for one in told) == sorted(one["path"] for one in files)
    mixed = list(files)
    random.shuffle(mixed)
    assert msgspec.json.encode(report.folder(mixed)) == msgspec.json.encode(answer)


def test_what_is_too_much_goes_step_by_step_and_is_said() -> None:
    symbol = {"name": "Order", "kind": "class", "signature": "class Order" * 20}
    files = [
        {
            "path": f"{number}.py",
            "language": "python",
            "status": "analyzed",
            "lines": {"total": 1},
            "symbols": [symbol] * 100,
        }
        for number in range(10)
    ]
    whole = report.folder(files)
    assert whole["remarks"] == []
    size = len(msgspec.json.encode(whole))
    no_signatures = report.folder(files, size - 1)
    assert "signature" not in no_signatures["files"][0]["symbols"][0]
    assert "signatures of symbols" in no_signatures["remarks"][0]["message"]
    no_symbols = report.folder(files, 10_000)
    assert "symbols" not in no_symbols["files"][0]
    assert no_symbols["totals"]["symbols"] == 1000
    assert "signature" in files[0]["symbols"][0], "what was given stays as it was"


def test_the_worst_function_is_the_first_of_its_number() -> None:
    function = {"name": "f", "parent": "A", "line": 3, "complexity": 7}
    files = [
        {"path": path, "language": "c", "status": "analyzed", "functions": [function]}
        for path in ("b.c", "a.c")
    ]
    worst = report.folder(files)["totals"]["complexity"]
    assert worst == {"mean": 7.0, "max": 7, "max_at": {"path": "a.c", "name": "A.f", "line": 3}}
