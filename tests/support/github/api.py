"""The API's paths that the orchestrator asks for, with GitHub's answers and its refusals."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from aiohttp import web

from tests.support.github.contents import Contents
from tests.support.github.repos import FOLDER, KINDS, GitCommit, GitRepo, Node
from tests.support.github.words import Answer, Refused

if TYPE_CHECKING:
    from tests.support.github.server import GitHubServer

MIB = 1024 * 1024
TREE_ENTRIES = 100_000
"""More entries than this cut a recursive tree off; tests may set it lower."""


class Call(NamedTuple):
    """A request, taken apart."""

    method: str
    rest: str
    """The path below the repository, decoded."""
    query: dict[str, str]
    accept: str
    who: str
    body: Any


class Api:
    """All repositories, and what is said of them."""

    def __init__(self, server: GitHubServer) -> None:
        self.server = server
        self.repos: dict[str, GitRepo] = {}
        self.numbers: dict[str, int] = {}
        """Ids of people who have asked who they are."""
        self.renamed: dict[str, str] = {}
        """From a repository's full name of before to that of now."""
        self.tree_entries = TREE_ENTRIES
        self.links: dict[str, tuple[GitRepo, str, str]] = {}
        """Links to archives, each good once it was asked for."""
        self.contents = Contents()

    def make(self, owner: str, name: str, **fields: Any) -> GitRepo:
        """Make a repository."""
        made = GitRepo(len(self.repos) + 1, owner, name, **fields)
        self.repos[made.full_name.lower()] = made
        return made

    def answer(self, request: web.Request, who: str, body: bytes) -> Answer:
        """Status, body and headers. Raises Refused."""
        path = unquote(request.raw_path.partition("?")[0])
        call = Call(
            *(request.method, path, dict(request.query), request.headers.get("Accept", "")),
            *(who, _json(body)),
        )
        if path == "/user":
            return self._user(call)
        if path == "/user/emails" and who:
            address = f"{who.lower()}@example.com"
            return 200, [{"email": address, "verified": True, "primary": True}], {}
        if path == "/user/repos":
            return self._create(call) if call.method == "POST" else self._list(call)
        if match := re.fullmatch(r"/repositories/(\d+)(/.*)?", path):
            repo = next((one for one in self.repos.values() if str(one.number) == match[1]), None)
            return self._below(self._seen(repo, who), call, match[2] or "")
        if match := re.fullmatch(r"/repos/([^/]+)/([^/]+)(/.*)?", path):
            name = f"{match[1]}/{match[2]}".lower()
            if name in self.renamed:
                return self._moved(request, name, match[3] or "")
            return self._below(self._seen(self.repos.get(name), who), call, match[3] or "")
        raise Refused(404, "Not Found")

    def codeload(self, request: web.Request) -> web.Response:
        """Give an archive out: whoever has the link gets it, for private ones by its token."""
        found = self.links.get(request.query.get("token", ""))
        if found is None:
            return web.Response(status=404, text="404: Not Found")
        repo, sha, kind = found
        data = repo.archive(repo.commits[sha], kind)
        media = "application/zip" if kind == "zipball" else "application/x-gzip"
        return web.Response(body=data, headers={"Content-Type": media})

    def _seen(self, repo: GitRepo | None, who: str) -> GitRepo:
        if repo is None or (repo.private and who not in repo.may_read):
            raise Refused(404, "Not Found")
        return repo

    def _moved(self, request: web.Request, name: str, rest: str) -> Answer:
        number = self.repos[self.renamed[name].lower()].number
        query = f"?{request.query_string}" if request.query_string else ""
        where = f"{self.server.url}/repositories/{number}{rest}{query}"
        status = 301 if request.method == "GET" else 307
        data = {"message": "Moved Permanently", "url": where}
        return status, data, {"Location": where}

    def _below(self, repo: GitRepo, call: Call, rest: str) -> Answer:
        call = call._replace(rest=rest)
        if rest == "":
            return 200, shown(repo, call.who), {}
        for start, handler in self._handlers().items():
            if rest == start.rstrip("/") or (start.endswith("/") and rest.startswith(start)):
                below = rest.removeprefix(start.rstrip("/")).lstrip("/")
                return handler(repo, call._replace(rest=below))
        raise Refused(404, "Not Found")

    def _handlers(self) -> dict[str, Callable[[GitRepo, Call], Answer]]:
        return {
            "/contents/": self.contents.answer,
            "/branches": self._branches,
            "/commits/": self._commit,
            "/git/blobs/": self._blob,
            "/git/trees/": self._tree,
            "/git/refs": self._make_ref,
            "/tarball/": lambda repo, call: self._archive(repo, call, "tarball"),
            "/zipball/": lambda repo, call: self._archive(repo, call, "zipball"),
        }

    def _user(self, call: Call) -> Answer:
        if not call.who:
            raise Refused(401, "Requires authentication")
        number = self.numbers.setdefault(call.who, len(self.numbers) + 1)
        return 200, {"login": call.who, "id": number, "name": call.who.title(), "email": None}, {}

    def _list(self, call: Call) -> Answer:
        if not call.who:
            raise Refused(401, "Requires authentication")
        mine = [one for one in self.repos.values() if call.who in one.may_read]
        sort = call.query.get("sort", "full_name")
        if sort == "full_name":
            mine.sort(key=lambda one: one.full_name, reverse=call.query.get("direction") == "desc")
        else:
            mine.sort(key=lambda one: one.updated, reverse=call.query.get("direction") != "asc")
        page, headers = self._paged(call, "/user/repos", mine)
        return 200, [shown(one, call.who) for one in page], headers

    def _create(self, call: Call) -> Answer:
        if not call.who:
            raise Refused(401, "Requires authentication")
        name = str(call.body.get("name", ""))
        if f"{call.who}/{name}".lower() in self.repos:
            wrong = {
                "resource": "Repository",
                "code": "custom",
                "field": "name",
                "message": "name already exists on this account",
            }
            raise Refused(422, "Repository creation failed.", errors=[wrong])
        made = self.make(
            call.who,
            name,
            private=call.body.get("private", False),
            description=call.body.get("description") or "",
        )
        if call.body.get("auto_init"):
            made.commit({"README.md": f"# {name}\n".encode()}, message="Initial commit")
        return 201, shown(made, call.who), {}

    def _branches(self, repo: GitRepo, call: Call) -> Answer:
        path = f"/repositories/{repo.number}/branches"
        page, headers = self._paged(call, path, sorted(repo.branches))
        data = [
            {"name": name, "commit": {"sha": repo.branches[name], "url": ""}, "protected": False}
            for name in page
        ]
        return 200, data, headers

    def _commit(self, repo: GitRepo, call: Call) -> Answer:
        if not repo.commits:
            raise Refused(409, "Git Repository is empty.")
        commit = repo.find(call.rest)
        if commit is None:
            raise Refused(422, f"No commit found for SHA: {call.rest}")
        if "sha" in call.accept:
            media = "application/vnd.github.sha; charset=utf-8"
            return 200, commit.sha.encode(), {"Content-Type": media}
        return 200, {"sha": commit.sha, "commit": {"tree": {"sha": commit.tree}}}, {}

    def _blob(self, repo: GitRepo, call: Call) -> Answer:
        data = repo.blobs.get(call.rest)
        if data is None:
            raise Refused(404, "Not Found")
        if len(data) > 100 * MIB:
            wrong = {"resource": "Blob", "field": "data", "code": "too_large"}
            text = "This API returns blobs up to 100 MB in size. The requested blob is too large"
            raise Refused(403, text, errors=[wrong])
        if "raw" in call.accept:
            return 200, data, {"Content-Type": "application/vnd.github.raw+json"}
        coded = base64.encodebytes(data).decode()
        return (
            200,
            {"sha": call.rest, "size": len(data), "encoding": "base64", "content": coded},
            {},
        )

    def _tree(self, repo: GitRepo, call: Call) -> Answer:
        commit = repo.find(call.rest)
        top = commit.tree if commit else call.rest
        if top not in repo.trees:
            raise Refused(404, "Not Found")
        recursive = "recursive" in call.query
        found = list(_walk(repo, top, "", recursive=recursive))
        cut = recursive and len(found) > self.tree_entries
        data = {"sha": top, "tree": found[: self.tree_entries] if cut else found, "truncated": cut}
        return 200, data, {}

    def _make_ref(self, repo: GitRepo, call: Call) -> Answer:
        if call.who not in repo.may_write:
            raise Refused(403 if call.who in repo.may_read else 404, "Must have write access.")
        ref, sha = str(call.body.get("ref", "")), str(call.body.get("sha", ""))
        if sha not in repo.commits:
            raise Refused(422, "Object does not exist")
        name = ref.removeprefix("refs/heads/")
        if name in repo.branches:
            raise Refused(422, "Reference already exists")
        repo.branches[name] = sha
        return 201, {"ref": ref, "object": {"type": "commit", "sha": sha}}, {}

    def _archive(self, repo: GitRepo, call: Call, kind: str) -> Answer:
        commit: GitCommit | None = repo.find(call.rest)
        if commit is None:
            raise Refused(404, "Not Found")
        token = secrets.token_hex(8)
        self.links[token] = (repo, commit.sha, kind)
        where = f"{self.server.url}/codeload/{repo.full_name}/{kind}/{commit.sha}?token={token}"
        return 302, b"", {"Location": where}

    def _paged(self, call: Call, path: str, every: list[Any]) -> tuple[list[Any], dict[str, str]]:
        """A page, and the `Link` header to the others."""
        size = min(100, max(1, int(call.query.get("per_page", "30"))))
        page = max(1, int(call.query.get("page", "1")))
        last = max(1, -(-len(every) // size))
        more = {name: value for name, value in call.query.items() if name != "page"}
        query = "".join(f"&{name}={value}" for name, value in more.items())
        links = []
        named = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
        for rel, number in named.items():
            ahead = rel in ("next", "last") and page < last
            if ahead or (rel in ("prev", "first") and page > 1):
                links.append(f'<{self.server.url}{path}?page={number}{query}>; rel="{rel}"')
        headers = {"Link": ", ".join(links)} if links else {}
        return every[(page - 1) * size : page * size], headers


def shown(repo: GitRepo, who: str) -> dict[str, Any]:
    """A repository as it is shown."""
    return {
        "id": repo.number,
        "name": repo.name,
        "full_name": repo.full_name,
        "owner": {"login": repo.owner, "id": 1, "type": "User"},
        "private": repo.private,
        "html_url": f"https://github.example/{repo.full_name}",
        "description": repo.description or None,
        "fork": False,
        "archived": False,
        "size": sum(map(len, repo.blobs.values())) // 1024,
        "default_branch": repo.default,
        "updated_at": f"2026-01-01T00:00:{repo.updated % 60:02}Z",
        "pushed_at": None,
        "permissions": {"pull": True, "push": who in repo.may_write, "admin": who == repo.owner},
    }


def _walk(repo: GitRepo, tree: str, before: str, *, recursive: bool) -> Any:
    for name, node in repo.trees[tree].items():
        yield _entry(repo, before + name, node)
        if recursive and node.mode == FOLDER:
            yield from _walk(repo, node.sha, f"{before}{name}/", recursive=True)


def _entry(repo: GitRepo, path: str, node: Node) -> dict[str, Any]:
    data = {"path": path, "mode": node.mode, "type": KINDS[node.mode], "sha": node.sha}
    size = {"size": len(repo.blobs[node.sha])} if node.sha in repo.blobs else {}
    return data | size


def _json(body: bytes) -> Any:
    if not body:
        return {}
    try:
        return json.loads(body)
    except ValueError:
        raise Refused(400, "Problems parsing JSON") from None
