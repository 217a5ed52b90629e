"""Reading files from the stand-in of the Hub: trees, what is at paths, history, downloads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support.hub_api import paged
from tests.support.hub_repos import (
    KINDS,
    Commit,
    Entry,
    Refused,
    Repo,
    State,
    body,
    stamp,
    tree_oids,
)

COMMITS = 50
"""Commits of one page."""
EXPANDED = 100
"""Most entries of a page that tells the last commit of each."""
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Reads:
    """Routes by which files go out."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        repo = "/api/{kind}/{owner}/{name}"
        file = "/resolve/{revision}/{path:path}"
        return [
            Route(repo + "/tree/{revision}", self.tree),
            Route(repo + "/tree/{revision}/{path:path}", self.tree),
            Route(repo + "/paths-info/{revision}", self.paths, methods=["POST"]),
            Route(repo + "/commits/{revision}", self.commits),
            Route("/storage/{kind}/{owner}/{name}/{oid}", self.stored),
            # The longer one first: the owner of a model might be called "datasets".
            Route("/{kind}/{owner}/{name}" + file, self.resolve),
            Route("/{owner}/{name}" + file, self.resolve),
        ]

    async def tree(self, request: Request) -> Response:
        repo = self._state.repo(request)
        commit = repo.at(request.path_params["revision"])
        folder = request.path_params.get("path", "").strip("/")
        asked = request.query_params
        folders = tree_oids(commit.files)
        if folder not in folders:
            raise _missing(folder, commit)
        recursive, expand = _true(asked.get("recursive")), _true(asked.get("expand"))
        inside = [
            path
            for path in sorted({*commit.files, *folders} - {""})
            if (path.startswith(folder + "/") if folder else True)
            and (recursive or "/" not in path.removeprefix(folder).strip("/"))
        ]
        items = [_about(repo, commit, path, folders, expand) for path in inside]
        most = min(EXPANDED, self._state.page) if expand else None
        return paged(self._state, request, items, most=most)

    async def paths(self, request: Request) -> Response:
        repo = self._state.repo(request)
        commit = repo.at(request.path_params["revision"])
        asked = _form(await body(request), request.headers.get("content-type", ""))
        folders = tree_oids(commit.files)
        items = [
            _about(repo, commit, path, folders, _true(asked["expand"]))
            for path in dict.fromkeys(path.strip("/") for path in asked["paths"])
            if path in commit.files or path in folders
        ]
        return JSONResponse(items)

    async def commits(self, request: Request) -> Response:
        repo = self._state.repo(request)
        items = [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message,
                "authors": [{"user": commit.author, "avatar": ""}],
                "date": stamp(commit.date),
            }
            for commit in repo.history(request.path_params["revision"])
        ]
        return paged(self._state, request, items, most=min(COMMITS, self._state.page))

    async def resolve(self, request: Request) -> Response:
        """A file: itself, or for LFS the way to the storage."""
        if request.path_params.get("kind", "models") not in KINDS:
            raise Refused(404, "Sorry, we can't find the page you are looking for.")
        repo, path = self._state.repo(request), request.path_params["path"]
        commit = repo.at(request.path_params["revision"])
        entry = commit.files.get(path)
        if entry is None:
            raise _missing(path, commit)
        headers = {
            "X-Repo-Commit": commit.oid,
            "ETag": f'"{entry.etag}"',
            "Content-Disposition": f"inline; filename*=UTF-8''{quote(path.split('/')[-1])}",
            "Access-Control-Expose-Headers": "X-Repo-Commit,X-Linked-Size,X-Linked-ETag,ETag",
        }
        if not entry.sha256:
            return ranged(repo.read(entry), request, headers)
        headers |= {"X-Linked-Size": str(entry.size), "X-Linked-ETag": headers["ETag"]}
        headers.pop("ETag")
        return RedirectResponse(self._where(repo, entry), 302, headers)

    def _where(self, repo: Repo, entry: Entry) -> str:
        signature = self._state.sign(f"get {repo.kind}s {repo.id} {entry.sha256}")
        path = f"/storage/{repo.kind}s/{repo.id}/{entry.sha256}"
        return f"{self._state.storage_url}{path}?signature={signature}"

    async def stored(self, request: Request) -> Response:
        """The storage behind the Hub: no token, but a signed URL."""
        path = request.path_params
        kind, id_, oid = path["kind"], f"{path['owner']}/{path['name']}", path["oid"]
        if request.query_params.get("signature") != self._state.sign(f"get {kind} {id_} {oid}"):
            raise Refused(403, "SignatureDoesNotMatch")
        if "authorization" in request.headers:
            raise Refused(400, "Only one auth mechanism allowed")
        repo = self._state.repos.get((kind.removesuffix("s"), id_))
        data = repo.objects.get(oid) if repo else None
        if data is None:
            raise Refused(404, "NoSuchKey")
        return ranged(data, request, {"ETag": f'"{oid}"'})


def ranged(data: bytes, request: Request, headers: Mapping[str, str]) -> Response:
    """All of it, or the range that is asked for. Raises Refused."""
    headers = {**headers, "Accept-Ranges": "bytes"}
    kind = "application/octet-stream"
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or not any(match.groups()):
        return Response(data, headers=headers, media_type=kind)
    first, last = match.groups()
    size = len(data)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or end < start:
        raise Refused(416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Response(data[start : end + 1], 206, headers, kind)


def _missing(path: str, commit: Commit) -> Refused:
    text = f"Entry not found: {path}"
    return Refused(404, text, "EntryNotFound", headers={"X-Repo-Commit": commit.oid})


def _about(
    repo: Repo, commit: Commit, path: str, folders: Mapping[str, str], expand: bool
) -> dict[str, Any]:
    entry = commit.files.get(path)
    if entry is None:
        about: dict[str, Any] = {"type": "directory", "oid": folders[path], "size": 0}
    else:
        about = {"type": "file", "oid": entry.oid, "size": entry.size}
        if entry.sha256:
            pointer = entry.pointer_size
            about["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": pointer}
    about["path"] = path
    if expand:
        last = _last(repo, commit, path)
        about["lastCommit"] = {"id": last.oid, "title": last.title, "date": stamp(last.date)}
    return about


def _last(repo: Repo, commit: Commit, path: str) -> Commit:
    """The last commit that changed the path, or something below it."""
    return next(
        one
        for one in repo.history(commit.oid)
        if any(changed == path or changed.startswith(path + "/") for changed in one.paths)
    )


def _form(data: bytes, kind: str) -> dict[str, Any]:
    """Paths and expand, from the form that the library sends, or from JSON."""
    if "json" in kind:
        given = json.loads(data)
        return {"paths": given["paths"], "expand": str(given.get("expand", ""))}
    form = parse_qs(data.decode())
    return {"paths": form.get("paths", []), "expand": form.get("expand", [""])[0]}


def _true(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1")
