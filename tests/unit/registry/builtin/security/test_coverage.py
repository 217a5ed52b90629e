"""Every file is told exactly once, and none is called scanned that no rule looked at."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from services.registry.builtin.security.coverage import EngineRun, covered
from services.registry.builtin.security.engines.base import EngineResult, Rules
from services.registry.builtin.security.mirror import Copied
from tests.unit.registry.builtin.security.samples import copied

PATHS = "abcdef"
RULES = st.builds(Rules, st.integers(0, 3), st.integers(0, 2)).filter(any)
WRONG = st.tuples(st.sampled_from(["parse_error", "timeout", "engine_failed"]), st.text(max_size=4))
RUNS = st.lists(
    st.builds(
        EngineRun,
        st.sampled_from(["semgrep", "bandit", "detect-secrets"]),
        st.dictionaries(st.sampled_from(PATHS), RULES),
        st.builds(
            lambda failed: EngineResult(failed=failed),
            st.dictionaries(st.sampled_from(PATHS), WRONG),
        ),
    ),
    max_size=3,
    unique_by=lambda run: run.name,
)


@given(
    RUNS,
    st.lists(
        st.builds(
            lambda path, unfit: copied(path, unfit=unfit),
            st.sampled_from(PATHS),
            st.sampled_from([None, None, ("binary", "b")]),
        ),
        unique_by=lambda file: file.target.path,
    ),
)
def test_every_file_is_told_once(runs: list[EngineRun], files: list[Copied]) -> None:
    told = covered(files, runs)
    lists = {
        name: [one["path"] for one in told[name]] for name in ("scanned", "not_scanned", "failed")
    }
    assert sorted(chain(*lists.values())) == sorted(file.target.path for file in files)
    assert told["totals"]["files"] == len(files)
    for one in told["scanned"]:
        assert one["engines"]
        for name, count in one["engines"].items():
            run = next(run for run in runs if run.name == name)
            assert run.rules[one["path"]].language == count > 0
            assert one["path"] not in run.ran.failed
    for one in told["failed"]:
        assert any(run.problem or run.rules.get(one["path"], Rules(0)).language for run in runs)


def test_a_file_that_was_searched_for_secrets_only_is_not_scanned() -> None:
    runs = [EngineRun("detect-secrets", {"a.unknown": Rules(0, 23)}, EngineResult())]
    told = covered([copied("a.unknown", None), copied("b.lua", "lua")], runs)
    first, second = told["not_scanned"]
    assert (first["reason"], first["secrets"]) == ("no_rules", {"detect-secrets": 23})
    assert "secrets only" in first["message"]
    assert second == {"path": "b.lua", "reason": "no_rules", "message": "no rules for lua"}
    assert told["totals"] == {
        "files": 2, "scanned": 0, "not_scanned": 2, "failed": 0, "secrets_only": 1,
    }  # fmt: skip


def test_what_is_odd_with_a_scanned_file_is_said() -> None:
    runs = [
        EngineRun(
            "semgrep", {"a": Rules(5)}, EngineResult(remarks={"a": "semgrep: a part is missing"})
        ),
        EngineRun("bandit", {"a": Rules(4)}, EngineResult(failed={"a": ("parse_error", "line 3")})),
    ]
    (one,) = covered([copied("a", encoding="utf-16", replaced=3)], runs)["scanned"]
    assert (one["engines"], one["encoding"], one["replaced"]) == ({"semgrep": 5}, "utf-16", 3)
    assert one["remarks"] == [
        "bandit: not scanned (parse_error): line 3",
        "semgrep: a part is missing",
    ]


def test_an_engine_that_does_not_start_makes_no_file_look_like_one_without_rules() -> None:
    runs = [EngineRun("semgrep", {}, EngineResult(), "its program is missing")]
    (one,) = covered([copied("a.go", "go")], runs)["failed"]
    assert (one["reason"], one["message"]) == ("engine_failed", "semgrep: its program is missing")
