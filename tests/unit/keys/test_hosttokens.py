"""What executors and registries remember of tokens that a gateway has given them."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.host import Execute, Host, StreamableHttp
from contracts.host_token import HostTokenRequest
from services.keys.hosttokens import (
    ASKS_S,
    BELIEVED_S,
    MOST_BELIEVED,
    HostTokens,
    NotSignedInThere,
    TokenForHost,
    signs_in,
)


def host(name: str = "h", endpoint: Any = None) -> Host:
    url = StreamableHttp("https://x.example/mcp")
    return Host(id=name, name=name, endpoint=endpoint or url)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (StreamableHttp("https://x.example/mcp"), True),
        (StreamableHttp("https://x.example/mcp", headers={"X-Team": "{secret:T}"}), True),
        (StreamableHttp("https://x.example/{secret:T}"), False),
        (StreamableHttp("https://x.example/mcp", bearer_from="T"), False),
        (StreamableHttp("https://x.example/mcp", headers={"authorization": "{secret:T}"}), False),
        (StreamableHttp("hf://ann/space"), False),
        (Execute("https://x.example"), False),
    ],
)
def test_where_people_may_sign_in(endpoint: Any, expected: bool) -> None:
    assert signs_in(host(endpoint=endpoint)) is expected


class Asked:
    def __init__(self) -> None:
        self.now = 0.0
        self.token = "t1"
        self.lasts_s = 60.0
        self.count = 0
        self.tokens = HostTokens(self.ask, lambda: self.now)

    async def ask(self, request: HostTokenRequest) -> TokenForHost:
        self.count += 1
        if not self.token:
            raise NotSignedInThere("link")
        return TokenForHost(self.token, self.lasts_s)


async def test_a_host_that_asks_for_nothing_costs_nothing() -> None:
    one = Asked()
    assert not one.tokens.needed(host())
    assert one.count == 0


@pytest.mark.parametrize(("lasts_s", "believed_s"), [(60.0, BELIEVED_S), (2.0, 2.0)])
async def test_a_token_is_believed_for_a_while_and_not_beyond_its_end(
    lasts_s: float, believed_s: float
) -> None:
    one = Asked()
    one.lasts_s = lasts_s
    assert await one.tokens.instead(host(), "ann", None) == "t1"
    assert one.tokens.needed(host())
    one.now = believed_s - 0.1
    assert await one.tokens.of(host(), "ann") == "t1"
    assert one.count == 1
    one.token, one.now = "t2", believed_s
    assert await one.tokens.of(host(), "ann") == "t2"
    assert await one.tokens.of(host(), "bob") == "t2"
    assert one.count == 3


async def test_who_has_unlinked_is_told_and_a_host_that_asks_no_more_is_forgotten() -> None:
    one = Asked()
    one.token = ""
    with pytest.raises(NotSignedInThere):
        await one.tokens.instead(host(), "ann", None)
    with pytest.raises(NotSignedInThere):
        await one.tokens.of(host(), "ann")
    one.now = ASKS_S
    assert await one.tokens.of(host(), "ann") is None
    assert not one.tokens.needed(host())


async def test_what_is_remembered_is_bounded() -> None:
    one = Asked()
    for number in range(MOST_BELIEVED + 10):
        await one.tokens.instead(host(f"h{number}"), "ann", None)
    assert len(one.tokens._believed) == len(one.tokens._asking) == MOST_BELIEVED
