"""Calls to requests: styles of parameters, bodies, credentials, and arguments that mean harm."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outside.openapi import document
from services.outside.openapi.operation import BadArguments, of_tool
from services.outside.openapi.request import ApiRequest, built
from tests.support.apis import one

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def call(
    content: dict[str, Any], arguments: dict[str, Any], secrets: dict[str, str] | None = None
) -> ApiRequest:
    operation = of_tool(document.api(content).tools, "op")
    assert operation is not None
    return built(operation, arguments, secrets or {})


def query(style: str | None, explode: bool | None, value: Any, **more: Any) -> str:
    parameter = {"name": "q", "in": "query", "style": style, "explode": explode} | more
    kept = {key: what for key, what in parameter.items() if what is not None}
    return call(one(kept), {"q": value}).path.removeprefix("/x?")


ARRAY, OBJECT = ["a", "b c", 1], {"R": 100, "G": True}


@pytest.mark.parametrize(
    ("style", "explode", "value", "sent"),
    [
        (None, None, "a&b=c", "q=a%26b%3Dc"),
        (None, None, 1.5, "q=1.5"),
        (None, None, True, "q=true"),
        (None, None, ARRAY, "q=a&q=b%20c&q=1"),
        ("form", False, ARRAY, "q=a,b%20c,1"),
        ("spaceDelimited", False, ARRAY, "q=a%20b%20c%201"),
        ("pipeDelimited", False, ARRAY, "q=a%7Cb%20c%7C1"),
        (None, None, OBJECT, "R=100&G=true"),
        ("form", False, OBJECT, "q=R,100,G,true"),
        ("deepObject", True, OBJECT, "q[R]=100&q[G]=true"),
        ("deepObject", True, {"a": {"b": [1, 2]}}, "q[a][b]=1&q[a][b]=2"),
        (None, None, "", "q="),
    ],
)
def test_a_query_has_its_style(style: Any, explode: Any, value: Any, sent: str) -> None:
    assert query(style, explode, value) == sent


def test_a_query_may_be_json_or_reserved() -> None:
    assert query(None, None, {"a": 1}, content={"application/json": {}}) == "q=%7B%22a%22%3A1%7D"
    assert query(None, None, "a/b:c&d", allowReserved=True) == "q=a/b:c%26d"


@pytest.mark.parametrize(
    ("explode", "value", "sent"),
    [
        (False, "a b", "/x/a%20b/y"),
        (False, "owner/repo", "/x/owner%2Frepo/y"),
        (False, ARRAY, "/x/a,b%20c,1/y"),
        (False, OBJECT, "/x/R,100,G,true/y"),
        (True, OBJECT, "/x/R=100,G=true/y"),
    ],
)
def test_a_path_has_its_style(explode: bool, value: Any, sent: str) -> None:
    parameter = {"name": "p q", "in": "path", "explode": explode}
    assert call(one(parameter, path="/x/{p q}/y"), {"p_q": value}).path == sent


def test_headers_and_cookies_have_theirs() -> None:
    parameters = [{"name": f"{place}-1", "in": place} for place in ("header", "cookie")]
    sent = call(one(*parameters), {"header-1": OBJECT, "cookie-1": "a;b"})
    assert sent.headers == {"Accept": "*/*", "header-1": "R,100,G,true", "Cookie": "cookie-1=a%3Bb"}


@given(TEXT)
def test_a_text_in_a_query_arrives_as_it_is(text: str) -> None:
    assert parse_qsl(query(None, None, text), keep_blank_values=True) == [("q", text)]


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_a_list_in_a_query_arrives_as_it_is(texts: list[str]) -> None:
    found = parse_qsl(query(None, None, texts), keep_blank_values=True)
    assert found == [("q", text) for text in texts]
    joined = query("form", False, texts).removeprefix("q=")
    assert [unquote(part) for part in joined.split(",")] == texts


@given(st.dictionaries(TEXT, TEXT, min_size=1, max_size=4))
def test_an_object_in_a_query_arrives_as_it_is(value: dict[str, str]) -> None:
    found = parse_qsl(query("deepObject", True, value), keep_blank_values=True)
    assert found == [(f"q[{key}]", text) for key, text in value.items()]


@given(TEXT)
def test_a_path_keeps_its_segments_whatever_is_put_in(text: str) -> None:
    content = one({"name": "p", "in": "path"}, path="/a/{p}/b")
    try:
        path = call(content, {"p": text}).path
    except BadArguments:
        parts = text.replace("\\", "/").split("/")
        assert not text or {".", ".."} & set(parts)
        return
    first, value, last = path.removeprefix("/").split("/")
    assert (first, unquote(value), last) == ("a", text, "b")
    assert urlsplit(f"https://a.example/v1{path}").netloc == "a.example"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"p": ".."}, "other paths"),
        ({"p": "a/../../admin"}, "other paths"),
        ({"p": "..\\x"}, "other paths"),
        ({"p": ""}, "it is empty"),
        ({}, "p: it is missing"),
        ({"p": "a", "X-H": "a\r\nB: c"}, "X-H: expected"),
        ({"p": "a", "X-H": "ä"}, "X-H: expected"),
        ({"p": "a", "other": 1}, "'other' is no argument; there are: p, X-H"),
        ({"p": "a" * 20_000}, "more than 16384 bytes"),
    ],
)
def test_what_would_lead_elsewhere_is_refused(arguments: dict[str, Any], words: str) -> None:
    header = {"name": "X-H", "in": "header"}
    with pytest.raises(BadArguments, match=words):
        call(one({"name": "p", "in": "path"}, header, path="/x/{p}"), arguments)


def test_two_arguments_make_no_dots_together() -> None:
    content = one({"name": "a", "in": "path"}, {"name": "b", "in": "path"}, path="/x/{a}{b}/y")
    assert call(content, {"a": "1", "b": "2"}).path == "/x/12/y"
    with pytest.raises(BadArguments, match="other paths"):
        call(content, {"a": ".", "b": "."})


def test_a_path_of_the_document_leads_nowhere_else() -> None:
    for path in ("x", "//evil.example/x", "/a/../../x", "/a?b=c#d"):
        try:
            sent = call(one(path=path), {}).path
        except BadArguments:
            continue
        assert urlsplit(f"https://a.example{sent}").netloc == "a.example"
        assert "#" not in sent


def body(media: str, schema: Any, value: Any) -> ApiRequest:
    request = {"required": True, "content": {media: {"schema": schema}}}
    return call(one(method="post", requestBody=request), {"body": value})


@pytest.mark.parametrize(
    ("media", "value", "kind", "data"),
    [
        ("application/json; charset=utf-8", {"a": [1]}, "application/json", b'{"a":[1]}'),
        ("application/vnd.a+json", None, "application/vnd.a+json", b"null"),
        ("*/*", 1, "application/json", b"1"),
        (
            "application/x-www-form-urlencoded",
            {"a b": "c&d", "e": [1, True], "f": None},
            "application/x-www-form-urlencoded",
            b"a+b=c%26d&e=1&e=true",
        ),
        ("text/csv", "ä", "text/csv; charset=utf-8", "ä".encode()),
        ("application/pdf", "AAE=", "application/pdf", b"\0\1"),
    ],
)
def test_a_body_has_its_form(media: str, value: Any, kind: str, data: bytes) -> None:
    sent = body(media, {}, value)
    assert (sent.headers["Content-Type"], sent.body) == (kind, data)


def test_a_form_of_many_parts_has_files() -> None:
    schema = {"properties": {"file": {"type": "string", "format": "binary"}, "n": {}}}
    sent = body("multipart/form-data", schema, {"file": "AAE=", "n": 1, 'x"\r\n': {"a": 1}})
    assert sent.body is not None
    kind, _, boundary = sent.headers["Content-Type"].partition("; boundary=")
    first, file, number, odd, last = sent.body.split(b"--" + boundary.encode())
    assert (kind, first, last) == ("multipart/form-data", b"", b"--\r\n")
    assert b'name="file"; filename="file"' in file
    assert file.endswith(b"\r\n\r\n\0\1\r\n")
    assert number.endswith(b'name="n"\r\n\r\n1\r\n')
    assert b'name="x%22%0D%0A"' in odd


@pytest.mark.parametrize(
    ("media", "value", "words"),
    [
        ("application/x-www-form-urlencoded", "a", "expected an object"),
        ("text/plain", {}, "expected a text"),
        ("application/pdf", "!", "in base64"),
    ],
)
def test_a_body_of_another_form_is_refused(media: str, value: Any, words: str) -> None:
    with pytest.raises(BadArguments, match=words):
        body(media, {}, value)


def test_a_body_may_be_left_out() -> None:
    content = one(method="post", requestBody={"content": {"application/json": {}}})
    assert call(content, {}).body is None
    content["paths"]["/x"]["post"]["requestBody"]["required"] = True
    with pytest.raises(BadArguments, match="body: it is missing"):
        call(content, {})


SCHEMES = {
    "head": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "ask": {"type": "apiKey", "in": "query", "name": "key"},
    "jar": {"type": "apiKey", "in": "cookie", "name": "sid"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "oauth": {"type": "oauth2", "flows": {}},
    "digest": {"type": "http", "scheme": "digest"},
}


@pytest.mark.parametrize(
    ("scheme", "sent"),
    [
        ("head", {"X-Key": "a:b"}),
        ("jar", {"Cookie": "sid=a%3Ab"}),
        ("bearer", {"Authorization": "Bearer a:b"}),
        ("oauth", {"Authorization": "Bearer a:b"}),
        ("basic", {"Authorization": "Basic YTpi"}),
    ],
)
def test_each_scheme_is_satisfied_by_a_secret(scheme: str, sent: dict[str, str]) -> None:
    content = one() | {"components": {"securitySchemes": SCHEMES}, "security": [{scheme: []}]}
    assert call(content, {}, {scheme: "a:b"}).headers == {"Accept": "*/*", **sent}
    assert call(content, {}).headers == {"Accept": "*/*"}
    assert call(content, {}).path == "/x"


def test_no_argument_takes_the_place_of_a_secret() -> None:
    parameters = [{"name": "x-key", "in": "header"}, {"name": "key", "in": "query"}]
    security = [{"digest": []}, {"bearer": [], "jar": []}, {"head": [], "ask": []}]
    content = one(*parameters) | {"components": {"securitySchemes": SCHEMES}, "security": security}
    sent = call(content, {"x-key": "mine", "key": "mine"}, {"head": "H", "ask": "A", "bearer": "B"})
    assert sent.headers == {"Accept": "*/*", "X-Key": "H"}
    assert sent.path == "/x?key=A"


def test_an_operation_is_in_the_log_as_it_is_read() -> None:
    (tool,) = document.api(one({"name": "p", "in": "query"})).tools
    assert msgspec.json.decode(msgspec.json.encode(tool), type=type(tool)) == tool
