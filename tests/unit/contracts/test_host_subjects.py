"""Subjects of hosts: today's with an owner in them, and those of releases before 0.4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import facts, ids, roles, subjects
from contracts.host import Host, Noop
from contracts.subjects import Guard, check_guard

tokens = st.text("ab-_9", min_size=1, max_size=4)
owners = st.none() | tokens.filter(ids.is_user)
numbers = st.integers(1, 10**6)


def of_host(id_: str, k: int) -> list[facts.HostFact]:
    base = {"id": "f", "by": "r-1", "host": id_, "k": k}
    return [
        facts.McpRegistered(**base, spec=Host(id=id_, name="x", endpoint=Noop())),
        facts.McpRemoved(**base),
        facts.McpHealth(**base, status=facts.HealthStatus.HEALTHY),
    ]


def preferred(user: str, host: str, k: int) -> facts.McpPreferred:
    return facts.McpPreferred(id="f", by="g-1", user=user, host=host, k=k, weight=0.5)


def earlier(fact: facts.HostFact | facts.McpPreferred) -> str:
    """Where a release before 0.4 has put it."""
    whose = f"{fact.user}." if isinstance(fact, facts.McpPreferred) else ""
    return f"{fact.__struct_config__.tag}.{whose}{fact.host}.{fact.k}"


def fits(filters: tuple[str, ...], subject: str) -> list[str]:
    return [one for one in filters if subjects.matches(one, subject)]


@given(owners, tokens, tokens.filter(ids.is_user), numbers)
def test_a_subject_says_whose_host_it_is_about(
    owner: str | None, name: str, user: str, k: int
) -> None:
    host = ids.host_id(owner, name)
    for fact in (*of_host(host, k), preferred(user, host, k)):
        subject = subjects.of(fact)
        parsed = subjects.parse(subject)
        assert (parsed.type, parsed.host, parsed.number) == (
            fact.__struct_config__.tag, host, k
        )  # fmt: skip
        assert parsed.user == getattr(fact, "user", "")
        assert len(fits(subjects.WRITTEN, subject)) == 1
        assert fits(roles.EARLIER, subject) == []
        assert subjects.stands(fact, subject)


@given(tokens, tokens, tokens.filter(ids.is_user), tokens, numbers)
def test_no_form_is_mistaken_for_the_other(
    old: str, owner: str, user: str, name: str, k: int
) -> None:
    """Whatever the names are: what was written of an old id is never read as of another."""
    for fact in (*of_host(old, k), preferred(user, old, k)):
        subject = earlier(fact)
        parsed = subjects.parse(subject)
        assert (parsed.host, parsed.user, parsed.number) == (old, getattr(fact, "user", ""), k)
        assert fits(subjects.WRITTEN, subject) == [], "nobody may write it any more"
        assert len(fits(roles.EARLIER, subject)) == 1, "and the log has it"
        assert subjects.stands(fact, subject)
        for newer in (*of_host(ids.host_id(owner, name), k), preferred(user, f"{user}/{name}", k)):
            assert subjects.of(newer) != subject
            assert not subjects.stands(newer, subject) or newer.host == old


@given(tokens.filter(ids.is_user), owners, tokens, tokens, numbers)
def test_filters_of_preferences_find_both_forms_and_nothing_else(
    user: str, owner: str | None, name: str, other: str, k: int
) -> None:
    host = ids.host_id(owner, name)
    mine = subjects.preferences(user, host)
    assert fits(mine, subjects.of(preferred(user, host, k)))
    assert bool(fits(mine, earlier(preferred(user, name, k)))) == ("/" not in host)
    for another in (ids.host_id(owner, other), f"{user}/{other}", other):
        fact = preferred(user, another, k)
        assert bool(fits(mine, subjects.of(fact))) == (another == host)
    every = subjects.preferences_of(user)
    assert fits(every, subjects.of(preferred(user, host, k)))
    assert fits(every, earlier(preferred(user, name, k)))
    assert fits(every, subjects.of(preferred(f"{user}x", host, k))) == []


def test_breakers_are_told_on_both_tokens() -> None:
    assert subjects.breaker("h") == "breaker.-.h"
    assert subjects.breaker("alice/h") == "breaker.alice.h"
    assert subjects.breaker("*/*") == "breaker.*.*"


@pytest.mark.parametrize("subject", ["mcp.preferred.u.h", "mcp.registered.a.b.c.1", "mcp.x"])
def test_guards_for_subjects_that_never_are_are_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="guards nothing"):
        check_guard(Guard(subject, 0))


@pytest.mark.parametrize(
    "subject", ["mcp.registered.a.b.1", "mcp.registered.a.1", "mcp.preferred.u.o.h.*"]
)
def test_guards_may_name_either_form(subject: str) -> None:
    check_guard(Guard(subject, 1))
