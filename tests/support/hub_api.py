"""The stand-in of the Hub's API of accounts and repositories: who, make, describe, list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.hub_commits import Committed
from tests.support.hub_repos import (
    ATTRIBUTES,
    KINDS,
    PREFIXES,
    Commit,
    Entry,
    Refused,
    Repo,
    Runtime,
    State,
    body,
    front_matter,
    git_oid,
    stamp,
)

SDKS = ("gradio", "streamlit", "docker", "static")
SHORT = ("likes", "private", "sdk", "tags", "createdAt")
"""What a list tells about each, unless it is asked for more."""
FULL = (*SHORT, "author", "lastModified", "siblings", "cardData", "sha")


class Api:
    """Routes of `/api` that don't read or write files."""

    def __init__(self, state: State, committed: Committed) -> None:
        self._state = state
        self._committed = committed

    def routes(self) -> list[Route]:
        repo = "/api/{kind}/{owner}/{name}"
        return [
            Route("/api/whoami-v2", self.whoami),
            Route("/api/validate-yaml", self.validate, methods=["POST"]),
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/repos/delete", self.delete, methods=["DELETE"]),
            Route("/api/spaces/templates", self.templates),
            Route("/api/{kind}", self.list),
            Route(repo, self.info),
            Route(repo + "/revision/{revision}", self.info),
            Route(repo + "/settings", self.settings, methods=["PUT"]),
            Route(repo + "/duplicate", self.duplicate, methods=["POST"]),
            Route(repo + "/refs", self.refs),
            Route(repo + "/branch/{branch}", self.branch, methods=["POST", "DELETE"]),
            Route(repo + "/auth-check", self.check),
            Route(repo + "/auth-check/write", self.check_write),
            Route(repo + "/xet-{what}-token/{revision}", self.no_xet),
        ]

    async def whoami(self, request: Request) -> Response:
        token = self._state.user(request)
        access: dict[str, Any] = {
            "displayName": "test",
            "role": token.role,
            "createdAt": stamp(token.created),
        }
        if token.role == "fineGrained":
            entity = {"_id": _id(token.user), "type": "user", "name": token.user}
            scoped = [{"entity": entity, "permissions": list(token.permissions)}]
            access["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scoped}
        orgs = [
            {"type": "org", "id": _id(name), "name": name, "fullname": name, "roleInOrg": "write"}
            for name in token.orgs
        ]
        answer = {
            "type": "user",
            "id": _id(token.user),
            "name": token.user,
            "fullname": token.user,
            "email": f"{token.user}@users.noreply",
            "emailVerified": True,
            "canPay": False,
            "isPro": False,
            "periodEnd": None,
            "avatarUrl": "",
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": access},
        }
        return JSONResponse(answer)

    async def validate(self, request: Request) -> Response:
        """Asked by the library before it commits a README.md."""
        text = json.loads(await body(request))["content"]
        try:
            card = front_matter(text)
        except ValueError as error:
            wrong = [{"message": f"YAML metadata is invalid: {error}"}]
            raise Refused(400, "Invalid YAML", body={"errors": wrong, "warnings": []}) from error
        empty = [{"message": "empty or missing yaml metadata in repo card"}]
        return JSONResponse({"errors": [], "warnings": [] if card else empty})

    async def create(self, request: Request) -> Response:
        token = self._state.user(request)
        asked = json.loads(await body(request))
        kind = asked.get("type") or "model"
        owner = asked.get("organization") or token.user
        id_ = f"{owner}/{asked['name']}"
        self._state.check_write(token, id_)
        if kind == "space" and asked.get("sdk") not in SDKS:
            raise Refused(400, f'"sdk" must be one of {", ".join(SDKS)}')
        self._refuse_second(kind, id_)
        template = self._state.repos.get(("space", asked.get("template") or ""))
        repo = self._make(token.user, kind, id_, asked, template)
        return JSONResponse({"url": self._page(kind, id_), "name": repo.id, "id": _id(id_)})

    def _refuse_second(self, kind: str, id_: str) -> None:
        if (kind, id_) in self._state.repos:
            text = f"You already created this {kind} repo"
            raise Refused(409, text, body={"url": self._page(kind, id_)})

    def _make(
        self, user: str, kind: str, id_: str, asked: Mapping[str, Any], source: Repo | None
    ) -> Repo:
        private = asked.get("visibility") == "private" or asked.get("private") is True
        repo = Repo(kind, id_, private, asked.get("sdk") or (source.sdk if source else ""))
        if source is not None:
            repo.blobs, repo.objects = dict(source.blobs), dict(source.objects)
            files: dict[str, Entry | None] = dict(source.head.files)
            repo.commit(user, f"Duplicate from {source.id}", files)
        else:
            files = {".gitattributes": repo.keep(ATTRIBUTES.encode())}
            if kind == "space":
                files["README.md"] = repo.keep(_readme(asked["name"], repo.sdk).encode())
            repo.commit(user, "initial commit", files)
        repo.runtime = _runtime(asked)
        self._state.repos[kind, id_] = repo
        self._committed(repo)
        return repo

    def _page(self, kind: str, id_: str) -> str:
        return f"{self._state.url}/{PREFIXES[kind]}{id_}"

    async def duplicate(self, request: Request) -> Response:
        source = self._state.repo(request)
        token = self._state.user(request)
        asked = json.loads(await body(request))
        id_ = asked["repository"]
        self._state.check_write(token, id_)
        self._refuse_second(source.kind, id_)
        visible = {"visibility": "private" if source.private else "public"}
        self._make(token.user, source.kind, id_, visible | asked, source)
        return JSONResponse({"url": self._page(source.kind, id_)})

    async def templates(self, request: Request) -> Response:
        found = (self._state.repos.get(("space", id_)) for id_ in self._state.templates)
        items = [
            {"name": repo.id, "repoId": repo.id, "sdk": repo.sdk, "preferredPrivate": False}
            for repo in found
            if repo is not None
        ]
        return JSONResponse({"templates": items})

    async def delete(self, request: Request) -> Response:
        token = self._state.user(request)
        asked = json.loads(await body(request))
        id_ = f"{asked.get('organization') or token.user}/{asked['name']}"
        repo = self._state.find(request, asked.get("type") or "model", id_, write=True)
        del self._state.repos[repo.kind, repo.id]
        repo.runtime.stage = "DELETING"
        self._committed(repo)
        return JSONResponse({})

    async def settings(self, request: Request) -> Response:
        repo = self._state.repo(request, write=True)
        asked = json.loads(await body(request))
        repo.private = asked.get("visibility", "private" if repo.private else "") == "private"
        return JSONResponse({"private": repo.private})

    async def refs(self, request: Request) -> Response:
        repo = self._state.repo(request)
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid}
            for name, oid in repo.branches.items()
        ]
        return JSONResponse({"branches": branches, "converts": [], "tags": [], "pullRequests": []})

    async def branch(self, request: Request) -> Response:
        repo = self._state.repo(request, write=True)
        name = request.path_params["branch"]
        if request.method == "DELETE":
            if name == "main" or repo.branches.pop(name, None) is None:
                raise Refused(404, f"Invalid rev id: {name}", "RevisionNotFound")
            return JSONResponse({})
        if name in repo.branches:
            raise Refused(409, f"Reference already exists: refs/heads/{name}")
        asked = json.loads(await body(request) or b"{}")
        repo.branches[name] = repo.at(asked.get("startingPoint", "main")).oid
        return JSONResponse({})

    async def check(self, request: Request) -> Response:
        self._state.repo(request)
        return JSONResponse({})

    async def check_write(self, request: Request) -> Response:
        self._state.repo(request, write=True)
        return JSONResponse({})

    async def no_xet(self, request: Request) -> Response:
        raise Refused(404, "no Xet storage here: set HF_HUB_DISABLE_XET=1")

    async def info(self, request: Request) -> Response:
        repo = self._state.repo(request)
        commit = repo.at(request.path_params.get("revision", "main"))
        blobs = request.query_params.get("blobs", "").lower() == "true"
        everything = self._describe(repo, commit, blobs)
        return JSONResponse(_chosen(everything, request, tuple(everything)))

    async def list(self, request: Request) -> Response:
        kind = KINDS.get(request.path_params["kind"])
        if kind is None:
            raise Refused(404, "Sorry, we can't find the page you are looking for.")
        token, asked = self._state.token(request), request.query_params
        found = [
            repo
            for (its, id_), repo in list(self._state.repos.items())
            if its == kind
            and self._state.may_read(repo, token)
            and asked.get("author", id_.split("/")[0]).lower() == id_.split("/")[0].lower()
            and asked.get("search", "").lower() in id_.lower()
            and set(asked.getlist("filter")) <= set(repo.all_tags())
        ]
        found.sort(key=lambda repo: (repo.created, repo.id), reverse=True)
        full = asked.get("full", "").lower() == "true"
        items = [
            _chosen(self._describe(repo, repo.head, False), request, FULL if full else SHORT)
            for repo in found
        ]
        return paged(self._state, request, items)

    def _describe(self, repo: Repo, commit: Commit, blobs: bool) -> dict[str, Any]:
        author = repo.id.split("/")[0]
        about: dict[str, Any] = {
            "_id": _id(repo.id),
            "id": repo.id,
            "author": author,
            "sha": commit.oid,
            "lastModified": stamp(repo.head.date),
            "createdAt": stamp(repo.created),
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "likes": 0,
            "tags": repo.all_tags(),
            "cardData": repo.card(commit),
            "siblings": [_sibling(path, entry, blobs) for path, entry in commit.files.items()],
            "usedStorage": sum(entry.size for entry in commit.files.values()),
        }
        if repo.kind == "space":
            about |= {
                "sdk": repo.sdk,
                "host": f"{self._state.url}/spaces-live/{repo.subdomain}",
                "subdomain": repo.subdomain,
                "runtime": runtime(repo),
            }
        else:
            about["downloads"] = 0
        return about


