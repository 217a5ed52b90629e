"""The single-file verifier: the shared test vectors, key sets, bodies taken apart byte by byte."""

from __future__ import annotations

import ast
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import permit
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from tests.support.space import AUDIENCE, KIT, ROOT, Issuer

VECTORS = json.loads((ROOT / "tests" / "vectors" / "permits.json").read_text())
INPUT = b'{"a": 1}'


@pytest.mark.parametrize("vector", VECTORS["permits"], ids=lambda vector: vector["name"])
def test_a_permit_is_judged_as_the_vectors_say(vector: dict[str, Any]) -> None:
    keys = permit.Keys(json.dumps(VECTORS["jwks"]))

    def verified() -> permit.Claims:
        return permit.verify(
            vector["token"],
            audience=vector["audience"],
            users=vector["users"],
            jwks=keys,
            input_bytes=vector["input"].encode(),
            now=vector["at"],
        )

    if vector["valid"]:
        assert verified().aud == vector["audience"]
    else:
        with pytest.raises(permit.PermitError):
            verified()


def test_the_vectors_hold_both_kinds_of_keys_and_both_verdicts() -> None:
    assert {key["kty"] for key in VECTORS["jwks"]["keys"]} == {"RSA", "OKP"}
    assert {vector["valid"] for vector in VECTORS["permits"]} == {True, False}


