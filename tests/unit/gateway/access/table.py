"""The table of all routes: whose each is, and what is asked of it."""

from __future__ import annotations

from typing import Any

from services.gateway import app
from services.gateway.oauth import places
from services.gateway.oauth.server import RESOURCES
from services.gateway.openapi.document import PATH as SCHEMA
from tests.unit.gateway.access.rows import Row, Who, named
from tests.unit.gateway.alices import (
    BATCH,
    BLOB,
    CLIENT,
    DONE,
    GRANT,
    HOST,
    IDLE,
    INVITED,
    MARK,
    NONE,
    OPERATION,
    REPOSITORY,
    SHA256,
    SHOP,
    SPACE,
    VIEW,
    WAIT,
)
from tests.unit.gateway.whole import ENTRY
from tests.unit.gateway.world import TASK

OF_ALICE: dict[str, Any] = {"params": {"user": "alice"}}
OF_NOBODY: dict[str, Any] = {"params": {"user": "carol"}}
AUDITED: dict[str, Any] = {"audited": OF_ALICE, "more": (OF_ALICE,), "deed": "see"}
OWN_AUDITED = AUDITED | {"deed": "own"}
BYTES: tuple[dict[str, Any], ...] = (
    {"headers": {"Range": "bytes=0-9"}},
    {"headers": {"Range": "bytes=999999-"}},
    {"headers": {"If-None-Match": "*"}},
    {"headers": {"If-Range": '"x"', "Range": "bytes=0-9"}},
)
READ = AUDITED | {"more": (OF_ALICE, *BYTES)}
PUBLIC = Row(Who.PUBLIC)
SIGN_IN = (*(f"/api/auth/{name}" for name in ("login", "refresh", "device/token")), "/device")
OWN = Row(Who.OWN)
FORM = {"data": {"user": "x"}}
REDIRECTS = {"json": {"redirect_uris": ["https://x.example/"]}}
NEW_CLIENT = {"json": {"name": MARK, "redirects": ["https://x.example/"]}}
REPO = "/api/spaces/{owner}/{name}"
GITHUB = "/api/github/repos/{owner}/{repo}"
AT: dict[str, Any] = {"params": {"path": MARK}}
ID = "{user}/{host}"
PROJECT = "/api/projects/{project}"
IN = Row(Who.NAMED, SHOP, audited={}, deed="see")
MANAGED = IN._replace(deed="manage")

