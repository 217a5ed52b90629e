"""The committed permits: our verifier and a foreign one say of each what the file says."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import jwt
import msgspec
import pytest

from contracts.wire import PermitClaims
from services.keys import jwk, permits
from tests.support import permit_vectors

VECTORS: dict[str, Any] = json.loads(permit_vectors.FILE.read_bytes())
PERMITS: list[dict[str, Any]] = VECTORS["permits"]
JWKS: list[dict[str, Any]] = VECTORS["jwks"]["keys"]
REQUIRED = [field.name for field in msgspec.structs.fields(PermitClaims) if field.required]

every_permit = pytest.mark.parametrize("permit", PERMITS, ids=[p["name"] for p in PERMITS])


def digest(permit: dict[str, Any]) -> str:
    return hashlib.sha256(permit["input"].encode()).hexdigest()


def verifies(permit: dict[str, Any], key: dict[str, Any]) -> bool:
    """Whether ours accepts it with this key, whatever key the token asks for."""
    try:
        claims = permits.verify(
            permit["token"], key, audience=permit["audience"], at=float(permit["at"])
        )
    except permits.BadPermit:
        return False
    return claims.input_sha256 == digest(permit) and claims.sub in permit["users"]


@every_permit
def test_our_verifier_agrees(permit: dict[str, Any]) -> None:
    trusting = [key["kid"] for key in JWKS if verifies(permit, key)]
    kid = [jwt.get_unverified_header(permit["token"])["kid"]] if permit["valid"] else []
    assert trusting == kid, permit["why"]


@every_permit
def test_a_foreign_verifier_agrees(permit: dict[str, Any]) -> None:
    """PyJWT as a host would use it; its leeway takes it to the moment in question."""
    later = time.time() - permit["at"]
    known = {key.key_id: key for key in jwt.PyJWKSet.from_dict(VECTORS["jwks"]).keys}
    try:
        key = known[jwt.get_unverified_header(permit["token"])["kid"]]
        for leeway, untested in ((later, "verify_nbf verify_iat"), (-later, "verify_exp")):
            claims = jwt.decode(
                permit["token"],
                key,
                algorithms=[key.algorithm_name],
                audience=permit["audience"],
                issuer="metamcp",
                leeway=leeway,
                options={"require": REQUIRED, **dict.fromkeys(untested.split(), False)},  # type: ignore[typeddict-item]
            )
        accepted = claims["input_sha256"] == digest(permit) and claims["sub"] in permit["users"]
    except (jwt.PyJWTError, KeyError):
        accepted = False
    assert accepted == permit["valid"], permit["why"]


def test_the_file_is_made_of_its_own_keys_byte_for_byte() -> None:
    assert permit_vectors.build(VECTORS["private"]) == permit_vectors.FILE.read_bytes()


def test_the_file_says_that_its_keys_are_for_tests() -> None:
    assert "never trust them" in VECTORS["about"]
    assert {key["note"] for key in VECTORS["private"]} == {permit_vectors.NOTE}
    private = {name for key in JWKS for name in key} & {"d", "p", "q", "dp", "dq", "qi"}
    assert private == set(), "the JWKS is what a host may see"


def test_every_key_is_named_by_its_thumbprint() -> None:
    for key in (*JWKS, *VECTORS["private"]):
        assert key["kid"] == jwk.thumbprint(key)


def test_the_executors_own_permits_are_like_those_in_the_file() -> None:
    for key in VECTORS["private"][:2]:
        own = permits.SigningKey(permit_vectors.Key(key).private)
        token = own.sign(msgspec.convert(permit_vectors.claims(), PermitClaims))
        (same,) = (p for p in PERMITS if p["name"] == f"valid {key['alg']}")
        for part in (0, 1):
            ours, theirs = (
                json.loads(permit_vectors.decoded(t.split(".")[part]))
                for t in (token, same["token"])
            )
            assert ours == theirs
