"""Sign-in with GitHub: OAuth 2, which is no OpenID Connect, so its API says who has come."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import httpx

from contracts.account import Provider
from contracts.errors import Reason
from services.gateway.people.providers import pkce
from services.gateway.people.providers.asking import Asking, Said
from services.gateway.people.providers.base import NotSignedIn, ProviderToken, Sent, Stranger
from services.gateway.people.providers.words import refused

ORGANIZATIONS = "read:org"
"""The scope without which GitHub names no organizations."""
MOST_PAGES = 5
_PAGE = 100


class GitHubSignIn:
    """See `SignInProvider`."""

    name = Provider.GITHUB.value
    title = "GitHub"
    recorded = Provider.GITHUB.value
    account: Provider | None = Provider.GITHUB

    def __init__(
        self,
        client_id: str,
        secret: str,
        scopes: tuple[str, ...],
        *,
        web: str,
        api: str,
        redirect: str = "",
        organizations: bool = False,
    ) -> None:
        """`organizations`: ask which somebody is in."""
        self.redirect = redirect
        self.authority = web.rstrip("/")
        self._api = api.rstrip("/")
        self._client_id, self._secret = client_id, secret
        more = (ORGANIZATIONS,) if organizations and ORGANIZATIONS not in scopes else ()
        self._scopes = (*scopes, *more)
        self._organizations = organizations
        self._asking = Asking(self.title)

    async def address(self) -> str:
        """See `SignInProvider`."""
        return self.authority

    async def begin(self, sent: Sent) -> str:
        """See `SignInProvider`."""
        query = {
            "client_id": self._client_id,
            "redirect_uri": sent.redirect,
            "scope": " ".join(self._scopes),
            "state": sent.state,
            "code_challenge": pkce.challenge(sent.verifier),
            "code_challenge_method": "S256",
        }
        return f"{self.authority}/login/oauth/authorize?{urlencode(query)}"

    async def check_issuer(self, issuer: str | None) -> None:
        """See `SignInProvider`. GitHub need not name itself."""
        if issuer not in (None, f"{self.authority}/login/oauth", self.authority):
            raise mixed_up(self.title)

    async def finish(self, code: str, sent: Sent) -> Stranger:
        """See `SignInProvider`."""
        token = await self._token(
            code=code, redirect_uri=sent.redirect, code_verifier=sent.verifier
        )
        who = await self._get("/user", token.access)
        number, login = who.fields.get("id"), who.text("login")
        if type(number) is not int or not login:
            raise self._asking.away("it does not say whose the token is")
        organizations = await self._organizations_of(token.access) if self._organizations else ()
        emails = await self._emails(token.access)
        return Stranger(str(number), login, who.text("name"), emails, organizations, token)

    async def renew(self, token: ProviderToken) -> ProviderToken:
        """See `SignInProvider`. GitHub Apps have tokens that end; OAuth apps have not."""
        return await self._token(grant_type="refresh_token", refresh_token=token.refresh)

    async def revoke(self, access: str) -> bool:
        """See `SignInProvider`. With the grant all tokens end that this app has of the person."""
        url = f"{self._api}/applications/{self._client_id}/grant"
        said = await self._asking.ask(
            "DELETE",
            url,
            auth=httpx.BasicAuth(self._client_id, self._secret),
            json={"access_token": access},
        )
        # 404 and 422: there is no such token any more.
        if said.status not in (204, 404, 422):
            raise self._asking.away(f"answer {said.status}")
        return True

    async def _token(self, **form: str) -> ProviderToken:
        form |= {"client_id": self._client_id, "client_secret": self._secret}
        url = f"{self.authority}/login/oauth/access_token"
        said = await self._asking.ask("POST", url, data=form)
        # GitHub says 200 with an error in it.
        if error := said.text("error"):
            raise refused(error, self.title)
        return read_token(said, self._asking, separator=",")

    async def _get(self, path: str, access: str, **params: Any) -> Said:
        headers = {
            "Authorization": f"Bearer {access}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        said = await self._asking.ask("GET", self._api + path, headers=headers, params=params)
        if said.status != 200:
            raise self._asking.away(f"answer {said.status} of {path}")
        return said

    async def _emails(self, access: str) -> tuple[str, ...]:
        said = await self._get("/user/emails", access, per_page=_PAGE)
        found = [one for one in _list(said) if one.get("verified") is True]
        found.sort(key=lambda one: one.get("primary") is not True)
        return tuple(str(one["email"]) for one in found if isinstance(one.get("email"), str))

    async def _organizations_of(self, access: str) -> tuple[str, ...]:
        names: list[str] = []
        for page in range(1, MOST_PAGES + 1):
            said = await self._get("/user/orgs", access, per_page=_PAGE, page=page)
            found = _list(said)
            names += [f"{self.name}/{one['login']}" for one in found if one.get("login")]
            if len(found) < _PAGE:
                break
        return tuple(names)


def mixed_up(title: str) -> NotSignedIn:
    """The answer came from another provider than the one that was asked."""
    text = f"This answer is not from {title}, which was asked: nothing was changed. Sign in again."
    return NotSignedIn("wrong_issuer", text, Reason.BAD_REQUEST)


def read_token(said: Said, asking: Asking, separator: str = " ") -> ProviderToken:
    """Read an answer of a token endpoint. Raises NotSignedIn."""
    access, lasts = said.text("access_token"), said.fields.get("expires_in")
    if said.status != 200 or not access or said.text("token_type").lower() != "bearer":
        raise asking.away(f"answer {said.status} without a token")
    # Some write the number as a text.
    number = int(lasts) if isinstance(lasts, str) and lasts.isdecimal() else lasts
    known = type(number) in (int, float) and number is not None and number > 0
    scopes = said.text("scope").replace(separator, " ").split()
    ends = time.time() + float(number) if known and number is not None else None
    return ProviderToken(access, said.text("refresh_token"), ends, tuple(scopes))


def _list(said: Said) -> list[dict[str, Any]]:
    found = said.body if isinstance(said.body, list) else []
    return [one for one in found if isinstance(one, dict)]
