"""Repositories with real git objects, as far as the API shows them."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from typing import Any, NamedTuple

FILE, SYMLINK, SUBMODULE, FOLDER = "100644", "120000", "160000", "040000"
KINDS = {FILE: "blob", SYMLINK: "blob", SUBMODULE: "commit", FOLDER: "tree"}


class Node(NamedTuple):
    """A path's mode, and the object there."""

    mode: str
    sha: str


class GitCommit(NamedTuple):
    """A commit: all its paths, and the tree made of them."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str
    files: dict[str, Node]


def object_id(kind: str, data: bytes) -> str:
    """How git names an object."""
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data).hexdigest()


class GitRepo:
    """One repository."""

    def __init__(self, number: int, owner: str, name: str, **fields: Any) -> None:
        self.number = number
        self.owner, self.name = owner, name
        self.private: bool = fields.get("private", False)
        self.description: str = fields.get("description", "")
        self.default: str = fields.get("default", "main")
        self.may_write: set[str] = {owner}
        self.may_read: set[str] = {owner}
        self.blobs: dict[str, bytes] = {}
        self.trees: dict[str, dict[str, Node]] = {}
        self.commits: dict[str, GitCommit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.updated = number

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    def blob(self, data: bytes) -> str:
        """Store content."""
        sha = object_id("blob", data)
        self.blobs[sha] = data
        return sha

    def commit(
        self, changes: dict[str, bytes | Node | None], branch: str = "", message: str = "Change"
    ) -> GitCommit:
        """Change files on a branch; None takes one away."""
        branch = branch or self.default
        head = self.branches.get(branch)
        files = dict(self.commits[head].files) if head else {}
        for path, given in changes.items():
            if given is None:
                files.pop(path, None)
            else:
                node = given if isinstance(given, Node) else Node(FILE, self.blob(given))
                files[path] = node
        tree = self._tree(files)
        parents = (head,) if head else ()
        text = f"tree {tree}\n" + "".join(f"parent {one}\n" for one in parents)
        text += f"author A <a@example.com> {len(self.commits)} +0000\n\n{message}\n"
        sha = object_id("commit", text.encode())
        made = self.commits[sha] = GitCommit(sha, tree, parents, message, files)
        self.branches[branch] = sha
        return made

    def find(self, revision: str) -> GitCommit | None:
        """What a revision names, in the order of the API."""
        name = revision.removeprefix("refs/")
        if name == "HEAD":
            name = self.default
        found = (
            self.branches.get(name.removeprefix("heads/"))
            or self.tags.get(name.removeprefix("tags/"))
            or next((sha for sha in self.commits if len(name) > 3 and sha.startswith(name)), None)
        )
        return self.commits.get(found) if found else None

    def listed(self, commit: GitCommit, folder: str) -> dict[str, Node] | None:
        """What lies in a folder; None: there is none."""
        tree = commit.tree
        for part in [one for one in folder.split("/") if one]:
            node = self.trees[tree].get(part)
            if node is None or node.mode != FOLDER:
                return None
            tree = node.sha
        return self.trees[tree]

    def archive(self, commit: GitCommit, kind: str) -> bytes:
        """Everything of a commit in one folder."""
        top = f"{self.owner}-{self.name}-{commit.sha[:7]}"
        out = io.BytesIO()
        if kind == "zipball":
            with zipfile.ZipFile(out, "w") as packed:
                for path, node in sorted(commit.files.items()):
                    packed.writestr(f"{top}/{path}", self.blobs.get(node.sha, b""))
            return out.getvalue()
        headers = {"comment": commit.sha}
        with tarfile.open(
            fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=headers
        ) as tar:
            for path, node in sorted(commit.files.items()):
                entry = tarfile.TarInfo(f"{top}/{path}")
                data = self.blobs.get(node.sha, b"")
                if node.mode == SYMLINK:
                    entry.type, entry.linkname, data = tarfile.SYMTYPE, data.decode(), b""
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        return out.getvalue()

    def _tree(self, files: dict[str, Node]) -> str:
        """Store the trees of these paths, and return the name of the topmost."""
        here: dict[str, Node] = {}
        below: dict[str, dict[str, Node]] = {}
        for path, node in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                below.setdefault(name, {})[rest] = node
            else:
                here[name] = node
        for name, inner in below.items():
            here[name] = Node(FOLDER, self._tree(inner))

        def key(item: tuple[str, Node]) -> str:
            return item[0] + ("/" if item[1].mode == FOLDER else "")

        ordered = dict(sorted(here.items(), key=key))
        data = b"".join(
            node.mode.lstrip("0").encode() + b" " + name.encode() + b"\0" + bytes.fromhex(node.sha)
            for name, node in ordered.items()
        )
        sha = object_id("tree", data)
        self.trees[sha] = ordered
        return sha
