"""A user's Spaces at Hugging Face: list, create, deploy, restart, and how they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from services.huggingface.hub import Hub, HubConflict, HubMissing, HubRefused

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SDKS = ("docker", "gradio", "static")
MOST_SPACES = 1000
MOST_DEPLOYED = 64 * 1024 * 1024
"""Bytes of all files of one deployment."""
_EXPAND: Any = [
    *("sdk", "tags", "private", "runtime", "sha", "lastModified", "siblings", "subdomain")
]
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PAGE = 100
_SKIPPED = frozenset({"__pycache__", "tests", "node_modules"})


class Space(msgspec.Struct, frozen=True):
    """A Space as Hugging Face says it."""

    repo: str
    """`owner/name`."""
    sdk: str = ""
    tags: tuple[str, ...] = ()
    private: bool = False
    stage: str = ""
    """RUNNING, SLEEPING, BUILDING, … : in its words, also those that are not known here."""
    hardware: str = ""
    sha: str = ""
    """Revision of its files."""
    modified: float = 0.0
    error: str = ""
    """What it says about a failure."""
    files: tuple[str, ...] = ()
    subdomain: str = ""
    """Under which it is served; empty: the Hub does not say."""


class Spaces:
    """Whatever is done is done with the token that is given. Raises HubError."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def list(self, token: str, author: str) -> list[Space]:
        """All Spaces of this user or organisation, at most 1000."""

        return await self._hub.call(lambda api: _listed(api, token, author))

    async def get(self, token: str | None, repo: str) -> Space:
        """One Space; without a token one that everybody may see. Raises HubMissing."""
        return await self._hub.call(
            lambda api: _space(api.space_info(repo, expand=_EXPAND, token=token or False))
        )

    async def create(
        self,
        token: str,
        repo: str,
        *,
        sdk: str = "docker",
        template: str | None = None,
        hardware: str | None = None,
        private: bool = True,
        variables: Mapping[str, str] = {},
    ) -> Space:
        """Make a Space, or return the one of this name. Raises HubRefused if its SDK differs."""
        if sdk not in SDKS:
            raise HubRefused(f"there is no SDK {sdk!r}: use one of {', '.join(SDKS)}")
        given: Any = {"space_sdk": None if template else sdk, "space_template": template}

        def work(api: HfApi) -> None:
            api.create_repo(
                repo,
                repo_type="space",
                exist_ok=True,
                private=private,
                space_hardware=hardware,  # type: ignore[arg-type]
                space_variables=[{"key": key, "value": value} for key, value in variables.items()],
                token=token,
                **{name: value for name, value in given.items() if value},
            )

        await self._hub.call(work)
        space = await self.get(token, repo)
        if template is None and space.sdk and space.sdk != sdk:
            raise HubRefused(f"the Space {repo} is there, and its SDK is {space.sdk}, not {sdk}")
        return space

    async def deploy(
        self, token: str, repo: str, files: Path | Mapping[str, bytes], message: str
    ) -> str:
        """Put these files into the Space in one commit, and return its revision.

        Files that are as they should be are left alone, others of the Space too; when nothing
        differs there is no commit.
        """
        wanted = dict(_folder(files)) if isinstance(files, Path) else dict(files)
        if not wanted or sum(map(len, wanted.values())) > MOST_DEPLOYED:
            raise HubRefused(f"expected files of at most {MOST_DEPLOYED} bytes together")
        return await self._hub.call(lambda api: _deployed(api, token, repo, wanted, message))

    async def variables(self, token: str, repo: str) -> dict[str, str]:
        """The variables of the Space's environment."""

        def work(api: HfApi) -> dict[str, str]:
            known = api.get_space_variables(repo, token=token)
            return {name: variable.value for name, variable in known.items()}

        return await self._hub.call(work)

    async def set_variables(
        self, token: str, repo: str, variables: Mapping[str, str | None]
    ) -> None:
        """Set variables of the Space's environment, None takes one away; it starts anew."""

        def work(api: HfApi) -> None:
            known = api.get_space_variables(repo, token=token)
            for name, value in variables.items():
                if value is None:
                    if name in known:
                        api.delete_space_variable(repo, name, token=token)
                elif name not in known or known[name].value != value:
                    api.add_space_variable(repo, name, value, token=token)

        await self._hub.call(work)

    async def restart(self, token: str, repo: str, *, factory: bool = False) -> Space:
        """Start it anew, also one that is paused; `factory`: build it anew as well."""
        await self._hub.call(
            lambda api: api.restart_space(repo, factory_reboot=factory, token=token)
        )
        return await self.get(token, repo)

    async def read_file(self, token: str, repo: str, path: str, limit: int) -> bytes | None:
        """A small file of its repository; None if it has none, or a bigger one."""

        def work(api: HfApi) -> bytes | None:
            found = api.get_paths_info(repo, [path], repo_type="space", token=token)
            if not found or getattr(found[0], "size", limit + 1) > limit:
                return None
            local = api.hf_hub_download(
                repo, path, repo_type="space", cache_dir=self._hub.cache, token=token
            )
            return Path(local).read_bytes()

        return await self._hub.call(work)

    def page(self, repo: str) -> str:
        """Where people look at it."""
        return f"{self._hub.endpoint}/spaces/{repo}"


