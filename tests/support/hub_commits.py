"""Writing to the stand-in of the Hub: preupload, LFS objects, commits."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.hub_repos import PREFIXES, Entry, Refused, Repo, State, body

LFS_ABOVE = 10 * 1024 * 1024
"""The Hub takes bigger files by LFS only."""
LFS_TYPE = "application/vnd.git-lfs+json"
Committed = Callable[[Repo], None]


class Writes:
    """The routes by which files come in; `committed` is told of every commit."""

    def __init__(self, state: State, committed: Committed) -> None:
        self._state = state
        self._committed = committed
        self._parts: dict[tuple[str, str], dict[int, bytes]] = {}

    def routes(self) -> list[Route]:
        repo = "/api/{kind}/{owner}/{name}"
        objects = "{owner}/{name}.git/info/lfs/objects"
        kinds = ("/{kind}/", "/")
        return [
            Route(repo + "/preupload/{revision}", self.preupload, methods=["POST"]),
            Route(repo + "/commit/{revision}", self.commit, methods=["POST"]),
            *(Route(f"{kind}{objects}/batch", self.batch, methods=["POST"]) for kind in kinds),
            *(Route(f"{kind}{objects}/verify", self.verify, methods=["POST"]) for kind in kinds),
            *(Route(f"{kind}{objects}/complete", self.join, methods=["POST"]) for kind in kinds),
            Route("/storage/{kind}/{owner}/{name}/{oid}", self.put, methods=["PUT"]),
            Route("/storage/{kind}/{owner}/{name}/{oid}/{part:int}", self.put, methods=["PUT"]),
        ]

    async def preupload(self, request: Request) -> Response:
        """How each file is to be sent, and what stands at its path now."""
        repo = self._state.repo(request, write=True)
        commit = repo.at(request.path_params["revision"])
        asked = _object(await body(request))
        hosted = commit.files.get(".gitignore")
        ignore = asked.get("gitIgnore") or (repo.read(hosted).decode() if hosted else "")
        files = []
        for file in asked["files"]:
            entry = commit.files.get(file["path"])
            files.append(
                {
                    "path": file["path"],
                    "uploadMode": _mode(repo, commit.files, file),
                    "shouldIgnore": _matches(file["path"], ignore.splitlines()),
                    "oid": entry.etag if entry else None,
                }
            )
        return JSONResponse({"files": files, "commitOid": commit.oid})

    async def batch(self, request: Request) -> Response:
        """Where LFS objects go to; those that are there already need nothing."""
        repo = self._state.repo(request, write=True)
        asked = _object(await body(request))
        if asked.get("operation") != "upload" or asked.get("hash_algo", "sha256") != "sha256":
            raise Refused(422, "only uploads by sha256 are served here")
        multipart = "multipart" in asked.get("transfers", [])
        objects = [self._action(repo, item, multipart) for item in asked["objects"]]
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type=LFS_TYPE)

    def _action(self, repo: Repo, item: Mapping[str, Any], multipart: bool) -> dict[str, Any]:
        oid, size = item["oid"], item["size"]
        answer: dict[str, Any] = {"oid": oid, "size": size}
        if size == 0:
            return answer | {"error": {"code": 422, "message": "an empty file is no LFS object"}}
        if oid in repo.objects:
            return answer
        home = f"{self._state.url}/{PREFIXES[repo.kind]}{repo.id}.git/info/lfs/objects"
        storage = f"{self._state.storage_url}/storage/{repo.kind}s/{repo.id}/{oid}"
        upload: dict[str, Any] = {"href": f"{storage}?signature={self._sign(repo, oid)}"}
        part = self._state.part_size
        if multipart and part and size > part:
            upload["href"] = f"{home}/complete?signature={self._sign(repo, oid)}"
            upload["header"] = {"chunk_size": str(part)} | {
                str(n): f"{storage}/{n}?signature={self._sign(repo, f'{oid}/{n}')}"
                for n in range(1, math.ceil(size / part) + 1)
            }
        verify = {"href": f"{home}/verify", "header": {}}
        return answer | {"authenticated": True, "actions": {"upload": upload, "verify": verify}}

    def _sign(self, repo: Repo, what: str) -> str:
        return self._state.sign(f"put {repo.kind}s {repo.id} {what}")

    async def put(self, request: Request) -> Response:
        """The storage behind the Hub: no token, but a signed URL."""
        repo, oid = self._stored(request), request.path_params["oid"]
        part = request.path_params.get("part")
        what = oid if part is None else f"{oid}/{part}"
        if request.query_params.get("signature") != self._sign(repo, what):
            raise Refused(403, "SignatureDoesNotMatch")
        if "authorization" in request.headers:
            raise Refused(400, "Only one auth mechanism allowed")
        data = await body(request)
        if part is not None:
            self._parts.setdefault((repo.id, oid), {})[part] = data
        elif hashlib.sha256(data).hexdigest() != oid:
            raise Refused(400, "XAmzContentSHA256Mismatch")
        else:
            repo.objects[oid] = data
        return Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    def _stored(self, request: Request) -> Repo:
        path = request.path_params
        kind = path.get("kind", "models").removesuffix("s")
        repo = self._state.repos.get((kind, f"{path['owner']}/{path['name']}"))
        if repo is None:
            raise Refused(404, "NoSuchBucket")
        return repo

    async def join(self, request: Request) -> Response:
        """All parts are there: make them one."""
        asked = _object(await body(request))
        repo = self._stored(request)
        if request.query_params.get("signature") != self._sign(repo, asked["oid"]):
            raise Refused(403, "SignatureDoesNotMatch")
        parts = self._parts.pop((repo.id, asked["oid"]), {})
        numbers = [item["partNumber"] for item in asked["parts"]]
        data = b"".join(parts.get(number, b"") for number in numbers)
        if hashlib.sha256(data).hexdigest() != asked["oid"]:
            raise Refused(400, "the parts don't make up the object")
        repo.objects[asked["oid"]] = data
        return JSONResponse({"success": True})

    async def verify(self, request: Request) -> Response:
        """Says whether an upload has arrived."""
        repo = self._state.repo(request, write=True)
        asked = _object(await body(request))
        data = repo.objects.get(asked["oid"])
        if data is None or len(data) != asked["size"]:
            raise Refused(404, "Object not found")
        return JSONResponse({})

    async def commit(self, request: Request) -> Response:
        """One commit, whole or not at all."""
        repo = self._state.repo(request, write=True)
        branch = request.path_params["revision"]
        if branch not in repo.branches:
            repo.at(branch)
            raise Refused(403, "Cannot commit to a revision that is not a branch")
        lines = [_object(line) for line in (await body(request)).splitlines() if line]
        if not lines or lines[0].get("key") != "header":
            raise Refused(400, "the first line has to be the header")
        header = lines[0]["value"]
        if not header.get("summary"):
            raise Refused(400, '"summary" is required')
        head = repo.at(branch)
        if header.get("parentCommit") not in (None, head.oid):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        changes = _changes(repo, head.files, lines[1:])
        made = repo.commit(
            self._state.user(request).user,
            header["summary"],
            changes,
            message=header.get("description", ""),
            branch=branch,
        )
        if branch == "main":
            self._committed(repo)
        answer = {
            "success": True,
            "commitUrl": f"{self._state.url}/{PREFIXES[repo.kind]}{repo.id}/commit/{made.oid}",
            "commitOid": made.oid,
            "hookOutput": "",
        }
        return JSONResponse(answer)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Refused(400, "Invalid JSON") from error
    if not isinstance(found, dict):
        raise Refused(400, "a JSON object is asked for")
    return found


def _mode(repo: Repo, files: Mapping[str, Entry], file: Mapping[str, Any]) -> str:
    """`lfs` for what `.gitattributes` says, for big files, and for what is no text."""
    attributes = files.get(".gitattributes")
    text = repo.read(attributes).decode() if attributes else ""
    patterns = [line.split()[0] for line in text.splitlines() if "filter=lfs" in line.split()]
    sample = base64.b64decode(file.get("sample", ""))
    by_rule = _matches(file["path"], patterns)
    return "lfs" if by_rule or file["size"] > LFS_ABOVE or b"\0" in sample else "regular"


def _matches(path: str, patterns: list[str]) -> bool:
    """Whether one of git's patterns names the path, or a folder above it."""
    names = path.split("/")
    above = ["/".join(names[:count]) for count in range(1, len(names) + 1)]
    return any(
        fnmatch.fnmatchcase(candidate, pattern.strip("/"))
        for pattern in (line.strip() for line in patterns)
        if pattern and not pattern.startswith("#")
        for candidate in (above if "/" in pattern.strip("/") else names)
    )


