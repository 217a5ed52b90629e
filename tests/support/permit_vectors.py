"""Makes tests/vectors/permits.json: run `python -m tests.support.permit_vectors` after a change.

RS256, EdDSA and HS256 are deterministic: the same keys give the same file, byte for byte. The keys
are those in the file; take them out of it to get new ones.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from contracts.wire import PermitClaims
from services.keys.jwk import public_jwk

FILE = Path(__file__).parents[1] / "vectors" / "permits.json"
ABOUT = (
    "Permits to test a verifier with. A verifier gets `token`, `audience` (its own address),"
    " `users` (for whom it works), `at` (seconds since the epoch) and `input` (UTF-8 text of the"
    " exact bytes it was sent), trusts the keys in `jwks` and nothing else, and must answer"
    " `valid`; `why` says why. No case depends on less than an hour of clock difference. `private`"
    " holds the private halves, and one of a key that nobody trusts, so that anybody can make this"
    " file again with tests/support/permit_vectors.py. These are TEST KEYS, known to everybody:"
    " never trust them."
)
NOTE = "TEST KEY, known to everybody"
AT = 1_800_000_000
HERE = "https://ann-heavy.hf.space"
THERE = "https://bob-heavy.hf.space"
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the base point of Ed25519 (RFC 8032): S and S + ORDER are the same scalar."""

Sign = Callable[[bytes], bytes]


class Entry(NamedTuple):
    """One permit, and what a verifier must say about it."""

    name: str
    token: str
    why: str
    valid: bool = False
    audience: str = HERE
    users: tuple[str, ...] = ("alice",)
    at: int = AT + 60
    input: str = '{"path":"a.py"}'


class Key:
    """A key pair read from its private JWK."""

    def __init__(self, private: dict[str, Any]) -> None:
        family: Any = RSAAlgorithm if private["kty"] == "RSA" else OKPAlgorithm
        self.private: Any = family.from_jwk(private)
        self.public: dict[str, Any] = public_jwk(self.private.public_key())
        self.head = {"alg": self.public["alg"], "kid": self.public["kid"], "typ": "JWT"}

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return bytes(self.private.sign(data))

    def token(self, claims: dict[str, Any], **head: Any) -> str:
        """A token whose header is that of this key but for these members; None takes one away."""
        return joined(self.head | head, claims, self.sign)


class Keys(NamedTuple):
    """The keys of the file, in its order."""

    rsa: Key
    ed: Key
    other: Key
    stranger: Key


def joined(head: dict[str, Any], claims: dict[str, Any], sign: Sign) -> str:
    present = {name: value for name, value in head.items() if value is not None}
    signed = ".".join(
        text(json.dumps(part, separators=(",", ":")).encode()) for part in (present, claims)
    )
    return f"{signed}.{text(sign(signed.encode()))}"


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(input_: str = Entry._field_defaults["input"], **changed: Any) -> dict[str, Any]:
    """Claims of an honest permit but for these; None takes one away."""
    honest = PermitClaims(
        iss="metamcp",
        sub="alice",
        aud=HERE,
        jti="task-1.1",
        iat=AT,
        nbf=AT,
        exp=AT + 305,
        task_id="task-1",
        attempt=1,
        input_sha256=hashlib.sha256(input_.encode()).hexdigest(),
        task_type="code_analysis",
        host="alice/ann-heavy",
    )
    every = msgspec.to_builtins(honest) | changed
    return {name: value for name, value in every.items() if value is not None}