TABLE: dict[tuple[str, str], Row] = {
    **{("GET", path): PUBLIC for path in ("/", *app.HEALTH, "/api/docs", "/api/limits")},
    ("GET", SCHEMA): PUBLIC,
    ("GET", f"{SCHEMA}/openapi.json"): PUBLIC,
    ("GET", f"{SCHEMA}/{{path}}"): Row(Who.PUBLIC, status=404),
    ("GET", "/.well-known/jwks.json"): PUBLIC,
    **{("GET", path): PUBLIC for path in (*RESOURCES, places.SERVER, places.OPENID, places.JWKS)},
    ("GET", places.SIGN_IN): PUBLIC,
    ("GET", places.AUTHORIZE): Row(Who.PUBLIC, status=303),
    ("POST", places.SIGN_IN): Row(Who.PUBLIC, given=FORM, status=401),
    ("POST", places.CONSENT): Row(Who.PUBLIC, given=FORM, status=303),
    ("POST", places.TOKEN): Row(Who.PUBLIC, given=FORM, status=400),
    ("POST", places.REVOKE): Row(Who.PUBLIC, given=FORM, status=400),
    ("POST", places.REGISTER): Row(Who.PUBLIC, given=REDIRECTS, status=201),
    ("GET", app.STREAM): Row(Who.PUBLIC, status=426),
    ("GET", app.EVENTS): Row(Who.ELSEWHERE),
    ("GET", app.MCP): Row(Who.ELSEWHERE),
    ("POST", app.MCP): Row(Who.ELSEWHERE),
    ("DELETE", app.MCP): Row(Who.ELSEWHERE),
    ("POST", f"{app.MCP}/"): Row(Who.ELSEWHERE),
    ("POST", "/api/auth/ticket"): Row(Who.OWN, status=201),
    ("GET", "/api/auth/providers"): PUBLIC,
    ("GET", "/api/auth/{way}/start"): Row(Who.PUBLIC, status=404),
    ("POST", "/api/auth/{way}/start"): Row(Who.PUBLIC, status=403),
    ("GET", "/api/auth/{way}/callback"): Row(Who.PUBLIC, status=404),
    ("GET", "/api/auth/identities"): OWN,
    ("DELETE", "/api/auth/identities/{key}"): Row(Who.OWN, status=404),
    ("GET", "/api/auth/invitations"): Row(Who.ADMIN),
    ("POST", "/api/auth/invitations"): Row(Who.ADMIN, given={"json": {"user": MARK}}, status=201),
    ("DELETE", "/api/auth/invitations/{key}"): Row(Who.ADMIN, INVITED),
    ("PUT", "/api/blobs"): Row(Who.OWN, given={"content": "x"}, status=201),
    ("GET", "/api/blobs"): OWN,
    ("DELETE", "/api/blobs/{sha256}"): named(SHA256),
    ("GET", "/api/tasks"): Row(Who.OWN, **AUDITED),
    ("GET", "/api/tasks/counts"): Row(Who.ELSEWHERE, deed="see"),
    ("GET", "/api/tasks/export"): Row(Who.OWN, **AUDITED),
    ("POST", "/api/tasks"): Row(Who.OWN, given={"json": TASK}, status=201, deed="submit"),
    ("GET", "/api/tasks/{task}"): named(DONE, **AUDITED),
    ("GET", "/api/tasks/{task}/events"): named(WAIT, **AUDITED),
    ("GET", "/api/tasks/{task}/why"): named(DONE, **AUDITED),
    ("GET", "/api/tasks/{task}/result"): named(DONE, **READ),
    ("GET", "/api/tasks/{task}/audit"): named(DONE, **AUDITED),
    ("GET", "/api/tasks/{task}/trace"): named(DONE, **AUDITED),
    ("GET", "/api/tasks/{task}/recompute"): named(DONE, **AUDITED),
    ("POST", "/api/tasks/{task}/cancel"): named(WAIT, deed="own"),
    ("PUT", "/api/tasks/{task}/tags"): named(WAIT, {"json": {"tags": {"a": "b"}}}, deed="own"),
    ("POST", "/api/tasks/{task}/again"): named(WAIT, status=201, deed="own"),
    ("POST", "/api/batches"): Row(
        Who.OWN, given={"json": {"tasks": [TASK]}}, status=201, deed="submit"
    ),
    ("GET", "/api/batches"): Row(Who.OWN, **OWN_AUDITED),
    ("GET", "/api/batches/{batch}"): named(BATCH, **OWN_AUDITED),
    ("POST", "/api/operations"): Row(
        Who.OWN, given={"json": {"action": "cancel", "ids": [NONE]}}, status=202, deed="own"
    ),
    ("GET", "/api/operations"): Row(Who.OWN, **OWN_AUDITED),
    ("GET", "/api/operations/{operation}"): named(OPERATION, **OWN_AUDITED),
    ("POST", "/api/operations/{operation}/stop"): named(OPERATION, deed="own"),
    ("GET", "/api/asks"): OWN,
    ("POST", "/api/tasks/{task}/answer"): named(
        WAIT, {"json": {"q": 1, "action": "accept"}}, status=404, deed="own"
    ),
    ("GET", "/api/results"): Row(Who.OWN, **AUDITED | {"deed": "own"}),
    ("GET", "/api/results/{task}"): named(BLOB, **AUDITED),
    ("GET", "/api/results/{task}/content"): named(BLOB, **READ),
    ("POST", "/api/results/{task}/verify"): named(BLOB, deed="own"),
    ("DELETE", "/api/results/{task}"): named(BLOB, deed="own"),
    ("GET", "/api/preferences"): OWN,
    ("PUT", "/api/preferences/{host}"): named(HOST, {"json": {"weight": 1}}),
    ("PUT", f"/api/preferences/{ID}"): named(HOST, {"json": {"weight": 0.9}}),
    ("DELETE", "/api/preferences/{host}"): named(HOST),
    ("DELETE", f"/api/preferences/{ID}"): named(IDLE),
    ("GET", "/api/mcps"): Row(Who.OWN, audited={}),
    ("POST", "/api/mcps/discover"): OWN,
    ("GET", "/api/mcps/{host}"): named(HOST),
    ("GET", f"/api/mcps/{ID}"): named(HOST, audited={}),
    ("POST", "/api/mcps"): Row(Who.FREE, HOST, {"json": ENTRY | {"id": HOST}}),
    ("POST", "/api/mcps/{host}"): Row(Who.FREE, HOST, {"json": ENTRY}),
    ("POST", f"/api/mcps/{ID}"): Row(Who.HERS, HOST, {"json": ENTRY}),
    ("PUT", "/api/mcps/{host}"): named(HOST, {"json": ENTRY}),
    ("PUT", f"/api/mcps/{ID}"): named(HOST, {"json": ENTRY}),
    ("POST", "/api/mcps/{host}/check"): Row(Who.OWN, HOST, {"json": ENTRY}),
    ("POST", f"/api/mcps/{ID}/check"): Row(Who.HERS, HOST, {"json": ENTRY}),
    ("POST", "/api/mcps/{host}/probe"): named(HOST),
    ("POST", f"/api/mcps/{ID}/probe"): named(HOST),
    ("POST", "/api/mcps/{host}/disable"): named(HOST),
    ("POST", f"/api/mcps/{ID}/disable"): named(HOST),
    ("POST", "/api/mcps/{host}/enable"): named(IDLE),
    ("POST", f"/api/mcps/{ID}/enable"): named(IDLE),
    ("GET", "/api/mcps/{host}/log"): Row(Who.HIDDEN, HOST),
    ("GET", f"/api/mcps/{ID}/log"): Row(Who.HIDDEN, HOST),
    **{("GET", f"/api/mcps/{one}/link"): named(HOST) for one in ("{host}", ID)},
    **{("POST", f"/api/mcps/{one}/link"): named(HOST, status=503) for one in ("{host}", ID)},
    **{("DELETE", f"/api/mcps/{one}/link"): named(HOST) for one in ("{host}", ID)},
    ("GET", "/api/links"): OWN,
    ("POST", "/api/mcps/import"): Row(
        Who.OWN, given={"json": {"text": '{"mcpServers": {"a": {}}}'}}
    ),
    ("GET", "/api/mcps/{host}/history"): named(HOST),
    ("GET", f"/api/mcps/{ID}/history"): named(HOST, audited={}),
    ("GET", "/api/connect"): OWN,
    ("GET", "/api/load"): Row(Who.OWN, audited={}),
    ("GET", "/link/callback"): Row(Who.PUBLIC, status=400),
    ("GET", "/link/client.json"): PUBLIC,
    ("DELETE", "/api/mcps/{host}"): named(HOST),
    ("DELETE", f"/api/mcps/{ID}"): named(IDLE),
    ("GET", "/api/spaces"): OWN,
    ("POST", "/api/spaces"): Row(Who.OWN, given={"json": {"name": "USER"}}, status=201),
    ("GET", REPO): named(SPACE),
    ("POST", f"{REPO}/deploy"): named(SPACE),
    ("POST", f"{REPO}/restart"): named(SPACE),
    ("GET", "/api/github/user"): OWN,
    ("GET", "/api/github/repos"): OWN,
    ("POST", "/api/github/repos"): Row(Who.OWN, given={"json": {"name": "USER"}}, status=201),
    ("GET", GITHUB): named(REPOSITORY),
    ("GET", f"{GITHUB}/contents"): named(REPOSITORY),
    ("GET", f"{GITHUB}/branches"): named(REPOSITORY),
    ("GET", f"{GITHUB}/file"): named(REPOSITORY, AT),
    ("PUT", f"{GITHUB}/file"): named(
        REPOSITORY, AT | {"json": {"content": "eA==", "message": MARK}}
    ),
    ("GET", "/api/accounts"): OWN,
    ("GET", "/api/accounts/{provider}"): Row(Who.OWN, more=({"params": {"check": "true"}},)),
    ("GET", "/api/accounts/huggingface/tasks"): OWN,
    ("PUT", "/api/accounts/{provider}"): Row(Who.OWN, given={"json": {"token": "hf_USER"}}),
    ("DELETE", "/api/accounts/{provider}"): OWN,
    ("GET", "/api/me"): OWN,
    ("GET", "/api/me/access"): OWN,
    ("GET", "/api/access"): Row(Who.ELSEWHERE),
    ("GET", "/api/access/follow"): Row(Who.ELSEWHERE),
    ("GET", "/api/users/{user}/quota"): Row(Who.ELSEWHERE),
    ("PUT", "/api/users/{user}/quota"): Row(Who.ELSEWHERE),
    ("DELETE", "/api/users/{user}/quota"): Row(Who.ELSEWHERE),
    **{("GET", f"/api/{name}"): Row(Who.ELSEWHERE) for name in ("overview", "queue", "workers")},
    ("GET", "/api/settings"): Row(Who.ELSEWHERE),
    ("GET", "/api/keys"): Row(Who.ELSEWHERE),
    ("GET", "/api/publishers"): Row(Who.ELSEWHERE),
    ("GET", "/api/restored"): Row(Who.ELSEWHERE),
    ("POST", "/api/restored"): Row(Who.ELSEWHERE),
    ("GET", "/api/tokens"): Row(Who.ADMIN, given={"params": {"user": MARK}}),
    ("POST", "/api/tokens"): Row(Who.ADMIN, given={"json": {"user": MARK}}, status=201),
    ("GET", "/api/projects"): Row(Who.OWN, deed="own"),
    ("POST", "/api/projects"): Row(
        Who.OWN, given={"json": {"name": "USER"}}, status=201, deed="own"
    ),
    **{("GET", f"{PROJECT}{of}"): IN for of in ("", "/members", "/tasks", "/results")},
    ("PATCH", PROJECT): MANAGED._replace(given={"json": {"description": "new"}}),
    ("PUT", f"{PROJECT}/members/{{user}}"): MANAGED._replace(given={"json": {"role": "owner"}}),
    ("DELETE", f"{PROJECT}/members/{{user}}"): MANAGED._replace(status=409),
    ("POST", f"{PROJECT}/archive"): MANAGED,
    ("GET", "/api/profiles"): OWN,
    ("PUT", "/api/profiles/{profile}"): Row(Who.OWN, f"{MARK}-mine", {"json": {}}),
    ("GET", "/api/profiles/{profile}"): named(VIEW),
    ("DELETE", "/api/profiles/{profile}"): named(VIEW),
    ("DELETE", "/api/tokens/{token}"): Row(Who.HIDDEN),
    **{("POST", path): Row(Who.PUBLIC, status=400) for path in SIGN_IN},
    ("POST", "/api/auth/device"): PUBLIC,
    ("GET", "/device"): Row(Who.PUBLIC, status=303),
    ("GET", "/console"): PUBLIC,
    ("GET", "/console/{page}"): PUBLIC,
    ("GET", "/console/assets/{version}/{file}"): Row(Who.PUBLIC, status=404),
    ("POST", "/api/auth/device/allow"): Row(Who.OWN, status=400),
    ("POST", "/api/auth/console-links"): Row(Who.OWN, status=201),
    ("POST", "/api/auth/console"): Row(Who.PUBLIC, status=403),
    ("POST", "/api/auth/logout"): Row(Who.OWN, status=400),
    ("GET", "/api/auth/csrf"): Row(Who.OWN, status=403),
    ("GET", "/api/auth/sessions"): OWN,
    ("DELETE", "/api/auth/sessions/{session}"): Row(Who.ELSEWHERE),
    ("POST", "/api/auth/password"): Row(Who.OWN, status=400),
    ("POST", "/api/users"): Row(Who.ADMIN, given={"json": {"name": MARK}}, status=201),
    ("GET", "/api/users"): Row(Who.ADMIN),
    ("GET", "/api/users/{person}"): Row(Who.HIDDEN, MARK),
    ("PATCH", "/api/users/{person}"): Row(Who.HIDDEN, MARK, {"json": {"display": "x"}}),
    ("POST", "/api/users/{person}/password"): Row(Who.ADMIN, MARK, {"json": {"password": None}}),
    ("DELETE", "/api/users/{person}"): Row(Who.ADMIN, MARK),
    ("GET", "/api/auth/grants"): OWN,
    ("DELETE", "/api/auth/grants/{grant}"): named(GRANT),
    ("GET", "/api/clients"): Row(Who.ADMIN),
    ("POST", "/api/clients"): Row(Who.ADMIN, given=NEW_CLIENT, status=201),
    ("DELETE", "/api/clients/{client}"): Row(Who.ADMIN, CLIENT),
}
"""In the order in which Alice asks: what takes away comes after what needs it."""
