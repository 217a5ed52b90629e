"""Every language with a small file of its own: what is in it was written down by reading it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.realcode.corpus import SAMPLES
from tests.support.code_engine import analyzed, asked, built

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
PAGE = Path(__file__).parents[5] / "docs" / "code-analysis.md"
EXPECTED = SAMPLES / "expected.txt"
LANGUAGES = [
    line.removeprefix("== ") for line in EXPECTED.read_text().splitlines() if line[:3] == "== "
]
REQUIRED = (
    "python javascript jsx typescript tsx java kotlin c cpp csharp go rust ruby php swift scala"
    " shell sql html css json yaml toml markdown"
).split()
NO_FUNCTIONS = "html css json yaml toml markdown xml scss dockerfile make".split()
NO_IMPORTS = "json yaml toml markdown sql xml".split()
NO_COMMENTS = "json markdown".split()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory)


@pytest.fixture(scope="module")
def told(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What is told of the sample of each language."""
    folder = tmp_path_factory.mktemp("samples")
    names = {}
    for path in sorted(SAMPLES.iterdir()):
        if path != EXPECTED:
            name = path.name.replace("python.txt", "python.py")
            shutil.copy(path, folder / name)
            names[name] = path
    answers = analyzed(engine, folder, names)
    return {one["language"]: one for one in answers.values()}


def written(one: dict[str, Any]) -> list[str]:
    """An answer as it stands in the file of what is expected."""
    lines = one["lines"]
    text = ["lines " + " ".join(f"{key} {lines[key]}" for key in sorted(lines))]
    for symbol in one["symbols"]:
        first, last = symbol["range"]["start"]["line"], symbol["range"]["end"]["line"]
        name = f"{symbol['parent']} | {symbol['name']}" if "parent" in symbol else symbol["name"]
        text.append(f"{first}-{last} {symbol['kind']} {name}")
        if "signature" in symbol:
            text[-1] += f" :: {symbol['signature']}"
    for each in one.get("imports", ()):
        names = [
            n["name"] + (f" as {n['alias']}" if "alias" in n else "") for n in each.get("names", ())
        ]
        rest = [key for key in ("star", "level", "static", "system") if key in each]
        alias = [f"as {each['alias']}"] if "alias" in each else []
        text.append(" ".join([f"import {each['module']}", *alias, *rest, ", ".join(names)]).strip())
    for each in one.get("functions", ()):
        keys = [key for key in ("parameters", "complexity") if key in each]
        text.append(" ".join([f"{each['name']}:", *(f"{key} {each[key]}" for key in keys)]))
    return text


def expected(language: str) -> list[str]:
    part = EXPECTED.read_text().partition(f"== {language}\n")[2].partition("\n== ")[0]
    return part.strip().splitlines()


