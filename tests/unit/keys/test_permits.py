"""The permit key: private, shared by all who start at once, and verifiable by anybody else."""

from __future__ import annotations

import base64
import concurrent.futures
import multiprocessing
import stat
from pathlib import Path

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa

from contracts.ids import is_token
from contracts.wire import PermitClaims
from services.keys import jwk, permits
from services.keys.jwk import Algorithm

CLAIMS = PermitClaims(
    iss="metamcp",
    sub="alice",
    aud="h1",
    jti="t1.1",
    iat=1000,
    nbf=1000,
    exp=1100,
    task_id="t1",
    attempt=1,
    input_sha256="0" * 64,
)


@pytest.fixture(scope="module", params=["RS256", "EdDSA"])
def key(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> permits.SigningKey:
    return permits.load_or_create(permits.key_path(tmp_path_factory.mktemp("data")), request.param)


def stored(path: Path, private: rsa.RSAPrivateKey | ed448.Ed448PrivateKey) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_the_key_is_made_once_and_private(tmp_path: Path, algorithm: Algorithm) -> None:
    path = permits.key_path(tmp_path)
    first = permits.load_or_create(path, algorithm)
    assert first.algorithm == algorithm
    for later in ("RS256", "EdDSA"):
        assert permits.load_or_create(path, later).kid == first.kid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["permit.pem"]


def _kid(path: Path) -> str:
    return permits.load_or_create(path).kid


def test_executors_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    spawning = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=spawning) as pool:
        kids = set(pool.map(_kid, [permits.key_path(tmp_path)] * 4))
    assert len(kids) == 1


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, place: str) -> None:
    path = permits.key_path(tmp_path)
    permits.load_or_create(path)
    reachable = path if place == "file" else path.parent
    reachable.chmod(0o755)
    with pytest.raises(permits.BadKey, match=f"chmod [67]00 {reachable}"):
        permits.load_or_create(path)


def test_a_broken_key_file_says_what_to_do(tmp_path: Path) -> None:
    path = permits.key_path(tmp_path)
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    path.write_text("not a key")
    with pytest.raises(permits.BadKey, match="a new one is made"):
        permits.load_or_create(path)


@pytest.mark.parametrize(
    ("private", "why"),
    [
        (rsa.generate_private_key(65537, 1024), "1024 bits; 2048 are needed"),
        (ed448.Ed448PrivateKey.generate(), "neither an RSA nor an Ed25519 key"),
    ],
    ids=["short RSA", "Ed448"],
)
def test_a_key_that_hosts_would_not_take_is_refused(
    tmp_path: Path, private: rsa.RSAPrivateKey | ed448.Ed448PrivateKey, why: str
) -> None:
    path = permits.key_path(tmp_path)
    stored(path, private)
    with pytest.raises(permits.BadKey, match=why):
        permits.load_or_create(path)


def test_the_thumbprint_of_an_rsa_key_is_that_of_the_rfc() -> None:
    # RFC 7638, section 3.1.
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    known = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert jwk.thumbprint(known) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_an_ed25519_key_is_written_as_in_the_rfc() -> None:
    # RFC 8037, appendix A.
    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    own = permits.SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
    assert own.jwk == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "use": "sig",
        "alg": "EdDSA",
    }


def test_a_signed_permit_verifies_with_the_public_key_alone(key: permits.SigningKey) -> None:
    token = key.sign(CLAIMS)
    public = msgspec.json.decode(msgspec.json.encode(key.jwk))
    of_its_kind = {"n", "e"} if key.algorithm == "RS256" else {"crv", "x"}
    assert set(public) == {"kty", "kid", "use", "alg"} | of_its_kind
    assert permits.verify(token, public, audience="h1", at=1050.0) == CLAIMS
    assert permits.verify(token, public) == CLAIMS
    assert jwt.get_unverified_header(token)["alg"] == key.algorithm == public["alg"]
    assert permits.kid_of(token) == key.kid
    assert is_token(key.kid)


def test_the_key_behind_a_signer_can_change(key: permits.SigningKey) -> None:
    signer = permits.Signer(permits.SigningKey(ed25519.Ed25519PrivateKey.generate()))
    sign = signer.sign
    signer.key = key
    assert permits.verify(sign(CLAIMS), key.jwk) == CLAIMS


@pytest.mark.parametrize(
    "changed",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "PS256"},
        {"kty": None},
        {"kty": ["RSA"]},
    ],
)
def test_a_public_key_of_another_kind_or_algorithm_verifies_nothing(
    key: permits.SigningKey, changed: dict[str, object]
) -> None:
    token = key.sign(CLAIMS)
    with pytest.raises(permits.BadPermit):
        permits.verify(token, key.jwk | changed)


@pytest.mark.parametrize("value", [None, 5, "", "!", "AQAB", "A" * 100_000, ["x"]])
@pytest.mark.parametrize("name", ["n", "e", "x", "crv"])
def test_a_broken_public_key_verifies_nothing(
    key: permits.SigningKey, name: str, value: object
) -> None:
    broken = key.jwk | {name: value}
    if name in key.jwk and value != key.jwk[name]:
        with pytest.raises(permits.BadPermit):
            permits.verify(key.sign(CLAIMS), broken)
    else:
        assert permits.verify(key.sign(CLAIMS), broken) == CLAIMS


@pytest.mark.parametrize("part", [0, 1])
def test_a_permit_nested_deeper_than_the_stack_is_refused(
    key: permits.SigningKey, part: int
) -> None:
    parts = key.sign(CLAIMS).split(".")
    deep = b'{"kid":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    parts[part] = base64.urlsafe_b64encode(deep).rstrip(b"=").decode()
    with pytest.raises(permits.BadPermit):
        permits.verify(".".join(parts), key.jwk)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\udcff.a.b", "{}.{}.{}", "e30.e30.e30"])
def test_what_is_no_permit_names_no_key(token: str) -> None:
    with pytest.raises(permits.BadPermit, match="names no key"):
        permits.kid_of(token)


def test_a_permit_of_another_key_audience_or_time_is_refused(key: permits.SigningKey) -> None:
    token = key.sign(CLAIMS)
    other = permits.SigningKey(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(permits.BadPermit, match="signed with key"):
        permits.verify(token, other.jwk)
    with pytest.raises(permits.BadPermit, match="udience"):
        permits.verify(token, key.jwk, audience="h2")
    for moment in (999.9, 1100.0):
        with pytest.raises(permits.BadPermit, match="from 1000 to 1100"):
            permits.verify(token, key.jwk, at=moment)


def test_a_forged_permit_is_refused(key: permits.SigningKey) -> None:
    head, _, signature = key.sign(CLAIMS).split(".")
    other = key.sign(msgspec.structs.replace(CLAIMS, sub="mallory")).split(".")[1]
    with pytest.raises(permits.BadPermit):
        permits.verify(f"{head}.{other}.{signature}", key.jwk)
    unsigned = jwt.encode(msgspec.to_builtins(CLAIMS), "", "none", headers={"kid": key.kid})
    with pytest.raises(permits.BadPermit):
        permits.verify(unsigned, key.jwk)
    with pytest.raises(permits.BadPermit):
        permits.verify("nonsense", key.jwk)
