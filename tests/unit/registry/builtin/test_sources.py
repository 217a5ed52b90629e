"""What is in a folder: names, languages, encodings, and what can't be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.builtin import sources

RUSSIAN = "# Привет мир, как дела сегодня\n" * 5
GERMAN = "# Grüße aus Köln: die Straße heißt schön, Übung macht den Meister\n" * 5
JAPANESE = "# こんにちは世界、これは試験です\n" * 5
CHINESE = "# 你好世界 这是一个测试文件\n" * 5


def read(data: bytes, name: str = "a.py") -> sources.SourceText:
    return sources.decode(name, data, sources.language(name, data))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (GERMAN, "cp1252"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (CHINESE, "gb18030"),
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (GERMAN, "utf-16"),
        (GERMAN, "utf-32"),
        ("x = 'plain'\n", "utf-16-le"),
        ("x = 'plain'\n", "utf-16-be"),
    ],
)
def test_a_text_in_any_usual_encoding_is_read_as_it_was_written(text: str, encoding: str) -> None:
    found = read(text.encode(encoding))
    assert (found.text, found.replaced, found.problem) == (text, 0, None)


def test_one_letter_of_latin_1_is_read() -> None:
    found = read("x = 'é'\n".encode("latin-1"))
    assert (found.text, found.encoding) == ("x = 'é'\n", "cp1252")


def test_a_declared_encoding_is_believed_if_it_fits() -> None:
    line = "# -*- coding: koi8-r -*-\n"
    assert read((line + "# да\n").encode("koi8-r")).text == line + "# да\n"
    assert read(line.replace("koi8-r", "no-such").encode() + b"# \xe9\n").encoding == "cp1252"


def test_a_few_broken_bytes_in_utf_8_are_replaced_and_counted() -> None:
    found = read("# Grüße\n".encode() * 20 + b"# \xff\xfe\n")
    assert (found.encoding, found.replaced, found.problem) == ("utf-8", 2, None)
    assert found.text is not None
    assert found.text.count("\n") == 21


def test_a_replacement_character_of_the_file_itself_is_not_counted() -> None:
    assert read("# \ufffd is that sign\n".encode()).replaced == 0


def test_bytes_that_are_no_text_are_binary() -> None:
    for data in (b"x = 1\0\n", bytes(range(256)), b"\x89PNG\r\n\x1a\n\0\0", b"\1\2\3\4\5\6" * 10):
        assert (read(data).text, read(data).problem) == (None, "binary")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_a_reason(data: bytes) -> None:
    found = read(data)
    assert (found.text is None) == (found.problem is not None)
    assert found.size == len(data)
    assert found.replaced >= 0


@given(st.text(max_size=100), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_unicode_that_says_what_it_is_comes_back(text: str, encoding: str) -> None:
    if "\0" in text or text.startswith("\ufeff"):
        return
    found = read(text.encode(encoding, "replace"))
    if found.problem is None:
        assert found.text == text.encode(encoding, "replace").decode(encoding)


@pytest.mark.parametrize(
    ("name", "head", "language"),
    [
        ("a.mjs", b"", "javascript"),
        ("a.cjs", b"", "javascript"),
        ("a.mts", b"", "typescript"),
        ("a.ts", b"", "typescript"),
        ("a.tsx", b"", "tsx"),
        ("a.jsx", b"", "jsx"),
        ("src/a.pyi", b"", "python"),
        ("a.hh", b"", "cpp"),
        ("a.h", b"int a;", "c"),
        ("a.h", b"class A {};", "cpp"),
        ("a.h", b"#ifdef X\nnamespace a {\n", "cpp"),
        ("a.cs", b"", "csharp"),
        ("a.bash", b"", "shell"),
        ("run", b"#!/bin/sh\n", "shell"),
        ("run", b"#!/usr/bin/env python3\n", "python"),
        ("run", b"#!/usr/bin/env -S node --flag\n", "javascript"),
        ("Dockerfile.dev", b"", "dockerfile"),
        ("Makefile", b"", "make"),
        ("a.yml", b"", "yaml"),
        ("a.xml", b"", "xml"),
        ("a.svg", b"", "xml"),
        ("Cargo.lock", b"", "toml"),
        ("a.ipynb", b"", "json"),
        ("a.jsonc", b"", "json"),
        ("a.vue", b"", "vue"),
        (".env", b"A=1", None),
        ("a.txt", b"", None),
    ],
)
def test_languages_are_known_by_name_or_first_line(
    name: str, head: bytes, language: str | None
) -> None:
    assert sources.language(name, head) == language


def test_names_are_sorted_and_links_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/z", "b/a", "a", "c"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").symlink_to("b")
    assert sources.names_in(tmp_path, 10) == ["a", "b/a", "b/z", "c"]
    with pytest.raises(sources.TooMany, match="more than 3 files"):
        sources.names_in(tmp_path, 3)


def test_what_can_not_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "big.py").write_text("x" * 11)
    os.mkfifo(tmp_path / "pipe.py")
    big = sources.read(tmp_path, "big.py", 10)
    assert (big.problem, big.language, big.size) == ("too_big", "python", 11)
    assert sources.read(tmp_path, "big.py", 11).text == "x" * 11
    assert sources.read(tmp_path, "gone.py", 10).problem == "unreadable"
    assert sources.read(tmp_path, "pipe.py", 10).problem == "unreadable"
    (tmp_path / "link.py").symlink_to("big.py")
    assert sources.read(tmp_path, "link.py", 100).problem == "unreadable"


def test_texts_that_nobody_wrote_by_hand_are_unfit() -> None:
    def reason(text: str) -> str | None:
        found = sources.unfit(read(text.encode()))
        return found[0] if found else None

    assert reason("x = 1\n" * 1000) is None
    assert reason("var a=1;" * 1000) == "minified"
    assert reason("x = 1\n" * 10_000 + "y" * 20_001) == "long_line"
    assert reason("x" * 1500) is None
