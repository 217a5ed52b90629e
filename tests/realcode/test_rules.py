"""Each rule of the security scan is whole, and each sample has a kind and a twin of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.registry.manifests.manifest import BUILTIN
from tests.realcode import samples
from tests.realcode.kinds import KINDS, numbers

FOLDER = BUILTIN.parent / "security" / "rules"
FILES = sorted(FOLDER.glob("*.yaml"))
LINES = 400


def rules(path: Path) -> list[dict[str, Any]]:
    """What one file holds."""
    loaded: list[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))["rules"]
    return loaded


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_rule_says_what_is_wrong_how_sure_it_is_and_how_to_mend_it(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LINES
    for rule in rules(path):
        about = rule["metadata"]
        assert rule["message"].rstrip().endswith("."), rule["id"]
        assert rule["severity"] in {"ERROR", "WARNING"}, rule["id"]
        assert numbers(about["cwe"]), rule["id"]
        assert about["confidence"] in {"HIGH", "MEDIUM", "LOW"}, rule["id"]
        assert about["fix"].strip(), rule["id"]


def test_no_two_rules_have_one_id() -> None:
    ids = [rule["id"] for path in FILES for rule in rules(path)]
    assert sorted(ids) == sorted(set(ids))


def test_every_kind_of_weakness_has_samples_and_every_sample_a_kind() -> None:
    kinds = {sample.kind for sample in samples.load()}
    assert kinds == KINDS.keys()


def test_a_sample_and_its_twin_are_different_programs_of_some_size() -> None:
    for sample in samples.load():
        assert sample.bad.strip() != sample.good.strip(), sample.name
        assert len(samples.filled(sample.bad)) > 20, sample.name


def test_a_sample_without_a_twin_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "python" / "xss" / "alone" / "bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"alone/bad\.py has no twin good\.py"):
        samples.load(tmp_path)


def test_a_secret_is_put_in_when_a_sample_is_written_and_is_the_same_each_time(
    tmp_path: Path,
) -> None:
    sample = samples.Sample("secrets", "hardcoded_secret", "a", ".env", "A={{stripe}}", "A={{b}}")
    samples.write([sample], tmp_path)
    text = (tmp_path / sample.path("bad")).read_text()
    assert text.startswith("A=sk" + "_live_")
    assert text == samples.filled(sample.bad)
    assert (tmp_path / sample.path("good")).read_text() == "A={{b}}"


@pytest.mark.parametrize("name", samples.SECRETS)
def test_no_secret_is_short_or_repeats_one_character(name: str) -> None:
    secret = samples.filled(f"{{{{{name}}}}}")
    assert len(secret) >= 12
    assert len(set(secret)) > 8
