"""Every change of who may do what is noted, whatever it is that was changed.

Those of publishers are in `test_publishers`, of keys in the contract test of the stream.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.bus.bus import Bus
from tests.support.facts import name
from tests.unit.gateway.peopled import ADMIN, PASSWORD, peopled, signed_in
from tests.unit.gateway.world import World

USER = "/api/users/{user}"
CHANGES: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("POST", "/api/users", {"name": "{user}", "password": PASSWORD}, "user.created"),
    ("PATCH", USER, {"roles": ["auditor"]}, "user.changed"),
    ("POST", f"{USER}/password", {"password": PASSWORD + "!"}, "password.changed"),
    ("PUT", f"{USER}/quota", {"limits": {"hosts": 1}}, "quota.changed"),
    ("DELETE", f"{USER}/quota", {}, "quota.changed"),
    ("POST", "/api/tokens", {"user": "{user}"}, "token.issued"),
    ("DELETE", "/api/tokens/{id}", {}, "token.revoked"),
    ("POST", "/api/auth/invitations", {"user": "{user}"}, "invitation.added"),
    ("DELETE", "/api/auth/invitations/{id}", {}, "invitation.removed"),
    (
        "POST",
        "/api/clients",
        {"name": "x", "redirects": ["https://x.example/"]},
        "client.registered",
    ),
    ("DELETE", "/api/clients/{id}", {}, "client.removed"),
    ("PUT", "/api/profiles/x", {}, "profile.changed"),
    ("DELETE", "/api/profiles/x", {}, "profile.changed"),
    ("POST", "/api/projects", {"name": "shop"}, "project.changed"),
    ("PUT", "/api/projects/{id}/members/{user}", {"role": "editor"}, "project.changed"),
    ("PATCH", "/api/projects/{id}", {"description": "x"}, "project.changed"),
    ("DELETE", "/api/projects/{id}/members/{user}", {}, "project.changed"),
    ("POST", "/api/projects/{id}/archive", {}, "project.changed"),
    ("PATCH", USER, {"disabled": True}, "user.disabled"),
    ("PATCH", USER, {"disabled": False, "end_everything": True}, "session.ended"),
    ("DELETE", USER, {}, "user.deleted"),
)
"""In their order: `{id}` is what the one before has made."""


def noted(one: World) -> list[tuple[str, str]]:
    waiting = one.site.parts.trail.waiting
    found = [(event.kind, event.outcome) for event in waiting]
    waiting.clear()
    return found


async def test_every_change_is_noted(tmp_path: Path, bus: Bus) -> None:
    user, id_ = name("u"), ""
    async with peopled(tmp_path, bus) as one, one.http(ADMIN) as admin:
        for method, path, given, kind in CHANGES:
            body = {k: v.format(user=user) if isinstance(v, str) else v for k, v in given.items()}
            url = path.format(user=user, id=id_)
            answer = await admin.request(method, url, json=body)
            assert answer.is_success, (path, answer.text)
            assert (kind, "ok") in noted(one), (method, path)
            made = answer.json()["data"]
            id_ = made["id"] if method == "POST" and "id" in made else id_


async def test_sign_ins_and_their_ends_are_noted(tmp_path: Path, bus: Bus) -> None:
    user = name("u")
    async with peopled(tmp_path, bus) as one, one.http(ADMIN) as admin:
        body = {"name": user, "password": PASSWORD}
        assert (await admin.post("/api/users", json=body)).is_success
        noted(one)
        session = await signed_in(one, user)
        assert noted(one) == [("sign_in", "ok")]
        async with one.http(session["access_token"]) as theirs:
            assert (await theirs.post("/api/auth/logout")).is_success
        assert set(noted(one)) == {("sign_out", "ok"), ("session.ended", "ok")}
