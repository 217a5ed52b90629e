"""`metamcp identities` and `metamcp user invite` against a real gateway and its providers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.cli.app import execute
from services.cli.common import CliError, Exit
from services.cli.people import one_of
from tests.support.github_sign_in import github_oauth
from tests.support.nats import NatsServer
from tests.support.oidc import oidc_server
from tests.unit.gateway.people.providers.signing import (
    ADDRESS,
    Signing,
    browser,
    of_company,
    of_github,
    signing,
)


@pytest.fixture
async def gateway(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Signing]:
    """A gateway with two providers; the client is an admin."""
    monkeypatch.chdir(tmp_path)
    async with github_oauth() as github, oidc_server() as company:
        settings = of_github(github) | of_company(company, tmp_path)
        async with (
            fresh_nats.connected("gateway") as bus,
            signing(tmp_path, bus, settings) as one,
        ):
            monkeypatch.setenv("METAMCP_URL", one.url)
            monkeypatch.setenv("METAMCP_TOKEN", "admin-token")
            yield one


async def metamcp(*arguments: str) -> int:
    return await asyncio.to_thread(execute, list(arguments))


def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


async def test_who_is_invited_comes_in_and_the_rest_is_taken_back(
    gateway: Signing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await metamcp("user", "invite", "ann", "--ttl", "12h") == Exit.OK
    said = capsys.readouterr()
    first, second = said.out.split()
    assert first.startswith(f"{ADDRESS}/api/auth/github/start?invite=mti_")
    assert second.startswith(f"{ADDRESS}/api/auth/company/start?invite=mti_")
    assert "mti_" not in said.err
    async with browser(gateway) as ann:
        path = first.removeprefix(ADDRESS)
        away = await ann.get(path)
        assert (await ann.get(await ann.consent(away.headers["location"]))).status_code == 303
        assert ann.user == "ann"
    assert await metamcp("user", "invite", "ben", "--json") == Exit.OK
    made = shown(capsys)
    assert await metamcp("user", "invitations") == Exit.OK
    listed = capsys.readouterr().out
    assert ("ben" in listed, "ann" in listed, made["code"] in listed) == (True, False, False)
    assert await metamcp("user", "uninvite", made["id"][:12]) == Exit.OK
    assert capsys.readouterr().out == "ben is invited no more\n"
    assert await metamcp("user", "invitations", "--json") == Exit.OK
    assert shown(capsys) == []
    assert await metamcp("user", "uninvite", made["id"]) == Exit.REFUSED
    assert "metamcp user invitations" in capsys.readouterr().err
    assert await metamcp("user", "invite", "cem", "--ttl", "90d") == Exit.USAGE
    assert "ttl_s" in capsys.readouterr().err


async def test_ones_own_identities_are_listed_linked_and_unlinked(
    gateway: Signing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await metamcp("identities") == Exit.OK
    assert "metamcp identities link PROVIDER" in capsys.readouterr().out
    assert await metamcp("user", "invite", "root", "--json") == Exit.OK
    start = shown(capsys)["starts"][0]
    async with browser(gateway) as ann:
        away = await ann.get(start)
        await ann.get(await ann.consent(away.headers["location"]))
        assert ann.user == "root"
    assert await metamcp("identities", "link", "company") == Exit.OK
    said = capsys.readouterr()
    assert said.out == f"{ADDRESS}/api/auth/company/start?link=true\n"
    assert "sign in as root" in said.err
    assert await metamcp("identities", "link", "nobody") == Exit.REFUSED
    assert "There are: github, company" in capsys.readouterr().err
    assert await metamcp("identities", "--json") == Exit.OK
    (identity,) = shown(capsys)
    assert identity["login"] == "Ann-Example"
    assert await metamcp("identities", "unlink", identity["key"][:12]) == Exit.REFUSED
    assert "the only way in that is left" in capsys.readouterr().err
    async with gateway.http("admin-token") as root:
        body = {"password": "seven horses in a boat"}
        assert (await root.post("/api/users/root/password", json=body)).is_success
    assert await metamcp("identities", "unlink", identity["key"][:12]) == Exit.OK
    assert "sign in as Ann-Example of github no more" in capsys.readouterr().out


def test_a_beginning_that_says_too_little_is_refused() -> None:
    found = [{"id": "ab1"}, {"id": "ab2"}]
    assert one_of(found, "id", "ab2", "metamcp x") == {"id": "ab2"}
    for text, code in (("ab", Exit.USAGE), ("x", Exit.REFUSED), ("", Exit.REFUSED)):
        with pytest.raises(CliError) as told:
            one_of(found, "id", text, "metamcp x")
        assert (told.value.code, told.value.hint) == (code, "See `metamcp x`.")