def test_all_languages_that_are_promised_have_a_sample() -> None:
    assert set(REQUIRED) <= set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_told_as_it_was_written_down(
    language: str, told: dict[str, dict[str, Any]]
) -> None:
    one = told[language]
    assert (one["status"], one["errors"], one["remarks"]) == ("analyzed", [], [])
    assert written(one) == expected(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_language_has_no_notion_of_is_absent(
    language: str, told: dict[str, dict[str, Any]]
) -> None:
    one = told[language]
    assert ("functions" in one) == (language not in NO_FUNCTIONS)
    assert ("imports" in one) == (language not in NO_IMPORTS)
    assert ("comment" in one["lines"]) == (language not in NO_COMMENTS)
    kinds = {"code", "comment", "blank"} & one["lines"].keys()
    assert sum(one["lines"][kind] for kind in kinds) == one["lines"]["total"]


def test_symbols_come_in_the_order_of_the_text(told: dict[str, dict[str, Any]]) -> None:
    for one in told.values():
        places = [tuple(each["range"]["start"].values()) for each in one["symbols"]]
        assert places == sorted(places), one["language"]


def row(one: dict[str, Any]) -> str:
    shown = [one["comments"], one["imports"], one["functions"], one["complexity"], one["search"]]
    marks = [mark if isinstance(mark, str) else "yes" if mark else "" for mark in shown]
    return f"| `{one['name']}` | {' | '.join(marks)} |"


def test_the_page_has_the_table_of_languages(engine: Path) -> None:
    rows = [row(one) for one in asked(engine, "languages")["languages"]]
    shown = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert [line for line in shown if line.count("|") == 7] == rows


def test_python_that_ast_can_not_read_is_told_from_the_tree(engine: Path) -> None:
    text = (SAMPLES / "python.txt").read_text()
    whole, half = (
        asked(engine, "analyze", path="a.py", text=one, language="python")
        for one in (text, f"{text}\n\nclass Late:\n    def open(self, (:\n")
    )
    for part in ("symbols", "imports", "functions"):
        assert half[part][: len(whole[part])] == whole[part], part
    assert whole["errors"] == []
    assert {error["line"] for error in half["errors"]} <= {46, 47, 48}


def test_a_header_is_c_or_cpp_by_what_is_in_it(engine: Path) -> None:
    text = "class A {\n public:\n  int f() { return 1; }\n};\n"
    told = asked(engine, "analyze", path="a.h", text=text, language="c")
    assert (told["language"], told["errors"]) == ("cpp", [])
    plain = asked(engine, "analyze", path="a.h", text="int f(void);\n", language="c")
    assert plain["language"] == "c"


def test_lines_and_columns_count_characters(engine: Path) -> None:
    text = "x = 'ü€😀'; y = 2\n"
    told = asked(engine, "analyze", path="a.js", text=text, language="javascript")
    assert told["errors"] == []
    tree = asked(
        engine,
        "parse",
        path="a.js",
        text=text,
        language="javascript",
        wanted={"include_text": True},
        node_types=["number"],
    )
    assert [one["range"] for one in tree["matches"]] == [[1, 16, 1, 17]]
    assert tree["matches"][0]["text"] == "2"


def test_a_file_that_ends_anywhere_is_told_as_far_as_it_goes(engine: Path, tmp_path: Path) -> None:
    names = {}
    for path in sorted(SAMPLES.iterdir()):
        text = path.read_text()
        for part in (4, 7) if path != EXPECTED else ():
            name = f"{part}/{path.name.replace('python.txt', 'python.py')}"
            (tmp_path / name).parent.mkdir(exist_ok=True)
            # A quote, a bracket and a comment that nobody closes.
            (tmp_path / name).write_text(text[: len(text) * part // 9] + ' ("/* {')
            names[name] = path
    for name, one in analyzed(engine, tmp_path, names).items():
        assert one["status"] == "analyzed", (name, one)
        assert [remark for remark in one["remarks"] if "Error" in remark["message"]] == [], name
        assert one["symbols"] or "errors" in one, name


PATTERNS = [
    ("python", "print($A)", "print(1)\n", {"A": "1"}),
    ("c", "f($A)", "int g(void) { return f(2); }\n", {"A": "2"}),
    ("c", "if ($A) { $$$B }", "void g(void) { if (x) { y(); } }\n", {"A": "x", "B": ["y();"]}),
    ("cpp", "$A->$B($$$C)", "int g() { return a->b(1); }\n", {"A": "a", "B": "b", "C": ["1"]}),
    ("java", "public int $F($$$A) { $$$B }", "class A { public int f(int a) { return 1; } }\n",
     {"F": "f", "A": ["int a"], "B": ["return 1;"]}),
    ("csharp", "Foo($A)", "class A { void F() { Foo(1); } }\n", {"A": "1"}),
    ("go", "fmt.Println($A)", "package a\nfunc f() { fmt.Println(1) }\n", {"A": "1"}),
    ("rust", "$A.unwrap()", "fn main() { let x = a(1).unwrap(); }\n", {"A": "a(1)"}),
    ("javascript", "m($A) { $$$B }", "class A { m(x) { return x } }\n",
     {"A": "x", "B": ["return x"]}),
    ("tsx", "<A b={$X}/>", "const a = <A b={1}/>;\n", {"X": "1"}),
    ("php", "$Y->bar($A)", "<?php $y->bar(1);\n", {"Y": "$y", "A": "1"}),
    ("css", "color: $X", ".a { color: red; }\n", {"X": "red"}),
    ("shell", "rm $$$A", "rm -rf /tmp/x\n", {"A": ["-rf", "/tmp/x"]}),
    ("kotlin", "foo($A)", "fun f() { foo(1) }\n", {"A": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("language", "pattern", "text", "captured"), PATTERNS)
def test_a_pattern_is_read_as_it_is_meant(
    language: str, pattern: str, text: str, captured: dict[str, Any], engine: Path
) -> None:
    told = asked(engine, "find", language=language, pattern=pattern, text=text, most=10, context=0)
    assert [one["captured"] for one in told["matches"]] == [captured]
