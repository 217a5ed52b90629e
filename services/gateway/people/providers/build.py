"""Puts the door together from the settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from contracts.account import Provider
from services.gateway.access.identity import LOCAL_USER, FileIdentity, Identity
from services.gateway.http.parts import Parts
from services.gateway.people.providers.base import SignInProvider
from services.gateway.people.providers.door import SignInDoor
from services.gateway.people.providers.github import GitHubSignIn
from services.gateway.people.providers.kept import KeptTokens
from services.gateway.people.providers.openid import OpenIdSignIn
from services.gateway.people.providers.settings import is_loopback
from services.gateway.settings import Settings
from services.keys.accounts import Accounts
from services.process.files import is_private
from services.process.run import Fatal

RESERVED = frozenset({LOCAL_USER, "admin", "root", "system", "metamcp", "operator", "anonymous"})
"""Names that nobody gets by coming in."""
MOST_SECRET = 4096


def sign_in_door(parts: Parts, accounts: Accounts, known: Identity) -> SignInDoor:
    """The door of one gateway; `known`: whose tokens are that were not issued. Raises Fatal."""
    settings = parts.settings
    providers = providers_of(settings)
    kept = KeptTokens(parts.state, accounts, providers)
    return SignInDoor(
        *(providers, parts.users, parts.signed_in, parts.state, parts.trail, settings, kept),
        taken=_taken(parts, accounts, known),
        base=own_address(settings),
    )


def providers_of(settings: Settings) -> dict[str, SignInProvider]:
    """With whom people sign in, by name. Raises Fatal for a secret that can't be read."""
    found: list[SignInProvider] = []
    if settings.github_client_id:
        found.append(
            GitHubSignIn(
                settings.github_client_id,
                client_secret(settings.github_client_secret, settings.github_client_secret_file),
                settings.github_scopes,
                web=settings.github_web_url,
                api=settings.github_url,
                redirect=settings.github_redirect_uri,
                organizations=settings.admit_new_people == "organizations"
                and any(one.startswith("github/") for one in settings.admit_organizations),
            )
        )
    if settings.hf_client_id:
        found.append(
            OpenIdSignIn(
                Provider.HUGGINGFACE.value,
                settings.hf_url.rstrip("/"),
                settings.hf_client_id,
                client_secret(settings.hf_client_secret, settings.hf_client_secret_file),
                settings.hf_scopes,
                redirect=settings.hf_redirect_uri,
                title="Hugging Face",
                account=Provider.HUGGINGFACE,
            )
        )
    found += [
        OpenIdSignIn(
            *(
                one.name,
                one.issuer,
                one.client_id,
                client_secret("", one.client_secret_file),
                one.scopes,
            )
        )
        for one in settings.oidc_providers
    ]
    return {one.name: one for one in found}


def own_address(settings: Settings) -> str:
    """Under which address browsers reach this gateway; empty: that is not known."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    if not settings.port or not is_loopback(settings.host):
        return ""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{settings.port}"


def own_origin(settings: Settings) -> tuple[str, ...]:
    """The origin of our own pages, as browsers that reach us by our public address send it."""
    parts = urlsplit(own_address(settings))
    return (f"{parts.scheme}://{parts.netloc}".lower(),) if parts.netloc else ()


def client_secret(value: str, path: Path | None) -> str:
    """The secret that a setting holds, or the file that it names. Raises Fatal."""
    if path is None:
        return value
    try:
        if not is_private(path):
            raise Fatal(f"{path} can be read by others.", f"Run `chmod 600 {path}`.")
        with path.open("rb") as file:
            text = file.read(MOST_SECRET + 1).decode("utf-8", "replace").strip()
    except OSError as error:
        raise Fatal(f"The client secret {path} can't be read: {error.strerror}.") from None
    if not text or len(text) > MOST_SECRET or not text.isprintable():
        raise Fatal(f"{path} holds no client secret: expected one line of text.")
    return text


def _taken(parts: Parts, accounts: Accounts, known: Identity) -> Callable[[str], Awaitable[bool]]:
    """Tells whether something is a user's already who has no account: whoever got that name would
    get all of it."""

    async def taken(name: str) -> bool:
        if name in RESERVED or (isinstance(known, FileIdentity) and known.names(name)):
            return True
        await parts.tokens.refresh()
        if parts.tokens.names(name) or parts.projects.of(name):
            return True
        for provider in Provider:
            if await accounts.account(name, provider) is not None:
                return True
        await parts.caught_up()
        rows = await parts.projection.query(
            "SELECT 1 FROM tasks WHERE user = ? UNION ALL SELECT 1 FROM hosts WHERE owner = ?"
            " UNION ALL SELECT 1 FROM preferences WHERE user = ? LIMIT 1",
            (name, name, name),
        )
        return bool(rows)

    return taken