def valid(keys: Keys) -> Iterator[Entry]:
    fine = "signed by a trusted key, for this host, now and for this input"
    for key in (keys.rsa, keys.ed, keys.other):
        kind = f"{key.head['alg']}{' of another trusted key' if key is keys.other else ''}"
        yield Entry(f"valid {kind}", key.token(claims()), fine, valid=True)
    for name, at in (("first", AT), ("last", AT + 304)):
        why = f"{fine}; it is the {name} second of its life"
        yield Entry(f"valid in its {name} second", keys.ed.token(claims()), why, valid=True, at=at)
    spaced = '{ "path": "grüße.py",\n  "n": 1.0 }'
    why = f"{fine}; the digest is over the bytes as they are, not over their meaning"
    token = keys.rsa.token(claims(spaced))
    yield Entry("valid with an input in its own layout", token, why, valid=True, input=spaced)
    token = keys.ed.token(claims(task_type=None))
    yield Entry("valid without task_type", token, f"{fine}; task_type is optional", valid=True)
    token = keys.ed.token(claims(later="something"))
    why = f"{fine}; claims that are not known yet are left alone"
    yield Entry("valid with a claim nobody knows", token, why, valid=True)
    token = keys.ed.token(claims())
    why = f"{fine}; its user is one of those for whom the host works"
    yield Entry("valid for one of two users", token, why, valid=True, users=("bob", "alice"))
    ported = "https://tasks.example.com:8443"
    token, why = keys.ed.token(claims(aud=ported)), f"{fine}; an unusual port is in the address"
    yield Entry("valid at a port", token, why, valid=True, audience=ported)
    token = keys.ed.token(claims(host=None))
    yield Entry("valid without host", token, f"{fine}; nothing depends on host", valid=True)


def wrong_claims(keys: Keys) -> Iterator[Entry]:
    for key in (keys.rsa, keys.ed):
        alg, token = key.head["alg"], key.token(claims())
        yield Entry(f"wrong audience {alg}", token, f"it is for {HERE}", audience=THERE)
        yield Entry(f"wrong user {alg}", token, "it is for alice's task", users=("bob",))
        yield Entry(f"expired {alg}", token, "it ended an hour before", at=AT + 305 + 3600)
        yield Entry(f"not yet valid {alg}", token, "it begins an hour later", at=AT - 3600)
        yield Entry(
            f"wrong digest {alg}", token, "it is for another input", input='{"path":"b.py"}'
        )
    token = keys.ed.token(claims())
    why = f"it is for {HERE}"
    for name, other in (
        ("with the same beginning", f"{HERE}.example.com"),
        ("that is the beginning", HERE.removesuffix("e")),
        ("of another port", f"{HERE}:8443"),
        ("of another scheme", HERE.replace("https", "http")),
    ):
        yield Entry(f"audience {name}", token, why, audience=other)
    yield Entry("user with the same beginning", token, "it is for alice's", users=("alice2", "al"))
    yield Entry("no users", token, "a host that works for nobody runs nothing", users=())
    old = keys.ed.token(claims(aud="alice-heavy", host=None))
    why = "orchestrators before 0.4 named the host's id, which anybody could register"
    yield Entry("audience that is no address", old, why)
    same = '{ "path": "a.py" }'
    yield Entry("same meaning, other bytes", token, "the digest is over the bytes", input=same)
    token = keys.ed.token(claims(iss="somebody"))
    yield Entry("wrong issuer", token, "permits are issued by metamcp")
    required = [f.name for f in msgspec.structs.fields(PermitClaims) if f.required]
    for name in required:
        token = keys.ed.token(claims(**{name: None}))
        yield Entry(f"missing {name}", token, f"the claim {name} is missing")


def wrong_keys(keys: Keys) -> Iterator[Entry]:
    stranger, kid = keys.stranger, keys.ed.head["kid"]
    yield Entry("unknown kid", stranger.token(claims()), "no trusted key has this kid")
    yield Entry("no kid", keys.ed.token(claims(), kid=None), "it does not say which key signed it")
    why = "it was signed with another key than its kid names"
    token = keys.ed.token(claims(), kid=keys.other.head["kid"])
    yield Entry("kid of another key", token, why)
    token = keys.rsa.token(claims(), kid=kid)
    yield Entry("kid of another kind of key", token, why)
    token = keys.rsa.token(claims(), kid=kid, alg="EdDSA")
    yield Entry("kid and alg of another kind of key", token, why)
    token = stranger.token(claims(), kid=kid)
    yield Entry("stranger with a trusted kid", token, why)
    token = stranger.token(claims(), kid=kid, jwk=stranger.public)
    yield Entry("key in the header", token, "keys come from the JWKS, never from the token")
    token = stranger.token(claims(), jku="https://stranger.example/jwks.json")
    yield Entry("key set in the header", token, "keys come from the JWKS, never from the token")


