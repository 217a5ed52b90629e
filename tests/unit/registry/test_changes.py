"""Who may change which host by command, what follows, and what a user's Spaces do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from contracts.facts import HostFact, McpHealth, McpRegistered, McpRemoved
from contracts.host import COMMAND, SPACE, Execute, HealthStatus, Host, StreamableHttp
from contracts.ids import host_id, split_host
from services.registry import changes, domain
from services.registry.changes import Acting, Change, Offered, Removal, Switched, Written
from services.registry.commands import described
from services.registry.domain import Known, Listed

ALICE, BOB, OPERATOR = Acting("alice", False), Acting("bob", False), Acting("root", True)
URL = "https://tools.example.com/mcp"
MANY = {f"X-{n}": "a" * 4000 for n in range(4)}


class Book:
    """A log of host facts, folded."""

    def __init__(self) -> None:
        self.state: dict[str, Known] = domain.initial()
        self.facts: list[HostFact] = []

    def take(self, command: Change | Listed) -> list[HostFact]:
        found = (
            domain.decide(self.state, command)
            if isinstance(command, Listed)
            else changes.decide(self.state, command)
        )
        for fact in found:
            self.facts.append(fact)
            known = self.state.get(fact.host, domain.NOTHING)
            self.state[fact.host] = domain.evolve(known, len(self.facts), 0.0, fact)
        return found

    def refuse(self, command: Change) -> Reason:
        with pytest.raises(Rejected) as refusal:
            self.take(command)
        return refusal.value.reason


def host(id_: str = "h", acting: Acting = ALICE, **fields: Any) -> Host:
    owner = fields.pop("owner", None) if acting.operator else acting.user
    given_: dict[str, Any] = {"endpoint": StreamableHttp(URL), "name": id_} | fields
    return Host(id=host_id(owner, id_), owner=owner, source=COMMAND, **given_)


def write(one: Host, acting: Acting = ALICE, *, replace: bool = False, most: int = 9) -> Written:
    return Written(acting, one, replace, most)


def space(id_: str, user: str = "alice", **fields: Any) -> Host:
    given_: dict[str, Any] = {"endpoint": Execute(f"hf://{user}/{id_}"), "name": id_} | fields
    return Host(id=f"{user}/{id_}", owner=user, source=SPACE, **given_)


def of(entry: Any, acting: Acting, *, private: bool = False, name: str = "h") -> Host:
    data = msgspec.json.encode(entry)
    return described(name, data, acting, allow_private=private, allow_noop=False)


ENTRY: dict[str, Any] = {"endpoint": {"kind": "http", "url": URL}}


@pytest.mark.parametrize(
    ("name", "acting", "owner", "id_"),
    [
        ("h", ALICE, None, "alice/h"),
        ("alice/h", ALICE, None, "alice/h"),
        ("h", ALICE, "alice", "alice/h"),
        ("h", OPERATOR, None, "h"),
        ("h", OPERATOR, "alice", "alice/h"),
        ("alice/h", OPERATOR, None, "alice/h"),
        ("alice/h", OPERATOR, "alice", "alice/h"),
    ],
)
def test_a_users_host_has_the_user_in_its_id(
    name: str, acting: Acting, owner: str | None, id_: str
) -> None:
    made = of(ENTRY | ({"owner": owner} if owner else {}), acting, name=name)
    assert (made.id, made.name, made.source) == (id_, "h", COMMAND)
    assert made.owner == (None if id_ == "h" else "alice")


@pytest.mark.parametrize(
    ("name", "acting", "owner", "reason"),
    [
        ("bob/h", ALICE, None, Reason.FORBIDDEN),
        ("h", ALICE, "bob", Reason.FORBIDDEN),
        ("alice/h", OPERATOR, "bob", Reason.BAD_REQUEST),
        ("-/h", OPERATOR, None, Reason.BAD_ID),
        ("h", OPERATOR, "-", Reason.BAD_ID),
        ("alice/probe", ALICE, None, Reason.BAD_ID),
        ("log", ALICE, None, Reason.BAD_ID),
        ("alice/h/x", OPERATOR, None, Reason.BAD_ID),
        ("alice/", ALICE, None, Reason.BAD_ID),
    ],
)
def test_names_that_nobody_may_give(
    name: str, acting: Acting, owner: str | None, reason: Reason
) -> None:
    with pytest.raises(Rejected) as refusal:
        of(ENTRY | ({"owner": owner} if owner else {}), acting, name=name)
    assert refusal.value.reason is reason


def test_the_same_again_changes_nothing() -> None:
    book = Book()
    book.take(write(host()))
    assert book.take(write(host())) == []
    assert book.take(write(host(), replace=True)) == []
    assert book.refuse(write(host(name="other"))) is Reason.CONFLICT
    (fact,) = book.take(write(host(name="other"), replace=True))
    assert isinstance(fact, McpRegistered)
    assert (fact.k, fact.spec.name) == (2, "other")


def test_what_discovery_found_is_no_other_content() -> None:
    book = Book()
    book.take(write(host()))
    tools = domain.Discovery((msgspec.convert({"name": "t"}, domain.Tool),))
    (fact, _) = domain.decide(book.state, domain.ProbeEnded("alice/h", 1, discovery=tools))
    book.state["alice/h"] = domain.evolve(book.state["alice/h"], 9, 0.0, fact)
    assert book.take(write(host())) == []
    (fact,) = book.take(write(host(name="new"), replace=True))
    assert isinstance(fact, McpRegistered)
    assert [tool.name for tool in fact.spec.tools] == ["t"]


def test_nobody_is_in_anothers_way_and_a_hidden_host_is_not_there() -> None:
    book = Book()
    book.take(write(host()))
    (fact,) = book.take(write(host(acting=BOB), BOB))
    assert fact.host == "bob/h"
    (mine,) = book.take(write(host(acting=OPERATOR), OPERATOR))
    assert mine.host == "h"
    assert book.refuse(Removal(BOB, "alice/h")) is Reason.NOT_FOUND
    assert book.refuse(Switched(BOB, "alice/h", False)) is Reason.NOT_FOUND
    for refused in (Removal(BOB, "alice/h"), Removal(BOB, "alice/nobody")):
        with pytest.raises(Rejected) as refusal:
            book.take(refused)
        assert refusal.value.message == f"there is no host {refused.host}"


def test_a_bare_name_is_ones_own_host_to_change() -> None:
    book = Book()
    book.take(write(host()))
    assert changes.meant(book.state, "h", ALICE) == "alice/h"
    assert changes.meant(book.state, "h", BOB) == "h"
    book.take(write(host(acting=OPERATOR), OPERATOR))
    assert changes.meant(book.state, "h", ALICE) == "alice/h"
    assert changes.meant(book.state, "h", BOB) == "h"
    assert changes.meant(book.state, "h", OPERATOR) == "h"
    assert changes.meant(book.state, "alice/h", BOB) == "alice/h"
    for bad in ("", "a/b/c", "-/h", "a b", "x" * 65):
        with pytest.raises(Rejected):
            changes.meant(book.state, bad, ALICE)


def test_what_is_not_ones_own_is_not_described_anew() -> None:
    book = Book()
    book.take(write(host()))
    book.take(write(host("x", OPERATOR), OPERATOR))
    assert changes.replaceable(book.state, "h", ALICE) == "alice/h"
    for given_, acting, reason in (
        ("alice/h", BOB, Reason.NOT_FOUND),
        ("h", BOB, Reason.NOT_FOUND),
        ("x", BOB, Reason.FORBIDDEN),
    ):
        with pytest.raises(Rejected) as refusal:
            changes.replaceable(book.state, given_, acting)
        assert refusal.value.reason is reason


def test_hosts_for_everybody_are_the_operators() -> None:
    book = Book()
    book.take(write(host(acting=OPERATOR), OPERATOR))
    assert book.state["h"].spec is not None
    assert book.state["h"].spec.owner is None
    assert book.refuse(Removal(ALICE, "h")) is Reason.FORBIDDEN
    assert book.refuse(Switched(ALICE, "h", False)) is Reason.FORBIDDEN
    (fact,) = book.take(Removal(OPERATOR, "h"))
    assert isinstance(fact, McpRemoved)
    assert book.refuse(Removal(OPERATOR, "h")) is Reason.NOT_FOUND


def test_users_have_so_many_hosts_at_most() -> None:
    book = Book()
    book.take(write(host("a"), most=1))
    assert book.refuse(write(host("b"), most=1)) is Reason.RATE_LIMITED
    book.take(write(host("c", OPERATOR), OPERATOR, most=1))
    book.take(Removal(ALICE, "alice/a"))
    assert book.take(write(host("b"), most=1))


def test_what_a_command_has_switched_stays_so() -> None:
    book = Book()
    listed = Host(id="m", name="m", endpoint=StreamableHttp(URL))
    book.take(Listed((listed,)))
    registered, health = book.take(Switched(OPERATOR, "m", False))
    assert isinstance(registered, McpRegistered)
    assert isinstance(health, McpHealth)
    assert (registered.spec.enabled, health.status) == (False, HealthStatus.UNKNOWN)
    assert book.take(Listed((listed,))) == []
    assert book.take(Switched(OPERATOR, "m", False)) == []
    off = msgspec.structs.replace(listed, enabled=False)
    (fact,) = book.take(Switched(OPERATOR, "m", True))
    assert isinstance(fact, McpRegistered)
    assert book.take(Listed((off,))) == []
    assert book.state["m"].spec is not None
    assert book.state["m"].spec.enabled


def test_manifest_hosts_are_changed_in_the_manifest() -> None:
    book = Book()
    book.take(Listed((Host(id="m", name="m", endpoint=StreamableHttp(URL)),)))
    assert book.refuse(write(host("m", OPERATOR), OPERATOR, replace=True)) is Reason.CONFLICT
    assert book.refuse(Removal(OPERATOR, "m")) is Reason.CONFLICT
    with pytest.raises(Rejected, match="stands in a manifest"):
        changes.replaceable(book.state, "m", OPERATOR)


def test_what_was_said_of_another_host_holds_for_none_of_the_same_name() -> None:
    """A user who has disabled a free id has not disabled what the operator calls so later."""
    book = Book()
    old = msgspec.structs.replace(host(), id="m", switched=False, enabled=False)
    book.state["m"] = Known(old, 1, 1)
    book.take(Listed((Host(id="m", name="m", endpoint=StreamableHttp(URL)),)))
    assert book.state["m"].spec is not None
    assert book.state["m"].spec.enabled
    assert book.state["m"].spec.switched is None


def test_manifests_leave_other_hosts_alone() -> None:
    book = Book()
    book.take(write(host()))
    book.take(Offered("alice", (space("s"),)))
    assert book.take(Listed(())) == []


def test_spaces_come_change_and_go() -> None:
    book = Book()
    (one, two) = book.take(Offered("alice", (space("a"), space("b"))))
    assert isinstance(one, McpRegistered)
    assert isinstance(two, McpRegistered)
    assert book.take(Offered("alice", (space("a"), space("b")))) == []
    (fact,) = book.take(Offered("alice", (space("a", name="new"), space("b"))))
    assert fact.host == "alice/a"
    assert book.take(Offered("bob", ())) == []
    assert book.take(Offered("alice", (), keep=frozenset({"alice/a", "alice/b"}))) == []
    (gone,) = book.take(Offered("alice", (space("a", name="new"),)))
    assert isinstance(gone, McpRemoved)
    assert gone.host == "alice/b"


def test_a_space_meets_hosts_of_its_own_user_only() -> None:
    book = Book()
    book.take(write(host("a", BOB), BOB))
    book.take(Offered("bob", (space("b", "bob"),)))
    book.take(write(host("c")))
    offered = (space("a"), space("b"), space("c"), space("d", "bob"))
    barred = changes.clashes(book.state, "alice", offered)
    assert set(barred) == {"alice/c", "bob/d"}, "one of his own, and one that is not"
    facts = book.take(Offered("alice", offered))
    assert [fact.host for fact in facts] == ["alice/a", "alice/b"]


def test_a_space_is_disabled_and_not_removed() -> None:
    book = Book()
    book.take(Offered("alice", (space("a"),)))
    assert book.refuse(Removal(ALICE, "alice/a")) is Reason.CONFLICT
    book.take(Switched(ALICE, "alice/a", False))
    assert book.take(Offered("alice", (space("a"),))) == []
    assert book.state["alice/a"].spec is not None
    assert not book.state["alice/a"].spec.enabled


IDS = st.sampled_from("abc")
TARGETS = st.sampled_from(["a", "b", "alice/a", "bob/a", "alice/b", "root/a"])
ACTING = st.sampled_from([ALICE, BOB, OPERATOR])
HOSTS = st.builds(
    lambda id_, acting, name: (host(id_, acting, name=name), acting),
    IDS,
    ACTING,
    st.sampled_from("xy"),
)
CHANGES = st.one_of(
    st.builds(lambda one, replace: write(one[0], one[1], replace=replace), HOSTS, st.booleans()),
    st.builds(Switched, ACTING, TARGETS, st.booleans()),
    st.builds(Removal, ACTING, TARGETS),
    st.builds(
        lambda user, ids, keep: Offered(user, tuple(space(i, user) for i in ids), frozenset(keep)),
        st.sampled_from(["alice", "bob"]),
        st.sets(IDS),
        st.sets(TARGETS),
    ),
    st.builds(
        lambda ids: Listed(tuple(Host(id=i, name=i, endpoint=StreamableHttp(URL)) for i in ids)),
        st.sets(IDS),
    ),
)


@given(st.lists(CHANGES, max_size=12))
def test_no_user_ever_touches_anothers_host(commands: list[Change | Listed]) -> None:
    book = Book()
    for command in commands:
        before = dict(book.state)
        try:
            facts = book.take(command)
        except Rejected:
            assert book.state == before, "what is refused changes nothing"
            continue
        try:
            assert book.take(command) == [] or isinstance(command, Removal)
        except Rejected:
            assert isinstance(command, Removal), "said again it changes nothing"
        user = _user(command)
        for fact in facts:
            spec = before.get(fact.host, domain.NOTHING).spec
            if user is not None:
                assert split_host(fact.host)[0] == user
            if user is not None and spec is not None:
                assert spec.owner == user


def _user(command: Change | Listed) -> str | None:
    match command:
        case Offered():
            return command.user
        case Listed():
            return None
        case _:
            return None if command.acting.operator else command.acting.user
