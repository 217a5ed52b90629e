"""References to secrets in endpoints: what is one, and what comes into their places."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.host import Execute, Noop, OpenApi, Stdio, StreamableHttp
from contracts.references import filled, literal, named, names, reference, texts

VALUES = {"A": "a/b ?c&d=%é", "B": "two"}


def test_they_stand_in_arguments_variables_urls_and_headers() -> None:
    program = Stdio("{secret:A}", ("x", "--k={secret:A}"), {"V": "{secret:B}-{secret:A}"}, cwd="/x")
    assert names(program) == ["A", "B"]
    assert filled(program, VALUES) == Stdio(
        "{secret:A}", ("x", "--k=a/b ?c&d=%é"), {"V": "two-a/b ?c&d=%é"}, cwd="/x"
    )
    for kind in (StreamableHttp, Execute):
        web = kind("https://h.example/{secret:B}/x?k={secret:A}", {"X-K": "Basic {secret:B}"})
        assert names(web) == ["B", "A"]
        assert filled(web, VALUES) == kind(
            "https://h.example/two/x?k=a%2Fb%20%3Fc%26d%3D%25%C3%A9", {"X-K": "Basic two"}
        )
        assert [where for where, _ in texts(web)] == ["url", "headers.X-K"]
    assert filled(Noop(1.0), {}) == Noop(1.0)


def test_what_is_doubly_braced_is_meant_as_it_stands() -> None:
    program = Stdio("x", ("{{secret:A}}", '{"k": {secret:A}}', "${A}", "{A}", "{secret:A"))
    assert names(program) == ["A"]
    assert filled(program, {"A": "v"}).args == (  # type: ignore[union-attr]
        *("{secret:A}", '{"k": v}', "${A}", "{A}", "{secret:A"),
    )


TEXT = st.text("{}:A secrt", max_size=30)


@given(st.lists(st.one_of(TEXT, st.just("{secret:A}"), st.just("{{secret:A}}"))))
def test_any_text_can_be_written_so_that_it_stays(parts: list[str]) -> None:
    text = "".join(parts)
    written = literal(text)
    assert named(written) == []
    assert filled(Stdio("x", (written,)), {}) == Stdio("x", (text,))


def test_a_reference_refers() -> None:
    assert named(reference("A_B")) == ["A_B"]


def test_a_scheme_of_an_api_names_its_secret() -> None:
    api = OpenApi("https://a/{secret:A}", headers={"X": "{secret:B}"}, secrets={"key": "C"})
    assert names(api) == ["A", "B", "C"]
    known = filled(api, {"A": "/a", "B": "b", "C": "{c}"})
    assert known == OpenApi("https://a/%2Fa", headers={"X": "b"}, secrets={"key": "{c}"})
    assert filled(known, {}) == known
