"""`/repos/{owner}/{repo}/contents/{path}`: folders, files, and files that are written."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from tests.support.github.repos import FILE, FOLDER, SUBMODULE, SYMLINK, GitRepo, Node
from tests.support.github.words import Answer, Refused

if TYPE_CHECKING:
    from tests.support.github.api import Call

MIB = 1024 * 1024
MOST_LISTED = 1000
TYPES = {FILE: "file", SYMLINK: "symlink", SUBMODULE: "submodule", FOLDER: "dir"}


class Contents:
    """Reads and writes."""

    def answer(self, repo: GitRepo, call: Call) -> Answer:
        """Status, body and headers. Raises Refused."""
        return self._write(repo, call) if call.method == "PUT" else self._read(repo, call)

    def _read(self, repo: GitRepo, call: Call) -> Answer:
        if not repo.commits:
            raise Refused(404, "This repository is empty.")
        revision = call.query.get("ref", "") or repo.default
        commit = repo.find(revision)
        if commit is None:
            raise Refused(404, f"No commit found for the ref {revision}")
        path = call.rest.strip("/")
        listed = repo.listed(commit, path)
        if listed is not None:
            inside = list(listed.items())[:MOST_LISTED]
            before = f"{path}/" if path else ""
            return 200, [_listed(repo, before + name, node) for name, node in inside], {}
        node = commit.files.get(path)
        if node is None:
            raise Refused(404, "Not Found")
        return 200, self._file(repo, path, node), {}

    def _file(self, repo: GitRepo, path: str, node: Node) -> dict[str, Any]:
        data = repo.blobs.get(node.sha, b"")
        entry = _entry(repo, path, node)
        if node.mode == SUBMODULE:
            return entry | {"submodule_git_url": "https://github.example/x/y.git"}
        if node.mode == SYMLINK:
            return entry | {"target": data.decode()}
        if len(data) > 100 * MIB:
            wrong = {"resource": "Blob", "field": "data", "code": "too_large"}
            text = "This API returns blobs up to 1 MB in size. The requested blob is too large"
            raise Refused(403, text, errors=[wrong])
        if len(data) > MIB:
            return entry | {"content": "", "encoding": "none"}
        # As GitHub does: lines of 60 characters.
        coded = base64.b64encode(data).decode()
        lines = "".join(f"{coded[at : at + 60]}\n" for at in range(0, len(coded), 60))
        return entry | {"content": lines, "encoding": "base64"}

    def _write(self, repo: GitRepo, call: Call) -> Answer:
        if call.who not in repo.may_write:
            raise Refused(403 if call.who in repo.may_read else 404, "Must have write access.")
        branch = call.body.get("branch") or repo.default
        if repo.commits and branch not in repo.branches:
            raise Refused(404, f"Branch {branch} not found")
        if not call.body.get("message"):
            raise Refused(422, 'Invalid request.\n\n"message" wasn\'t supplied.')
        try:
            data = base64.b64decode(call.body["content"], validate=True)
        except (KeyError, binascii.Error):
            raise Refused(422, "content is not valid Base64") from None
        path = call.rest.strip("/")
        head = repo.commits.get(repo.branches.get(branch, ""))
        if head is not None and any(one.startswith(f"{path}/") for one in head.files):
            raise Refused(422, "Invalid request.\n\nFor 'links/0/schema', nil is not a string.")
        known = head.files.get(path) if head else None
        sha = call.body.get("sha")
        if known is not None and not sha:
            raise Refused(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
        if known is not None and sha != known.sha:
            raise Refused(409, f"{path} does not match {sha}")
        made = repo.commit({path: data}, branch, call.body["message"])
        shown = _entry(repo, path, made.files[path])
        data_ = {"content": shown, "commit": {"sha": made.sha, "message": made.message}}
        return (201 if known is None else 200), data_, {}


def _entry(repo: GitRepo, path: str, node: Node) -> dict[str, Any]:
    kind = "blobs" if node.mode in (FILE, SYMLINK) else "trees"
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": node.sha,
        "size": len(repo.blobs.get(node.sha, b"")),
        "type": TYPES[node.mode],
        "html_url": f"https://github.example/{repo.full_name}/blob/{repo.default}/{path}",
        "git_url": f"https://api.github.example/repos/{repo.full_name}/git/{kind}/{node.sha}",
    }


def _listed(repo: GitRepo, path: str, node: Node) -> dict[str, Any]:
    """The same in a folder's list, where GitHub calls a submodule a file, as it always has."""
    entry = _entry(repo, path, node)
    return entry | {"type": "file"} if node.mode == SUBMODULE else entry
