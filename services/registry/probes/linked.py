"""Probes of MCP servers that let in nobody who has not signed in there.

One that refuses us proves that it is there. Its tools are listed with a token: its owner's, or of
an operator's host that of an administrator who has signed in.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contracts.host import Host
from services.keys.hosttokens import HostTokens, NotSignedInThere
from services.keys.secrets import HostSecrets
from services.outside.mcp_exchange import LACKING
from services.registry.probes.base import ProbeOutcome, Prober

_SIGN_IN = "refused: it answered 401"

Make = Callable[[str | None], Prober]
"""The prober that shows this token, or none."""


class LinkedProber:
    """Asks one host, with a token once it has asked for one."""

    def __init__(self, host: Host, make: Make, tokens: HostTokens) -> None:
        self._host = host
        self._make = make
        self._tokens = tokens
        self._token: str | None = None
        self._inner = make(None)

    async def probe(self) -> ProbeOutcome | None:
        """Ask once; again, if another token may be let in."""
        answer = await self._probed(user := self._host.owner or "")
        if answer is None or not (lacks := LACKING.search(answer.reason)):
            return answer
        self._tokens.forget(self._host, user)
        return ProbeOutcome(note=self._note(lacks[1]), latency_ms=answer.latency_ms)

    async def _probed(self, user: str) -> ProbeOutcome | None:
        if self._token is not None or self._tokens.needed(self._host):
            try:
                await self._show(await self._tokens.of(self._host, user))
            except NotSignedInThere:
                await self._show(None)
        answer = await self._asked()
        if answer is None or not answer.reason.startswith(_SIGN_IN):
            return answer
        try:
            await self._show(await self._tokens.instead(self._host, user, self._token))
        except NotSignedInThere:
            return ProbeOutcome(note=self._note(), latency_ms=answer.latency_ms)
        return await self._asked()

    async def close(self) -> None:
        """Let go of the host."""
        await self._inner.close()

    async def _asked(self) -> ProbeOutcome | None:
        answer = await self._inner.probe()
        if answer is None or self._token is None:
            return answer
        hide = HostSecrets(self._token).hide
        reason, detail = hide(answer.reason), hide(answer.detail)
        return msgspec.structs.replace(answer, reason=reason, detail=detail)

    async def _show(self, token: str | None) -> None:
        if token == self._token:
            return
        await self._inner.close()
        self._token, self._inner = token, self._make(token)

    def _note(self, scope: str = "") -> str:
        who = "an administrator" if self._host.owner is None else "its owner"
        more = f" --scope '{scope}'" if scope else ""
        how = f"`metamcp link {self._host.id}{more}`"
        return f"sign-in needed: it is there; its tools are known once {who} has signed in: {how}"
