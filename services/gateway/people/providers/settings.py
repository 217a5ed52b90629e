"""Settings of sign-in with others; part of the section `[gateway]`."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from contracts.account import Provider

SCOPES = ("openid", "profile", "email")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_TAKEN = frozenset({*Provider, "password", "device", "cookie", "token", "oauth"})
"""What else the way somebody came in may be called."""


class OidcProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenID Connect provider, `[[gateway.oidc_providers]]`."""

    name: str
    """How it is called here, in addresses too."""
    issuer: str
    """Its issuer URL, exactly as it says it."""
    client_id: str
    client_secret_file: Path | None = None
    """None: a public client, which PKCE alone protects."""
    scopes: tuple[str, ...] = SCOPES

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            raise ValueError(
                f"the name {self.name[:40]!r} of a provider: use a-z 0-9 -, a letter first, at most"
                f" 32, and none of {', '.join(sorted(_TAKEN))}"
            )
        check_address(self.issuer, f"issuer of {self.name}")
        if not self.client_id:
            raise ValueError(f"client_id of {self.name} is empty")
        if "openid" not in self.scopes:
            raise ValueError(f"scopes of {self.name}: `openid` is missing")


class SignInSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may sign in with whom."""

    github_client_id: Annotated[
        str,
        msgspec.Meta(description="Client id of your GitHub App or OAuth app; none: no sign-in."),
    ] = ""
    github_client_secret: Annotated[
        str, msgspec.Meta(description="Its client secret.", extra={"secret": True})
    ] = ""
    github_client_secret_file: Annotated[
        Path | None,
        msgspec.Meta(description="File with that secret in its place, readable by its owner only."),
    ] = None
    github_redirect_uri: Annotated[
        str,
        msgspec.Meta(
            description="Callback address that the app names; without one it is"
            " `<public_url>/api/auth/github/callback`."
        ),
    ] = ""
    github_scopes: Annotated[
        tuple[str, ...], msgspec.Meta(description="What is asked of GitHub.")
    ] = ("repo", "user:email", "workflow")
    github_web_url: Annotated[
        str, msgspec.Meta(description="Address of GitHub's own pages, where people sign in.")
    ] = "https://github.com"
    hf_client_id: Annotated[
        str, msgspec.Meta(description="Client id of your Hugging Face OAuth app; none: no sign-in.")
    ] = ""
    hf_client_secret: Annotated[
        str, msgspec.Meta(description="Its client secret.", extra={"secret": True})
    ] = ""
    hf_client_secret_file: Annotated[
        Path | None,
        msgspec.Meta(description="File with that secret in its place, readable by its owner only."),
    ] = None
    hf_redirect_uri: Annotated[
        str,
        msgspec.Meta(
            description="Callback address that the app names; without one it is"
            " `<public_url>/api/auth/huggingface/callback`."
        ),
    ] = ""
    hf_scopes: Annotated[
        tuple[str, ...], msgspec.Meta(description="What is asked of Hugging Face.")
    ] = (*SCOPES, "read-repos", "write-repos", "manage-repos")
    hf_url: Annotated[
        str, msgspec.Meta(description="Address of Hugging Face, where people sign in.")
    ] = "https://huggingface.co"
    oidc_providers: Annotated[
        tuple[OidcProvider, ...],
        msgspec.Meta(
            description="OpenID Connect providers: each with `name`, `issuer`, `client_id`,"
            " `client_secret_file` and `scopes`. In the environment it is JSON."
        ),
    ] = ()
    admit_new_people: Annotated[
        Literal["nobody", "domains", "organizations", "all"],
        msgspec.Meta(
            description="Who gets an account at the first sign-in: nobody, whose verified e-mail"
            " address is of one of `admit_domains`, who is in one of `admit_organizations`, all."
        ),
    ] = "nobody"
    admit_domains: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Domains, such as `example.com`; those under it don't count."),
    ] = ()
    admit_organizations: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern="^(github|huggingface)/[A-Za-z0-9._-]+$")], ...],
        msgspec.Meta(description="Organizations, as `github/NAME` or `huggingface/NAME`."),
    ] = ()

    def __repr__(self) -> str:
        """Secrets are never shown."""
        hidden = {f"{name}_client_secret" for name in ("github", "hf")}
        shown = (f"{n}={getattr(self, n)!r}" for n in self.__struct_fields__ if n not in hidden)
        return f"{type(self).__name__}({', '.join(shown)})"


def check_sign_in(settings: SignInSettings) -> None:
    """Refuse what can't work. Raises ValueError."""
    for name in ("github_web_url", "hf_url"):
        check_address(getattr(settings, name), name)
    for name in ("github", "hf"):
        if getattr(settings, f"{name}_client_secret") and getattr(
            settings, f"{name}_client_secret_file"
        ):
            text = f"{name}_client_secret and {name}_client_secret_file: set one of them"
            raise ValueError(text)
    names = [one.name for one in settings.oidc_providers]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"oidc_providers: {sorted(twice)[0]!r} is there twice")
    for kind in ("domains", "organizations"):
        if settings.admit_new_people == kind and not getattr(settings, f"admit_{kind}"):
            raise ValueError(f"admit_new_people is {kind}, but admit_{kind} is empty")


def check_address(url: str, what: str) -> None:
    """Refuse an address that is no https, but on this machine. Raises ValueError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018
    except ValueError:
        raise ValueError(f"{what}: {url[:80]!r} is no URL") from None
    if not host or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{what}: expected a plain https:// address, not {url[:80]!r}")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError(f"{what}: expected https://, not {url[:80]!r}")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
