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
from services.registry import changes, domain
from services.registry.changes import Acting, Change, Offered, Removal, Switched, Written
from services.registry.commands import described
from services.registry.domain import Known, Listed

ALICE, BOB, OPERATOR = Acting("alice", False), Acting("bob", False), Acting("root", True)
URL = "https://tools.example.com/mcp"


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
    given_: dict[str, Any] = {"endpoint": StreamableHttp(URL), "name": id_} | fields
    return changes.owned(Host(id=id_, **given_), acting)


def write(one: Host, acting: Acting = ALICE, *, replace: bool = False, most: int = 9) -> Written:
    return Written(acting, one, replace, most)


def space(id_: str, user: str = "alice", **fields: Any) -> Host:
    given_: dict[str, Any] = {"endpoint": Execute(f"hf://{user}/{id_}"), "name": id_} | fields
    return Host(id=id_, owner=user, source=SPACE, **given_)


def test_a_users_host_is_the_users() -> None:
    (fact,) = Book().take(write(host(owner="bob")))
    assert isinstance(fact, McpRegistered)
    assert (fact.spec.owner, fact.spec.source) == ("alice", COMMAND)


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
    (fact, _) = domain.decide(book.state, domain.ProbeEnded("h", 1, discovery=tools))
    book.state["h"] = domain.evolve(book.state["h"], 9, 0.0, fact)
    assert book.take(write(host())) == []
    (fact,) = book.take(write(host(name="new"), replace=True))
    assert isinstance(fact, McpRegistered)
    assert [tool.name for tool in fact.spec.tools] == ["t"]


def test_an_id_that_is_taken_says_not_by_whom() -> None:
    book = Book()
    book.take(write(host()))
    with pytest.raises(Rejected) as refusal:
        book.take(write(host(acting=BOB), BOB))
    assert refusal.value.reason is Reason.CONFLICT
    assert "alice" not in refusal.value.message
    assert book.refuse(write(host(acting=BOB), BOB, replace=True)) is Reason.NOT_FOUND
    assert book.refuse(Removal(BOB, "h")) is Reason.NOT_FOUND
    assert book.refuse(Switched(BOB, "h", False)) is Reason.NOT_FOUND


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
    book.take(Removal(ALICE, "a"))
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
    assert book.refuse(write(host("m"))) is Reason.CONFLICT


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
    assert fact.host == "a"
    assert book.take(Offered("bob", ())) == []
    assert book.take(Offered("alice", (), keep=frozenset({"a", "b"}))) == []
    (gone,) = book.take(Offered("alice", (space("a", name="new"),)))
    assert isinstance(gone, McpRemoved)
    assert gone.host == "b"


def test_a_space_takes_no_id_of_another_host() -> None:
    book = Book()
    book.take(write(host("a", BOB), BOB))
    book.take(Offered("bob", (space("b", "bob"),)))
    offered = (space("a"), space("b"), space("c"))
    assert set(changes.clashes(book.state, "alice", offered)) == {"a", "b"}
    (fact,) = book.take(Offered("alice", offered))
    assert fact.host == "c"


def test_a_space_is_disabled_and_not_removed() -> None:
    book = Book()
    book.take(Offered("alice", (space("a"),)))
    assert book.refuse(Removal(ALICE, "a")) is Reason.CONFLICT
    book.take(Switched(ALICE, "a", False))
    assert book.take(Offered("alice", (space("a"),))) == []
    assert book.state["a"].spec is not None
    assert not book.state["a"].spec.enabled


IDS = st.sampled_from("abc")
ACTING = st.sampled_from([ALICE, BOB, OPERATOR])
HOSTS = st.builds(
    lambda id_, acting, name: (host(id_, acting, name=name), acting),
    IDS,
    ACTING,
    st.sampled_from("xy"),
)
CHANGES = st.one_of(
    st.builds(lambda one, replace: write(one[0], one[1], replace=replace), HOSTS, st.booleans()),
    st.builds(Switched, ACTING, IDS, st.booleans()),
    st.builds(Removal, ACTING, IDS),
    st.builds(
        lambda user, ids, keep: Offered(user, tuple(space(i, user) for i in ids), frozenset(keep)),
        st.sampled_from(["alice", "bob"]),
        st.sets(IDS),
        st.sets(IDS),
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


@pytest.mark.parametrize(
    ("entry", "acting", "reason"),
    [
        ({"endpoint": {"kind": "stdio", "command": "x"}}, ALICE, Reason.FORBIDDEN),
        ({"endpoint": {"kind": "http", "url": "http://tools.example.com"}}, ALICE, "https only"),
        ({"endpoint": {"kind": "http", "url": "https://127.0.0.1/mcp"}}, ALICE, "private"),
        ({"endpoint": {"kind": "http", "url": URL}, "owner": "bob"}, ALICE, Reason.FORBIDDEN),
        ({"endpoint": {"kind": "http", "url": URL}, "roots": ["/etc"]}, ALICE, "no files"),
        ({"endpoint": {"kind": "http", "url": URL, "headers": {"X-Api-Key": "s"}}}, ALICE, "log"),
        (
            {"endpoint": {"kind": "stdio", "command": "x", "env": {"MY_TOKEN": "s"}}},
            OPERATOR,
            "env_from",
        ),
        ({"endpoint": {"kind": "noop"}}, OPERATOR, "benchmarks"),
        ({"endpoint": {"kind": "http", "url": URL, "more": 1}}, OPERATOR, "endpoint"),
        ([], OPERATOR, "object"),
    ],
)
def test_what_may_not_be_registered(entry: Any, acting: Acting, reason: Reason | str) -> None:
    with pytest.raises(Rejected) as refusal:
        described("h", msgspec.json.encode(entry), acting, allow_private=False, allow_noop=False)
    if isinstance(reason, Reason):
        assert refusal.value.reason is reason
    else:
        assert reason in refusal.value.message


def test_what_may_be_registered() -> None:
    def of(entry: Any, acting: Acting, *, private: bool = False) -> Host:
        data = msgspec.json.encode(entry)
        return described("h", data, acting, allow_private=private, allow_noop=False)

    loopback = {"endpoint": {"kind": "http", "url": "http://127.0.0.1:1/mcp"}}
    assert of(loopback, ALICE, private=True).owner == "alice"
    assert of(loopback, OPERATOR).owner is None
    assert of({"endpoint": {"kind": "http", "url": "hf://a/b"}}, ALICE).source == COMMAND
    assert of({"endpoint": {"kind": "stdio", "command": "x"}}, OPERATOR).source == COMMAND
    for word in ("add", "a b", ""):
        with pytest.raises(Rejected):
            described(word, b"{}", OPERATOR, allow_private=False, allow_noop=False)