def _listed(api: HfApi, token: str, author: str) -> list[Space]:
    """All pages. The library's own way through them tries each again for minutes, in a thread."""
    from huggingface_hub.hf_api import SpaceInfo
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        get_session,
        hf_raise_for_status,
    )

    found: list[Space] = []
    url: str | None = f"{api.endpoint}/api/spaces"
    params: Any = {"author": author, "limit": _PAGE, "expand": _EXPAND}
    headers = build_hf_headers(token=token)
    while url and len(found) < MOST_SPACES:
        answer = get_session().get(url, params=params, headers=headers)
        hf_raise_for_status(answer)
        found += [
            _space(SpaceInfo(**{"siblings": None, **one}))  # type: ignore[no-untyped-call]
            for one in answer.json()
        ]
        # The address of the next page has them all.
        url, params = answer.links.get("next", {}).get("url"), None
    return found[:MOST_SPACES]


def _deployed(api: HfApi, token: str, repo: str, wanted: Mapping[str, bytes], message: str) -> str:
    from huggingface_hub import CommitOperationAdd

    head = str(api.space_info(repo, token=token).sha or "")
    known = api.get_paths_info(repo, list(wanted), repo_type="space", revision=head, token=token)
    same = {
        entry.path
        for entry in known
        if getattr(entry, "blob_id", "") == blob_id(wanted[entry.path])
    }
    changed = [
        CommitOperationAdd(path, content) for path, content in wanted.items() if path not in same
    ]
    if not changed:
        return head
    done = api.create_commit(
        repo,
        changed,
        commit_message=message,
        repo_type="space",
        parent_commit=head or None,
        token=token,
    )
    return str(done.oid)


def blob_id(content: bytes) -> str:
    """How git names a file's content."""
    head = b"blob %d\0" % len(content)
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


def _folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in _SKIPPED for part in parts)
        if path.is_file() and not hidden:
            yield "/".join(parts), path.read_bytes()


def _space(info: Any) -> Space:
    runtime = info.runtime
    raw = runtime.raw if runtime is not None else {}
    subdomain = str(info.subdomain or "").lower()
    return Space(
        repo=str(info.id),
        sdk=str(info.sdk or ""),
        tags=tuple(info.tags or ()),
        private=bool(info.private),
        stage=str(raw.get("stage", "")),
        hardware=str(runtime.hardware or "") if runtime is not None else "",
        sha=str(info.sha or ""),
        modified=info.last_modified.timestamp() if info.last_modified else 0.0,
        error=str(raw.get("errorMessage") or "")[:300],
        files=tuple(entry.rfilename for entry in info.siblings or ()),
        subdomain=subdomain if _SUBDOMAIN.fullmatch(subdomain) else "",
    )


__all__ = ["HubConflict", "HubMissing", "Space", "Spaces", "blob_id"]
