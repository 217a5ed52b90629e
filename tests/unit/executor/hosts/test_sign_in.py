"""Calls of hosts that let in nobody who has not signed in there."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts.facts import FailureKind
from contracts.host import StreamableHttp
from contracts.host_token import HostTokenRequest
from services.executor.attempt.call import HostError, Opening
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.pool import Pool
from services.keys.hosttokens import HostTokens, NotSignedInThere, TokenForHost
from services.keys.secrets import Secrets
from tests.support.host_auth import HostAuth, host_auth
from tests.unit.executor.sessions import APART, HTTP, Bench, closing


class Gateway:
    """Gives out tokens as a gateway does, and notes who has asked."""

    def __init__(self, auth: HostAuth) -> None:
        self.auth = auth
        self.token = ""
        self.asked: list[HostTokenRequest] = []

    def link(self) -> str:
        """Somebody has signed in."""
        self.token = str(self.auth.give()["access_token"])
        return self.token

    async def ask(self, request: HostTokenRequest) -> TokenForHost:
        """Answer an executor."""
        self.asked.append(request)
        if not self.token:
            raise NotSignedInThere(f"sign in: `metamcp link {request.host}`")
        if request.stale == hashlib.sha256(self.token.encode()).hexdigest():
            self.link()
        return TokenForHost(self.token, 10.0)


class Scene:
    """An executor's pool, a host that is closed, and a gateway."""

    def __init__(self, folder: Path, auth: HostAuth, kind: str) -> None:
        self.bench = Bench(folder, kind)
        self.auth = auth
        self.gateway = Gateway(auth)
        host = self.bench.host(endpoint=StreamableHttp(auth.resource), protocol="2025-06-18")
        self.known = KnownHost(1, host)
        opening = Opening(
            host, folder, allow_private=True, spool=self.bench.spool, workers=self.bench.workers
        )
        tokens = HostTokens(self.gateway.ask)
        self.pool = Pool(opening, 3, Secrets(folder, {}), tokens=tokens)

    async def call(self) -> str:
        """Call its tool; the answer is its text."""
        answer = await self.pool.call(self.known, self.bench.call("whoami"))
        assert isinstance(answer, dict)
        return str(answer["content"][0]["text"])

    async def failure(self) -> HostError:
        with pytest.raises(HostError) as caught:
            await self.call()
        return caught.value


@contextlib.asynccontextmanager
async def closed_host(folder: Path, kind: str) -> AsyncIterator[Scene]:
    async with host_auth() as auth:
        one = Scene(folder, auth, kind)
        yield one
        await one.pool.close()
        await closing(one.bench)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with closed_host(tmp_path, HTTP) as one:
        yield one


async def test_a_users_own_host_is_the_same_in_its_worker(tmp_path: Path) -> None:
    async with closed_host(tmp_path, APART) as scene:
        assert "`metamcp link h1`" in (await scene.failure()).message
        scene.gateway.link()
        assert await scene.call() == "you are in"
        scene.auth.lacks = "files:write"
        assert "--scope 'files:write'" in (await scene.failure()).message


async def test_whoever_has_not_signed_in_is_told_how(scene: Scene) -> None:
    for _ in range(2):
        error = await scene.failure()
        assert (error.kind, error.called) == (FailureKind.UNREACHABLE, False)
        assert "`metamcp link h1`" in error.message
    assert [method for method, _ in scene.auth.called].count("initialize") == 1


async def test_sign_ins_that_the_host_does_not_take_close_it_to_nobody(scene: Scene) -> None:
    scene.auth.lasts_s = -1
    scene.gateway.link()
    for _ in range(6):
        assert "`metamcp link h1`" in (await scene.failure()).message
    scene.auth.lasts_s = 3600
    scene.gateway.link()
    assert await scene.call() == "you are in"


async def test_whoever_has_signed_in_is_let_in(scene: Scene) -> None:
    token = scene.gateway.link()
    assert [await scene.call() for _ in range(3)] == ["you are in"] * 3
    assert ("tools/call", token) in scene.auth.called
    assert len(scene.gateway.asked) == 1
    host, url = scene.known.host.id, scene.auth.resource
    assert scene.gateway.asked[0] == HostTokenRequest("alice", host, url)


async def test_a_token_that_the_host_takes_no_more_is_replaced_under_the_call(
    scene: Scene,
) -> None:
    first = scene.gateway.link()
    await scene.call()
    scene.auth.tokens.clear()
    assert await scene.call() == "you are in"
    assert scene.gateway.token != first
    assert scene.gateway.asked[-1].stale == hashlib.sha256(first.encode()).hexdigest()


async def test_a_scope_that_is_missing_is_named(scene: Scene) -> None:
    scene.gateway.link()
    scene.auth.lacks = "files:write"
    error = await scene.failure()
    assert (error.kind, error.called) == (FailureKind.UNREACHABLE, False)
    assert "`metamcp link h1 --scope 'files:write'`" in error.message
    assert len(scene.gateway.asked) == 1


async def test_whoever_signs_in_for_more_has_it_with_his_next_call(scene: Scene) -> None:
    scene.gateway.link()
    scene.auth.lacks = "files:write"
    await scene.failure()
    scene.auth.lacks = ""
    token = scene.gateway.link()
    assert await scene.call() == "you are in"
    assert ("tools/call", token) in scene.auth.called


async def test_a_host_of_the_newer_era_alone_that_is_closed_says_so(scene: Scene) -> None:
    scene.auth.begins = 400
    scene.known = KnownHost(1, msgspec.structs.replace(scene.known.host, protocol=""))
    assert "`metamcp link h1`" in (await scene.failure()).message
    assert [method for method, _ in scene.auth.called] == ["server/discover", "initialize"]


async def test_tokens_stand_in_no_text() -> None:
    async with host_auth() as auth:
        gateway = Gateway(auth)
        token = gateway.link()
        assert token not in repr(await gateway.ask(HostTokenRequest("alice", "h1", "x")))
