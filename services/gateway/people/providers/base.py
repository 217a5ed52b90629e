"""What all providers have in common: what they are asked, what they say, how they fail."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from contracts.account import Provider
from contracts.errors import Reason, Rejected


class NotSignedIn(Rejected):
    """Why somebody did not come in: `word` is for the trail, the message for people."""

    def __init__(self, word: str, message: str, reason: Reason = Reason.FORBIDDEN) -> None:
        super().__init__(reason, message)
        self.word = word
        self.user = ""
        """Who did not come in, where that is known."""


class ProviderToken(NamedTuple):
    """What a provider gave to act with in somebody's name. Never logged."""

    access: str
    refresh: str = ""
    ends: float | None = None
    """Seconds since the epoch at which `access` ends; None: it has none."""
    scopes: tuple[str, ...] = ()


class Stranger(NamedTuple):
    """Who has come, as the provider says."""

    subject: str
    """The id that never passes to somebody else."""
    login: str
    display: str = ""
    emails: tuple[str, ...] = ()
    """Verified ones only; the first is the one to write to."""
    organizations: tuple[str, ...] = ()
    """`provider/name`."""
    token: ProviderToken | None = None
    """To be kept as a linked account."""


class Sent(NamedTuple):
    """What a sign-in is bound to; made anew for each."""

    state: str
    nonce: str
    verifier: str
    """Of PKCE."""
    redirect: str


class SignInProvider(Protocol):
    """One provider. Methods raise NotSignedIn."""

    name: str
    """In addresses and as `method`."""
    title: str
    """For people."""
    authority: str
    """Its own address, which subjects belong to."""
    recorded: str
    """As `provider` of `LinkedIdentity`."""
    redirect: str
    """Where it sends people back to; empty: ours, by our public address."""
    account: Provider | None
    """As what its tokens are kept; None: they are not."""

    async def address(self) -> str:
        """Where `begin` leads, without what it is asked."""

    async def begin(self, sent: Sent) -> str:
        """The address to send a browser to."""

    async def check_issuer(self, issuer: str | None) -> None:
        """Refuse an answer that another provider gave (RFC 9207)."""

    async def finish(self, code: str, sent: Sent) -> Stranger:
        """Exchange a code, and say who has come."""

    async def renew(self, token: ProviderToken) -> ProviderToken:
        """A new token for one that is about to end."""

    async def revoke(self, access: str) -> bool:
        """End a token there; False: the provider knows no way to."""
