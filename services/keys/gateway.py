"""Asks a gateway for people's tokens for hosts."""

from __future__ import annotations

import msgspec

from contracts.errors import Reason, Rejected
from contracts.host_token import HostToken, HostTokenRequest
from contracts.subjects import HOST_TOKEN
from services.bus.bus import Bus
from services.bus.errors import BusError, NoResponders
from services.keys.hosttokens import (
    HostTokens,
    NotSignedInThere,
    TokenForHost,
    advised,
    transit,
)
from services.keys.vault import KeyFile, VaultError
from services.process import telemetry

GATEWAY_S = 30.0
"""For a gateway's answer: it may have to renew the token first."""

log = telemetry.get_logger()


def host_tokens(bus: Bus, key: KeyFile) -> HostTokens:
    """The tokens, asked for on this connection and unsealed with this key."""

    async def ask(request: HostTokenRequest) -> TokenForHost:
        try:
            payload = msgspec.json.encode(request)
            data = await bus.request(HOST_TOKEN, payload, timeout=GATEWAY_S)
            answer = msgspec.json.decode(data, type=HostToken)
            token = key.vault().unwrap(transit(request.user, request.host), answer.sealed)
        except NoResponders:
            # One of an earlier release keeps no such tokens.
            raise NotSignedInThere(advised(request.host)) from None
        except Rejected as refusal:
            if refusal.reason is Reason.NOT_FOUND:
                raise NotSignedInThere(refusal.message) from None
            raise _unknown(request, refusal) from refusal
        except (BusError, VaultError, msgspec.MsgspecError) as error:
            raise _unknown(request, error) from error
        return TokenForHost(token.decode(), answer.lasts_s)

    return HostTokens(ask)


def _unknown(request: HostTokenRequest, error: Exception) -> NotSignedInThere:
    log.warning("host_token_unknown", host=request.host, error=str(error))
    text = f"no gateway says now how you sign in at host {request.host}: try again"
    return NotSignedInThere(text)
