"""Tokens for less than their owner may: what they do in projects."""

from __future__ import annotations

import pytest

from contracts.errors import Rejected
from services.gateway.access.identity import Principal
from tests.unit.gateway.http.test_projects import Scene, shop
from tests.unit.gateway.world import error_of

__all__ = ["shop"]


async def test_a_narrow_token_has_no_role_here_but_that_of_a_member(shop: Scene) -> None:
    find, narrow = shop.at.site.parts.projects.find, frozenset({"tasks:read"})
    for role, deed in (("auditor", "see"), ("admin", "manage")):
        whole = Principal(shop.users[role], frozenset({role}))
        assert await find(shop.project, whole, deed)  # type: ignore[arg-type]
        with pytest.raises(Rejected, match="there is no project"):
            await find(shop.project, whole._replace(scopes=narrow), deed)  # type: ignore[arg-type]
    assert await find(shop.project, Principal(shop.users["viewer"], narrow), "see")


async def test_who_is_let_in_is_said_by_a_token_for_that_alone(shop: Scene) -> None:
    owner, url = shop.clients["owner"], f"/api/projects/{shop.project}"
    client = await shop.clients["admin"].post(
        "/api/tokens", json={"user": shop.users["owner"], "scopes": ["tasks:read", "tasks:write"]}
    )
    assert client.status_code == 201, client.text
    narrow = {"Authorization": f"Bearer {client.json()['data']['token']}"}
    assert (await owner.get(url, headers=narrow)).status_code == 200
    changed = await owner.patch(url, headers=narrow, json={"description": "x"})
    assert changed.status_code == 200
    for method, given in (("PUT", {"json": {"role": "owner"}}), ("DELETE", {})):
        path = f"{url}/members/{shop.users['viewer']}"
        answer = await owner.request(method, path, headers=narrow, **given)  # type: ignore[arg-type]
        assert (answer.status_code, error_of(answer).reason) == (403, "insufficient_scope")
    assert (await owner.get(f"{url}/results", headers=narrow)).status_code == 403
