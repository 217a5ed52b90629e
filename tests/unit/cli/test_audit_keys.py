"""The audit of permits over a change of keys, and of keys that are not what they should be."""

from __future__ import annotations

from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec.structs import replace

from contracts.facts import JobSigned, LogKey, Record, encode
from contracts.subjects import of
from services.audit.checks import audit, key_subjects
from services.cli.commands.log import recomputer
from services.keys.permits import SigningKey, verify
from tests.support.permit_vectors import hs256, joined
from tests.unit.cli.story import TASK, Story, key

NEW = SigningKey(ed25519.Ed25519PrivateKey.generate())


def changed(new_key_first: bool = True) -> Story:
    """The first attempt is signed with the old key and fails, the second with the new one."""
    story = Story()
    fact = LogKey(**story.who("executor-1"), kid=NEW.kid, jwk=NEW.jwk, replaces=key().kid)
    if new_key_first:
        story.add(fact)
    host = story.route()
    story.sign(host)
    failed = story.fail(host)
    host = story.route(2, job_head=failed.seq)
    story.sign(host, 2)
    resign(story, 2, lambda claims: NEW.sign(claims))
    story.succeed(host, 2)
    if not new_key_first:
        story.add(msgspec.structs.replace(fact, id="late"))
    return story


def resign(story: Story, attempt: int, sign: Any) -> None:
    """Put another permit into the claim of this attempt."""
    for k, record in enumerate(story.records):
        if isinstance(record.fact, JobSigned) and record.fact.attempt == attempt:
            permit = sign(verify(record.fact.permit, key().jwk))
            fact = msgspec.structs.replace(record.fact, permit=permit)
            story.records[k] = replace(record, fact=fact, data=encode(fact))


def forget(story: Story, kid: str) -> None:
    story.records = [r for r in story.records if getattr(r.fact, "kid", "") != kid]


def of_new(story: Story, **fields: Any) -> None:
    """Change what the log says about the new key."""
    for k, record in enumerate(story.records):
        if isinstance(record.fact, LogKey) and record.fact.kid == NEW.kid:
            fact = msgspec.structs.replace(record.fact, **fields)
            story.records[k] = replace(record, fact=fact, subject=of(fact), data=encode(fact))


def test_permits_of_both_keys_verify_for_ever() -> None:
    story = changed()
    assert story.failed() == set()
    own: list[Record] = [r for r in story.records if getattr(r.fact, "task", None) == TASK]
    wanted = key_subjects(own)
    assert wanted == sorted(f"log.key.{one.kid}" for one in (key(), NEW))
    keys = [record for record in story.records if record.subject in wanted]
    assert all(check.ok for check in audit(own, keys, recomputer(story.records)))


def test_a_key_that_signed_before_it_was_known_is_noticed() -> None:
    assert changed(new_key_first=False).failed() == {"permits"}


def _confused(claims: Any) -> str:
    """HS256 with the public key as the secret, under the name of the RSA key."""
    public = (
        key()
        ._private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head = {"alg": "HS256", "kid": key().kid}
    return joined(head, msgspec.to_builtins(claims), hs256(public))


def _unsigned(claims: Any) -> str:
    return jwt.encode(msgspec.to_builtins(claims), "", "none", headers={"kid": NEW.kid})


def _other_issuer(claims: Any) -> str:
    return NEW.sign(msgspec.structs.replace(claims, iss="somebody"))


def _nested(claims: Any) -> str:
    return "eyJraWQiOl" + "tbW1tb" * 100_000 + "." + NEW.sign(claims).partition(".")[2]


def _wild(claims: Any) -> str:
    return jwt.encode(msgspec.to_builtins(claims), "", "none", headers={"kid": "*"})


@pytest.mark.parametrize("sign", [_confused, _unsigned, _other_issuer, _nested, _wild])
def test_a_forged_permit_is_noticed_and_breaks_no_audit(sign: Any) -> None:
    story = Story()
    story.add(LogKey(**story.who("executor-1"), kid=NEW.kid, jwk=NEW.jwk, replaces=key().kid))
    host = story.route()
    story.sign(host)
    resign(story, 1, sign)
    story.succeed(host)
    assert story.failed() == {"permits"}
    assert all("*" not in subject for subject in key_subjects(story.records))


@pytest.mark.parametrize(
    "jwk",
    [{}, {"kty": "oct", "k": "AAAA"}, NEW.jwk | {"alg": "HS256"}, NEW.jwk | {"x": 5}, key().jwk],
    ids=["empty", "secret", "other algorithm", "number", "another key"],
)
def test_a_key_that_is_not_what_its_name_says_verifies_nothing(jwk: dict[str, Any]) -> None:
    story = changed()
    of_new(story, jwk=jwk)
    assert story.failed() == {"permits"}


def test_a_key_that_is_not_in_the_log_verifies_nothing() -> None:
    story = changed()
    forget(story, NEW.kid)
    assert "permits" in story.failed()
