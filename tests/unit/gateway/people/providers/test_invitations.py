"""Routes of invitations, over HTTP."""

from __future__ import annotations

import pytest

from tests.unit.gateway.people.providers.signing import Signing, browser
from tests.unit.gateway.world import error_of

PATH = "/api/auth/invitations"


async def test_an_admin_invites_lists_and_takes_back(gateway: Signing) -> None:
    async with gateway.http("admin-token") as root:
        made = (await root.post(PATH, json={"user": "newcomer", "ttl_s": 60})).json()["data"]
        assert made["starts"][0] == f"/api/auth/github/start?invite={made['code']}"
        more = (await root.post(PATH, json={"user": "other"})).json()["data"]
        first = (await root.get(PATH, params={"limit": 1})).json()
        assert [one["user"] for one in first["data"]] == ["newcomer"]
        assert made["code"] not in str(first)
        rest = await root.get(PATH, params={"cursor": first["next_cursor"]})
        assert [one["id"] for one in rest.json()["data"]] == [more["id"]]
        assert rest.json()["next_cursor"] is None
        gone = await root.delete(f"{PATH}/{more['id']}")
        assert gone.json()["data"]["user"] == "other"
        assert error_of(await root.delete(f"{PATH}/{more['id']}")).code == 404
    kinds = [(one.kind, one.user, one.asked_by) for one in gateway.trail]
    assert kinds == [
        ("invitation.added", "newcomer", "root"),
        ("invitation.added", "other", "root"),
        ("invitation.removed", "other", "root"),
    ]
    async with browser(gateway) as ann:
        assert (await ann.get(await ann.consent(await sent(ann, made["starts"][0])))).is_redirect
        assert ann.user == "newcomer"


async def sent(ann: object, path: str) -> str:
    answer = await ann.get(path)  # type: ignore[attr-defined]
    assert answer.status_code == 303
    return str(answer.headers["location"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": "-"},
        {"user": "a b"},
        {"user": "a", "ttl_s": 0},
        {"user": "a", "ttl_s": 1e9},
        {"user": "a", "more": 1},
    ],
)
async def test_an_invitation_that_does_not_fit(gateway: Signing, body: dict[str, object]) -> None:
    async with gateway.http("admin-token") as root:
        assert error_of(await root.post(PATH, json=body)).code == 400


async def test_nobody_else_invites(gateway: Signing) -> None:
    async with gateway.http() as alice, gateway.http(None) as nobody:
        for client, code in ((alice, 403), (nobody, 401)):
            assert error_of(await client.post(PATH, json={"user": "x"})).code == code
            assert error_of(await client.get(PATH)).code == code
            assert error_of(await client.delete(f"{PATH}/{'0' * 64}")).code == code