def _changes(
    repo: Repo, files: Mapping[str, Entry], lines: list[dict[str, Any]]
) -> dict[str, Entry | None]:
    """What the lines of a commit do. Raises Refused, and then nothing has been done."""
    changes: dict[str, Entry | None] = {}
    for line in lines:
        value = line["value"]
        path = value["path"]
        match line["key"]:
            case "file":
                changes[path] = repo.keep(_content(value))
            case "lfsFile":
                if value["oid"] not in repo.objects:
                    text = f"Your push was rejected: LFS object {value['oid']} does not exist."
                    raise Refused(400, text)
                changes[path] = repo.keep_pointer(value["oid"])
            case "deletedFile" if path in files:
                changes[path] = None
            case "deletedFolder" if below := _below(files, path):
                changes |= dict.fromkeys(below)
            case "deletedFile" | "deletedFolder":
                raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
            case unknown:
                raise Refused(400, f"{unknown!r} can't be done in a commit")
    return changes


def _below(files: Mapping[str, Entry], folder: str) -> list[str]:
    return [path for path in files if path.startswith(folder.rstrip("/") + "/")]


def _content(value: Mapping[str, Any]) -> bytes:
    try:
        data = base64.b64decode(value["content"], validate=True)
    except binascii.Error as error:
        raise Refused(400, "content is no base64") from error
    if len(data) > LFS_ABOVE:
        raise Refused(
            400, "Your push was rejected because it contains files larger than 10 MiB: use LFS"
        )
    return data