def runtime(repo: Repo) -> dict[str, Any]:
    """What the Hub says about a Space at work."""
    its = repo.runtime
    answer: dict[str, Any] = {
        "stage": its.stage,
        "hardware": {"current": its.hardware, "requested": its.requested},
        "storage": None,
        "gcTimeout": its.sleep_s or 172_800,
        "replicas": {"current": int(its.stage.startswith("RUNNING")), "requested": 1},
        "devMode": False,
        "domains": [{"domain": f"{repo.subdomain}.hf.space", "stage": "READY"}],
    }
    if its.volumes is not None:
        answer["volumes"] = its.volumes
    if its.error:
        answer["errorMessage"] = its.error
    if its.stage.startswith("RUNNING"):
        answer["sha"] = repo.head.oid
    return answer


def paged(
    state: State, request: Request, items: Sequence[Any], *, most: int | None = None
) -> Response:
    """One page of a list; the `Link` header says where the next one is."""
    limit = min(int(request.query_params.get("limit", most or state.page)), most or state.page)
    cursor = request.query_params.get("cursor", "0")
    if not cursor.isdigit():
        raise Refused(400, "Invalid cursor")
    start = int(cursor)
    headers = {}
    if start + limit < len(items):
        others = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
        query = urlencode([*others, ("cursor", str(start + limit))])
        headers["Link"] = f'<{state.url}{request.url.path}?{query}>; rel="next"'
    return JSONResponse(list(items[start : start + limit]), headers=headers)