def wrong_algorithms(keys: Keys) -> Iterator[Entry]:
    for alg in ("none", "nOnE"):
        token = joined(keys.rsa.head | {"alg": alg}, claims(), lambda _: b"")
        yield Entry(f"alg {alg}", token, "it is not signed")
    pem = keys.rsa.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    raw = keys.ed.private.public_key().public_bytes_raw()
    for name, key, secret in (("RSA", keys.rsa, pem), ("Ed25519", keys.ed, raw)):
        token = joined(key.head | {"alg": "HS256"}, claims(), hs256(secret))
        why = "everybody knows the public key: it is no secret for an HMAC"
        yield Entry(f"HS256 with the {name} public key", token, why)
    token = joined(keys.rsa.head | {"alg": "RS512"}, claims(), rs512(keys.rsa))
    yield Entry("RS512", token, "the key is for RS256 only")
    token = keys.rsa.token(claims(), alg="EdDSA")
    yield Entry("RS256 called EdDSA", token, "the key is for RS256 only")
    token = keys.ed.token(claims(), crit=["metamcp-strict"], **{"metamcp-strict": True})
    yield Entry("unknown critical header", token, "RFC 7515: what is critical must be understood")


def hs256(secret: bytes) -> Sign:
    return lambda data: hmac.digest(secret, data, "sha256")


def rs512(key: Key) -> Sign:
    return lambda data: bytes(key.private.sign(data, padding.PKCS1v15(), hashes.SHA512()))


def forged(keys: Keys) -> Iterator[Entry]:
    for key in (keys.rsa, keys.ed):
        alg = key.head["alg"]
        head, payload, signature = key.token(claims()).split(".")
        other = key.token(claims(sub="mallory")).split(".")[1]
        yield Entry(
            f"changed payload {alg}",
            f"{head}.{other}.{signature}",
            "the signature is of other claims",
        )
        yield Entry(f"no signature {alg}", f"{head}.{payload}.", "it is not signed")
        short = text(decoded(signature)[:-1])
        yield Entry(f"short signature {alg}", f"{head}.{payload}.{short}", "a byte is missing")
    again = decoded(signature)
    scalar = int.from_bytes(again[32:], "little") + ORDER
    again = again[:32] + scalar.to_bytes(32, "little")
    why = "RFC 8032: S is not below the order of the group"
    yield Entry("second signature of the same permit", f"{head}.{payload}.{text(again)}", why)
    yield Entry("four parts", f"{head}.{payload}.{signature}.{signature}", "a JWS has three parts")
    yield Entry("two parts", f"{head}.{payload}", "a JWS has three parts")
    yield Entry("no token", "", "there is no token")


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def build(private: list[dict[str, Any]]) -> bytes:
    """The file's bytes, for these private JWKs."""
    keys = Keys(*map(Key, private))
    makers = (valid, wrong_claims, wrong_keys, wrong_algorithms, forged)
    permits = [entry._asdict() for make in makers for entry in make(keys)]
    body = {
        "about": ABOUT,
        "jwks": {"keys": [key.public for key in keys[:3]]},
        "private": private,
        "permits": [{name: entry[name] for name in _SHAPE} for entry in permits],
    }
    return msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"


_SHAPE = ("name", "token", "audience", "users", "at", "input", "valid", "why")


def new_keys() -> list[dict[str, Any]]:
    """Private JWKs of new keys: RSA, Ed25519, another trusted one, and one of a stranger."""
    made: list[Any] = [rsa.generate_private_key(65537, 2048)]
    made += [ed25519.Ed25519PrivateKey.generate() for _ in range(3)]
    families = (RSAAlgorithm, *[OKPAlgorithm] * 3)
    jwks = [
        family.to_jwk(key, as_dict=True) | public_jwk(key.public_key()) | {"note": NOTE}
        for family, key in zip(families, made, strict=True)
    ]
    return [{k: v for k, v in jwk.items() if k != "key_ops"} for jwk in jwks]


def main() -> None:
    """Write the file, with the keys it has."""
    known = json.loads(FILE.read_bytes()).get("private") if FILE.exists() else None
    FILE.write_bytes(build(known or new_keys()))


if __name__ == "__main__":
    main()
