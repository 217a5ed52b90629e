"""The public keys: each from the moment it is known until no permit of it can be alive."""

from __future__ import annotations

import re
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import AnyFact, LogKey, Record, encode
from contracts.subjects import of
from contracts.task import TaskSpec
from services.executor.settings import Settings as ExecutorSettings
from services.gateway import permit_keys
from services.gateway import projection as tables
from services.gateway.http.misc import KEYS_AGE_S
from services.gateway.permit_keys import KEPT_S, LATE_S
from services.keys.permits import SigningKey, load_or_create
from services.log.projection import Projection, merge
from services.process.ids import new_id
from tests.support import facts as some
from tests.unit.gateway.world import World
from tests.unit.keys.test_permits import CLAIMS

DAY_S = 86_400.0
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SigningKey]:
    folder = tmp_path_factory.mktemp("keys")
    folder.chmod(0o700)
    return {name: load_or_create(folder / f"{name}.pem", "EdDSA") for name in NAMES}


class Story:
    """Facts at chosen times, and what the tables make of them."""

    def __init__(self, keys: dict[str, SigningKey]) -> None:
        self.keys = keys
        self.records: list[Record] = []

    def add(self, at: float, fact: AnyFact) -> None:
        seq = len(self.records) + 1
        self.records.append(Record(seq, at, of(fact), fact, encode(fact)))

    def known(self, at: float, name: str, replaces: str = "") -> None:
        replaced = self.keys[replaces].kid if replaces else ""
        key = self.keys[name]
        self.add(at, LogKey(id=new_id(), by="e", kid=key.kid, jwk=key.jwk, replaces=replaced))

    def signed(self, at: float, name: str, lives_s: float = 300.0) -> None:
        permit = self.keys[name].sign(CLAIMS)
        task = some.name()
        self.add(at, some.signed("alice", task, permit=permit, expires=at + lives_s))

    def later(self, at: float) -> None:
        self.add(at, some.created("bob"))

    async def served(self, folder: Path) -> list[str]:
        """Names of the keys in the JWKS, newest first."""
        projection = await Projection.open(folder / "view", tables.SCHEMA, tables.VERSION)
        try:
            mark = projection.checkpoint._replace(seq=len(self.records))
            await projection.commit(merge(tables.apply(self.records)), mark)
            found = [key["kid"] for key in await permit_keys.jwks(projection)]
        finally:
            await projection.close()
        names = {key.kid: name for name, key in self.keys.items()}
        return [names[kid] for kid in found]


def batches(records: list[Record], cuts: set[int]) -> list[list[Record]]:
    edges = [0, *sorted(c for c in cuts if 0 < c < len(records)), len(records)]
    return [records[a:b] for a, b in pairwise(edges) if a < b]


async def test_all_keys_that_sign_or_will_are_served(
    tmp_path: Path, keys: dict[str, SigningKey]
) -> None:
    story = Story(keys)
    story.known(0.0, "a")
    story.known(1.0, "b")
    story.known(2.0, "c", replaces="a")
    story.later(100 * DAY_S)
    story.signed(100 * DAY_S, "b")
    assert await story.served(tmp_path) == ["c", "b"], "b is of another data folder"


@pytest.mark.parametrize(
    ("now", "expected"),
    [(121.0, ["b", "a"]), (KEPT_S - 1, ["b", "a"]), (KEPT_S + 1, ["b"])],
)
async def test_a_replaced_key_is_served_longer_than_any_attempt(
    tmp_path: Path, keys: dict[str, SigningKey], now: float, expected: list[str]
) -> None:
    story = Story(keys)
    story.known(-10.0, "a")
    story.known(0.0, "b", replaces="a")
    story.later(now)
    assert await story.served(tmp_path) == expected


def test_the_longest_attempt_is_shorter_than_a_replaced_key_is_served() -> None:
    longest = msgspec.convert({"type": "t", "timeout_s": 7 * DAY_S}, TaskSpec).timeout_s
    assert longest is not None
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "t", "timeout_s": longest + 1}, TaskSpec)
    assert longest + DAY_S <= KEPT_S