def _chosen(about: Mapping[str, Any], request: Request, usual: Iterable[str]) -> dict[str, Any]:
    """The properties that are asked for with `expand`, else the usual ones."""
    asked = request.query_params
    expand = [*asked.getlist("expand"), *asked.getlist("expand[]")]
    if unknown := [name for name in expand if name not in about]:
        raise Refused(400, f'"expand" must not hold {", ".join(unknown)}')
    return {name: about[name] for name in ("_id", "id", *(expand or usual)) if name in about}


def _sibling(path: str, entry: Entry, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    about: dict[str, Any] = {"rfilename": path, "size": entry.size, "blobId": entry.oid}
    if entry.sha256:
        pointer = entry.pointer_size
        about["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": pointer}
    return about


def _runtime(asked: Mapping[str, Any]) -> Runtime:
    its = Runtime(
        requested=asked.get("hardware") or "cpu-basic",
        sleep_s=asked.get("sleepTimeSeconds"),
        volumes=asked.get("volumes"),
    )
    for name, kept in (("variables", its.variables), ("secrets", its.secrets)):
        for item in asked.get(name) or []:
            kept[item["key"]] = {"value": item["value"]}
    return its


def _readme(name: str, sdk: str) -> str:
    head = f"---\ntitle: {name}\nemoji: 🏢\ncolorFrom: red\ncolorTo: blue\nsdk: {sdk}\n"
    return head + "pinned: false\n---\n\nCheck out the configuration reference\n"


def _id(name: str) -> str:
    """An id as the Hub's database makes them, always the same for a name."""
    return git_oid("id", name.encode())[:24]
