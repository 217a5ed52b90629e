"""Probes of MCP servers that let in nobody who has not signed in there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from contracts.host import COMMAND, Host, Limits, StreamableHttp
from contracts.host_token import HostTokenRequest
from services.keys.hosttokens import HostTokens, NotSignedInThere, TokenForHost
from services.keys.secrets import Secrets
from services.outside.apart.pool import WorkerPool
from services.registry.probes import child
from services.registry.probes.base import Reach
from services.registry.service import WORKERS
from tests.support.host_auth import host_auth

OWNED: dict[str, Any] = {"owner": "ann", "source": COMMAND}


@pytest.mark.parametrize("owned", [{}, OWNED], ids=["the operator's", "a user's, apart"])
async def test_a_host_that_wants_a_sign_in_is_there_and_shows_its_tools_after_one(
    owned: dict[str, Any], tmp_path: Path
) -> None:
    async with host_auth() as auth:
        given = ""
        asked: list[HostTokenRequest] = []

        async def ask(request: HostTokenRequest) -> TokenForHost:
            asked.append(request)
            if not given:
                raise NotSignedInThere("link")
            return TokenForHost(given, 10.0)

        endpoint = StreamableHttp(auth.resource)
        host = Host(id="ann/c", name="c", endpoint=endpoint, limits=Limits(start_s=5.0), **owned)
        workers = WorkerPool(WORKERS) if owned else None
        secrets = Secrets(tmp_path, {})
        reach = Reach(secrets, allow_private=True, workers=workers, tokens=HostTokens(ask))
        prober = child.prober(host, asyncio.Semaphore(1), 10.0, reach)
        try:
            before = await prober.probe()
            given = str(auth.give()["access_token"])
            after = await prober.probe()
            auth.tokens.clear()
            given = str(auth.give()["access_token"])
            renewed = await prober.probe()
            auth.lacks, auth.lacks_for = "files:list", "tools/list"
            lacking = await prober.probe()
            auth.lacks = ""
            given = str(auth.give()["access_token"])
            enough = await prober.probe()
            assert ("tools/list", given) in auth.called
        finally:
            await prober.close()
            if workers is not None:
                await workers.close()
    assert before is not None
    assert (before.reason, before.discovery) == ("", None)
    assert before.note.startswith("sign-in needed: it is there")
    assert lacking is not None
    assert "`metamcp link ann/c --scope 'files:list'`" in lacking.note
    for found in (after, renewed, enough):
        assert found is not None
        assert (found.reason, found.note) == ("", "")
        assert found.discovery is not None
        assert [tool.name for tool in found.discovery.tools] == ["whoami"]
    assert {request.user for request in asked} == {owned.get("owner", "")}