@pytest.mark.parametrize(("late", "expected"), [(-1.0, ["b", "a"]), (1.0, ["b"])])
async def test_a_replaced_key_that_goes_on_signing_is_served_while_its_permits_live(
    tmp_path: Path, keys: dict[str, SigningKey], late: float, expected: list[str]
) -> None:
    story = Story(keys)
    story.known(0.0, "a")
    story.known(1.0, "b", replaces="a")
    story.signed(30 * DAY_S, "a", lives_s=2 * DAY_S)
    story.signed(30 * DAY_S + 1, "a")
    story.later(32 * DAY_S + LATE_S + late)
    assert await story.served(tmp_path) == expected


STEP = st.one_of(
    st.tuples(st.just("signed"), st.sampled_from(NAMES), st.floats(0, 20 * DAY_S)),
    st.tuples(st.just("known"), st.sampled_from(NAMES), st.sampled_from(("", *NAMES))),
    st.tuples(st.just("nonsense"), st.text(max_size=20), st.just("")),
    st.tuples(st.just("later"), st.just(""), st.just("")),
)


@given(st.lists(STEP, max_size=12), st.sets(st.integers(0, 12)), st.floats(0, 10 * DAY_S))
def test_the_keys_do_not_depend_on_how_the_log_is_cut(
    keys: dict[str, SigningKey], steps: list[Any], cuts: set[int], pace: float
) -> None:
    story, seen = Story(keys), set[str]()
    for k, (kind, name, more) in enumerate(steps):
        at = k * pace
        if kind == "signed":
            story.signed(at, name, more)
        elif kind == "nonsense":
            story.add(at, some.signed("alice", some.name(), permit=name, expires=at))
        elif kind == "known" and name not in seen:
            seen.add(name)
            story.known(at, name, more)
        else:
            story.later(at)
    assert rows(batches(story.records, cuts)) == rows([[record] for record in story.records])


def rows(parts: list[list[Record]]) -> dict[str, list[Any]]:
    db = sqlite3.connect(":memory:")
    for statement in tables.SCHEMA:
        db.execute(statement)
    for part in parts:
        for sql, values in merge(tables.apply(part)):
            db.executemany(sql, values)
    found = {t: sorted(db.execute(f"SELECT * FROM {t}"), key=repr) for t in ("keys", "clock")}
    db.close()
    return found


@pytest.mark.parametrize(
    "permit", ["", ".", "\udcff.x", "e30.x", "W10.x", "eyJraWQiOm51bGx9.x", "W" * 5000]
)
def test_a_permit_that_names_no_key_changes_no_key(
    keys: dict[str, SigningKey], permit: str
) -> None:
    story = Story(keys)
    story.known(0.0, "a")
    before = rows([story.records])["keys"]
    fact = some.signed("alice", some.name(), permit=permit)
    story.records.append(Record(2, 1.0, of(fact), fact, b""))
    assert rows([story.records])["keys"] == before


async def test_a_new_key_is_on_the_web_before_anybody_may_cache_it_away(
    gateway: World, keys: dict[str, SigningKey]
) -> None:
    old, new = keys["a"], keys["b"]
    async with gateway.http(None) as client:
        empty = await client.get("/.well-known/jwks.json")
        assert (empty.json(), empty.headers["cache-control"]) == ({"keys": []}, "no-store")
        for key, replaces, count in ((old, "", 1), (new, old.kid, 2)):
            await gateway.append(
                LogKey(id=new_id(), by="e", kid=key.kid, jwk=key.jwk, replaces=replaces)
            )
            await gateway.settled()
            answer = await client.get("/.well-known/jwks.json")
            assert [k["kid"] for k in answer.json()["keys"]] == [new.kid, old.kid][-count:]
    caching = answer.headers["cache-control"]
    assert re.fullmatch(r"public, max-age=(\d+)", caching)
    assert int(caching.rpartition("=")[2]) == KEYS_AGE_S
    assert ExecutorSettings().permit_overlap_s > KEYS_AGE_S
