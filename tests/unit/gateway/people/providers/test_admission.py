"""Who is new comes in as the settings say, is called nearly as there, or comes by an invitation."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Rejected
from contracts.ids import is_user
from services.bus.bus import Bus
from services.gateway.people.providers.admission import admitted, names, path_of_ours
from services.gateway.people.providers.base import Stranger
from services.gateway.people.providers.settings import SignInSettings
from services.gateway.people.records import User
from tests.support.github_sign_in import GitHubOAuth
from tests.support.oidc import OidcServer
from tests.unit.gateway.people.providers.signing import NAME, browser, signing

OURS = {"admit_new_people": "domains", "admit_domains": ("Example.com", "@more.example")}
ACME = {"admit_new_people": "organizations", "admit_organizations": ("github/Acme",)}


def chosen(**given: Any) -> SignInSettings:
    return SignInSettings(**given)


@pytest.mark.parametrize(
    ("given", "emails", "comes"),
    [
        ({}, ("ann@example.com",), False),
        ({"admit_new_people": "all"}, (), True),
        (OURS, ("ann@example.com",), True),
        (OURS, ("ann@EXAMPLE.com",), True),
        (OURS, ("x@other.example", "ann@more.example"), True),
        (OURS, (), False),
        (OURS, ("ann@sub.example.com",), False),
        (OURS, ("ann@example.com.evil.example",), False),
        (OURS, ("ann@evilexample.com",), False),
        (OURS, ("example.com@evil.example",), False),
        (OURS, ("example.com",), False),
        (OURS, ('"a@example.com"@evil.example',), False),
    ],
)
def test_by_domain(given: dict[str, Any], emails: tuple[str, ...], comes: bool) -> None:
    who = Stranger("1", "ann", emails=emails)
    assert (admitted(who, chosen(**given)) == "") is comes


@pytest.mark.parametrize(
    ("organizations", "comes"),
    [
        (("github/acme",), True),
        (("github/other", "github/ACME"), True),
        (("huggingface/acme",), False),
        (("acme",), False),
        (("github/acme-evil",), False),
        ((), False),
    ],
)
def test_by_organization(organizations: tuple[str, ...], comes: bool) -> None:
    who = Stranger("1", "ann", organizations=organizations)
    assert (admitted(who, chosen(**ACME)) == "") is comes


@pytest.mark.parametrize(
    ("login", "name"),
    [
        ("ann", "ann"),
        ("Ann-Example", "ann-example"),
        ("ann.example", "ann-example"),
        ("ann_x", "ann_x"),
        ("\u00e4\u00f6\u00fc", "user"),
        ("-", "user"),
        ("", "user"),
        ("a" * 300, "a" * 48),
        ("../../etc", "etc"),
        ("a > b.*", "a-b"),
    ],
)
def test_a_name_that_fits(login: str, name: str) -> None:
    assert list(islice(names(login, "cafe"), 2)) == [name, f"{name}-2"]


@given(st.text())
def test_every_name_may_be_a_users(login: str) -> None:
    every = list(names(login, "0123abcd"))
    assert all(is_user(name) for name in every)
    assert len(set(every)) == len(every) > 5


@given(st.text(alphabet=st.characters(codec="utf-8")) | st.from_regex(r"[/\\]{1,3}[a-z.:/@?#]*"))
def test_a_path_of_ours_never_leads_to_another_host(text: str) -> None:
    try:
        path = path_of_ours(text)
    except Rejected:
        return
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    assert "\\" not in path


@pytest.mark.parametrize("path", ["/", "/api/docs", "/a/b?c=d&e=//x", "/a#b"])
def test_paths_of_ours(path: str) -> None:
    assert path_of_ours(path) == path


async def test_nobody_new_comes_in_unless_the_operator_says_so(
    own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    nobody = {k: v for k, v in chosen.items() if k != "admit_new_people"}
    async with signing(tmp_path, own_bus, nobody) as gateway, browser(gateway) as ann:
        for provider in ("github", "huggingface", NAME):
            answer = await ann.sign_in(provider)
            assert (answer.status_code, ann.session) == (403, "")
            assert "ask an administrator" in answer.text
            assert gateway.last().reason == "not_admitted"
        assert gateway.site.parts.state.bucket is not None
        assert gateway.users._table.held == {}
        assert gateway.door.identities._table.held == {}


async def test_an_unverified_address_counts_for_nothing(
    own_bus: Bus, tmp_path: Path, chosen: dict[str, Any], company: OidcServer
) -> None:
    given = chosen | {"admit_new_people": "domains", "admit_domains": ("other.example",)}
    async with signing(tmp_path, own_bus, given) as gateway, browser(gateway) as ben:
        company.who = "id-ben"
        assert (await ben.sign_in(NAME)).status_code == 403
        company.people["id-ben"]["email_verified"] = "true"
        assert (await ben.sign_in(NAME)).status_code == 403
        company.people["id-ben"]["email_verified"] = True
        assert (await ben.sign_in(NAME)).status_code == 303


async def test_members_of_an_organization_at_github_come_in(
    own_bus: Bus, tmp_path: Path, chosen: dict[str, Any], github: GitHubOAuth
) -> None:
    github.orgs = {1: [f"org-{n}" for n in range(120)] + ["acme"], 2: ["other"]}
    async with signing(tmp_path, own_bus, chosen | ACME) as gateway:
        async with browser(gateway) as ann:
            assert (await ann.sign_in("github")).status_code == 303
        assert github.queries[-1]["scope"] == "repo user:email workflow read:org"
        github.who = 2
        async with browser(gateway) as ben:
            assert (await ben.sign_in("github")).status_code == 403


async def test_members_of_an_organization_at_hugging_face_come_in(
    own_bus: Bus, tmp_path: Path, chosen: dict[str, Any], hub: OidcServer
) -> None:
    given = {"admit_new_people": "organizations", "admit_organizations": ("huggingface/acme",)}
    async with signing(tmp_path, own_bus, chosen | given) as gateway, browser(gateway) as ann:
        assert (await ann.sign_in("huggingface")).status_code == 303
        hub.people["5f2"] = {"preferred_username": "eve", "orgs": [{"name": "x"}, 7, None]}
        hub.who = "5f2"
        ann.client.cookies.clear()
        assert (await ann.sign_in("huggingface")).status_code == 403


async def test_an_invitation_lets_one_person_in_once(
    own_bus: Bus, tmp_path: Path, chosen: dict[str, Any], company: OidcServer
) -> None:
    given = chosen | {"admit_new_people": "nobody"}
    async with signing(tmp_path, own_bus, given) as gateway:
        code, _, _ = await gateway.door.invitations.add("newcomer", "root", 3600)
        async with browser(gateway) as ann, browser(gateway) as eve:
            hers = await ann.away(NAME, invite=code)
            company.who = "id-ben"
            other = await eve.away(NAME, invite=code)
            assert (await ann.get(hers)).status_code == 303
            assert ann.user == "newcomer"
            assert (await eve.get(other)).status_code == 403
            assert (await eve.start(NAME, invite=code)).status_code == 403
            assert (await eve.start(NAME, invite="mti_made_up")).status_code == 403
            # Nothing of Eve's is left, so an invitation of her own works at once.
            own, _, _ = await gateway.door.invitations.add("eve", "root", 3600)
            assert (await eve.sign_in(NAME, invite=own)).status_code == 303
            assert eve.user == "eve"
        assert code not in repr(gateway.door.invitations._table.held)


async def test_an_invitation_links_to_an_account_that_is_there(
    own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    given = chosen | {"admit_new_people": "nobody"}
    async with signing(tmp_path, own_bus, given) as gateway, browser(gateway) as ann:
        await gateway.put(User(name="annie", created=1.0, roles=("admin",)))
        code, _, _ = await gateway.door.invitations.add("annie", "root", 3600)
        assert (await ann.sign_in(NAME, invite=code)).status_code == 303
        assert ann.user == "annie"
        assert gateway.users.get("annie") is not None
        again, _, _ = await gateway.door.invitations.add("other", "root", 3600)
        assert (await ann.sign_in(NAME, invite=again)).status_code == 403


async def test_an_invitation_that_was_taken_back_or_has_ended(
    own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    async with signing(tmp_path, own_bus, chosen) as gateway, browser(gateway) as ann:
        code, _, key = await gateway.door.invitations.add("a", "root", 3600)
        back = await ann.away(NAME, invite=code)
        await gateway.door.invitations.withdraw(key)
        assert (await ann.get(back)).status_code == 403
        with pytest.raises(Rejected, match="no such invitation"):
            await gateway.door.invitations.withdraw(key)
        ended, _, _ = await gateway.door.invitations.add("b", "root", -1)
        assert (await ann.start(NAME, invite=ended)).status_code == 403