def imported(path: Path) -> set[str]:
    """Top-level names of what a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_the_verifier_needs_pyjwt_only() -> None:
    assert imported(KIT / "permit.py") <= sys.stdlib_module_names | {"jwt", "cryptography"}


def test_the_kit_stands_alone() -> None:
    own = {path.stem for path in KIT.glob("*.py")}
    # anyio comes with mcp, and belongs to its interface.
    named = {"mcp", "starlette", "uvicorn", "h11", "jwt", "cryptography", "jsonschema_rs"}
    allowed = sys.stdlib_module_names | own | named | {"anyio"}
    for path in KIT.glob("*.py"):
        assert imported(path) <= allowed, path.name


def verify(issuer: Issuer, claims: dict[str, Any], **more: Any) -> permit.Claims:
    keys = permit.Keys(json.dumps(issuer.jwks))
    chosen = {"audience": AUDIENCE, "users": {"ann", "bob"}, "jwks": keys, "input_bytes": INPUT}
    chosen |= more
    return permit.verify(issuer.sign(claims), **chosen)


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_a_permit_gives_its_claims(algorithm: str) -> None:
    issuer = Issuer(algorithm)
    claims = issuer.claims(INPUT, task="t7", attempt=2, user="bob", type="work")
    found = verify(issuer, claims)
    assert (found.sub, found.jti, found.attempt, found.task_type) == ("bob", "t7.2", 2, "work")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": [AUDIENCE]}, "bad_claims"),
        ({"aud": "ann-space"}, "old_permit"),
        ({"aud": "https://ann-spac.hf.space"}, "wrong_audience"),
        ({"aud": f"{AUDIENCE}/"}, "wrong_audience"),
        ({"aud": AUDIENCE.replace("https", "http")}, "wrong_audience"),
        ({"sub": "mallory"}, "wrong_user"),
        ({"sub": "an"}, "wrong_user"),
        ({"host": 1}, "bad_claims"),
        ({"attempt": True, "jti": "t1.True"}, "bad_claims"),
        ({"attempt": 0, "jti": "t1.0"}, "bad_claims"),
        ({"jti": "t1.2"}, "bad_claims"),
        ({"sub": "../ann"}, "bad_claims"),
        ({"exp": 1e12}, "bad_claims"),
        ({"input_sha256": "ab"}, "bad_claims"),
        ({"iss": "somebody"}, "wrong_issuer"),
        ({"exp": 1}, "expired"),
    ],
)
def test_a_wrong_claim_has_its_reason(changed: dict[str, Any], reason: str) -> None:
    issuer = Issuer()
    with pytest.raises(permit.PermitError) as caught:
        verify(issuer, issuer.claims(INPUT) | changed)
    assert caught.value.reason == reason


def test_an_old_permit_is_told_from_a_wrong_one_whatever_this_host_is_called() -> None:
    issuer = Issuer()
    with pytest.raises(permit.PermitError, match="upgrade the orchestrator") as caught:
        verify(issuer, issuer.claims(INPUT) | {"aud": "ann-space"}, audience="ann-space")
    assert caught.value.reason == "old_permit"


def test_a_host_may_have_several_addresses_and_users_but_no_text_of_them() -> None:
    issuer = Issuer()
    both = frozenset({AUDIENCE, "https://other.example"})
    assert verify(issuer, issuer.claims(INPUT), audience=both).sub == "ann"
    with pytest.raises(TypeError, match="set of names"):
        verify(issuer, issuer.claims(INPUT), users="joanna")
    with pytest.raises(permit.PermitError, match=r"not 'https://other'") as caught:
        verify(issuer, issuer.claims(INPUT) | {"aud": "https://o"}, audience="https://other")
    assert caught.value.reason == "wrong_audience"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Ann-Space.hf.space/x?y", "https://ann-space.hf.space"),
        ("https://h.example:443", "https://h.example"),
        ("http://h.example:443/", "http://h.example:443"),
        ("HTTPS://h.example:8443", "https://h.example:8443"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_origin_is_written_as_the_orchestrator_writes_it(url: str, origin: str) -> None:
    assert permit.origin(url) == origin == str(URL(url).origin())


@pytest.mark.parametrize(
    "url", ["", "h.example", "ftp://h.example", "https://", "https://a@b", "https://h:x"]
)
def test_what_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|ort"):
        permit.origin(url)


def test_leeway_allows_for_clocks_that_differ() -> None:
    issuer = Issuer()
    claims = issuer.claims(INPUT)
    for now in (claims["nbf"] - 9, claims["exp"] + 9):
        assert verify(issuer, claims, now=now, leeway=10).jti == "t1.1"
        with pytest.raises(permit.PermitError):
            verify(issuer, claims, now=now, leeway=5)


def test_a_huge_token_is_not_even_looked_at() -> None:
    with pytest.raises(permit.PermitError, match="more than"):
        permit.kid_of("x" * 10_000)


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": "RSA", "n": "sXch", "e": "AQAB"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "RSA", "use": "enc"},
        {"kty": "RSA", "alg": "RS512"},
        "no key",
    ],
)
def test_keys_that_must_not_count_are_left_out(entry: Any) -> None:
    good = Issuer("RS256")
    named = good.jwk | entry | {"kid": "other"} if isinstance(entry, dict) else entry
    keys = permit.Keys(json.dumps({"keys": [named, good.jwk]}))
    assert keys.find("other") is None
    assert keys.find("k1") is not None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": {}}', '{"keys": []}'])
def test_what_is_no_key_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        permit.parse_jwks(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SPACE = st.text(" \t\n\r", max_size=3)


@given(st.dictionaries(st.text(), JSON | st.text(), max_size=5), st.booleans(), st.data())
def test_members_are_exactly_what_stands_there(
    value: dict[str, Any], ascii_only: bool, data: st.DataObject
) -> None:
    raws = {name: json.dumps(item, ensure_ascii=ascii_only) for name, item in value.items()}

    def gap() -> str:
        return data.draw(SPACE)

    pieces = [
        f"{gap()}{json.dumps(name, ensure_ascii=ascii_only)}{gap()}:{gap()}{raw}{gap()}"
        for name, raw in raws.items()
    ]
    text = f"{gap()}{{{gap()}{','.join(pieces)}}}{gap()}"
    found = permit.members(text.encode("utf-8", "surrogatepass"))
    assert {name: member.raw.decode() for name, member in found.items()} == raws
    assert {name: member.value for name, member in found.items()} == value


@given(st.binary(max_size=40) | st.text('{}[]",:1eNa \\u', max_size=30).map(str.encode))
def test_members_agree_with_json_on_what_is_an_object(text: bytes) -> None:
    try:
        found = permit.members(text)
    except ValueError:
        return
    assert {name: member.value for name, member in found.items()} == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[]", b"{", b"{]", b'{"a":1,}', b'{"a":1}x', b'{"a":1}{}', b'{"a":NaN}', b"\xff"),
        *(
            b'{"a":1,"a":1}',
            b'{"a":1,"\\u0061":1}',
            b"{1:1}",
            b'{"a":-Infinity}',
            b"\xef\xbb\xbf{}",
        ),
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_no_plain_object_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        permit.members(text)


def test_a_body_with_many_members_is_taken_apart_in_linear_time() -> None:
    text = json.dumps({str(n): n for n in range(100_000)}).encode()
    assert len(permit.members(text)) == 100_000


class Publisher(http.server.HTTPServer):
    """Serves a key set, and counts who asks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.status, self.body, self.asked = 200, "{}", 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/jwks.json"


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        publisher = self.server
        assert isinstance(publisher, Publisher)
        publisher.asked += 1
        self.send_response(publisher.status)
        if publisher.status == 302:
            self.send_header("Location", publisher.url)
        self.end_headers()
        self.wfile.write(publisher.body.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_remote_keys_are_fetched_for_a_new_kid_but_not_too_often(publisher: Publisher) -> None:
    clock, one, two = Clock(), Issuer(kid="k1"), Issuer(kid="k2")
    keys = permit.RemoteKeys(publisher.url, clock=clock)
    publisher.body = json.dumps(one.jwks)
    assert keys.find("k1") is not None
    publisher.body = json.dumps({"keys": [one.jwk, two.jwk]})
    for _ in range(100):
        assert keys.find("k2") is None
    assert publisher.asked == 1
    clock.now += permit.REFETCH_S
    assert keys.find("k2") is not None
    assert keys.find("k1") is not None
    assert publisher.asked == 2


def test_a_key_that_was_withdrawn_stops_counting(publisher: Publisher) -> None:
    clock = Clock()
    keys = permit.RemoteKeys(publisher.url, clock=clock)
    publisher.body = json.dumps(Issuer(kid="k1").jwks)
    assert keys.find("k1") is not None
    publisher.body = json.dumps(Issuer(kid="k2").jwks)
    assert keys.find("k1") is not None
    clock.now += permit.MAX_AGE_S
    assert keys.find("k1") is None


@pytest.mark.parametrize("status", [404, 302, 500])
def test_keys_that_can_not_be_fetched_are_no_verdict(publisher: Publisher, status: int) -> None:
    clock = Clock()
    keys = permit.RemoteKeys(publisher.url, clock=clock)
    publisher.body = json.dumps(Issuer().jwks)
    publisher.status = status
    with pytest.raises(permit.KeysUnavailable, match=str(status)):
        keys.find("k1")
    publisher.status = 200
    clock.now += permit.REFETCH_S
    assert keys.find("k1") is not None
    publisher.status = status
    clock.now += permit.MAX_AGE_S
    assert keys.find("k1") is not None, "what is known counts while nothing newer can be had"
    assert str(status) in keys.problem


def test_a_key_set_over_the_limit_is_refused(publisher: Publisher) -> None:
    publisher.body = json.dumps(Issuer().jwks) + " " * permit.MAX_JWKS
    with pytest.raises(permit.KeysUnavailable, match="more than"):
        permit.RemoteKeys(publisher.url).find("k1")


def test_only_http_urls_are_fetched() -> None:
    with pytest.raises(ValueError, match="http"):
        permit.RemoteKeys("file:///etc/passwd")


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://tasks.example.com/jwks", True),
        ("http://127.0.0.1:8080/jwks", True),
        ("http://[::1]/jwks", True),
        ("http://localhost/jwks", True),
        ("http://tasks.example.com/jwks", False),
        ("http://10.0.0.1/jwks", False),
        ("http://localhost.example.com/jwks", False),
        ("http://127.0.0.1@tasks.example.com/jwks", False),
        ("http://127.0.0.1.example.com/jwks", False),
    ],
)
def test_keys_come_over_plain_http_from_this_machine_only(url: str, fine: bool) -> None:
    if fine:
        permit.RemoteKeys(url)
        return
    with pytest.raises(ValueError, match="http"):
        permit.RemoteKeys(url)
    if "@" not in url:
        permit.RemoteKeys(url, allow_http=True)
