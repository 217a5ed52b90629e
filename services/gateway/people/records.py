"""What lies in the bucket of people, by kind: each is one value, named by its kind and key."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from contracts.account import Credential

Role: TypeAlias = Literal["user", "auditor", "admin"]


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`user.<name>`: one person, or one service. The name is the `user` of every subject."""

    name: str
    roles: tuple[Role, ...] = ()
    """Besides `user`, which everybody has."""
    display: str = ""
    """How the person wants to be called."""
    email: str = ""
    password: str = ""
    """An argon2id hash with its parameters; empty: there is no password to come in with."""
    password_set: float = 0.0
    """When it was last set; a new hash of the same one is no change."""
    disabled: bool = False
    service: bool = False
    """Belongs to a program: it has no password and no sessions, only tokens and clients."""
    created: float = 0.0
    """Seconds since the epoch."""
    changed: float = 0.0
    seen: float = 0.0
    """When the person last signed in."""
    epoch: int = 0
    """Counted up when everything that was given out has to end: what has another number is void."""
    made_for: str = ""
    """The claim of an identity that it was made for; see there."""
    deleted: float = 0.0
    """When it was deleted; only the name is left then, so that nobody gets it by accident."""


class LinkedIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`identity.<digest of provider and subject>`: somebody elsewhere, and who that is here."""

    provider: str
    """`github`, `huggingface`, or the issuer's URL."""
    subject: str
    """Its id there; never its name, which may pass to somebody else."""
    user: str
    login: str = ""
    """How it was called there when it last signed in."""
    linked: float = 0.0
    claim: str = ""
    """While a user is being made for somebody new: by this that user is known, whoever goes on."""
    expires: float | None = None
    """When such a claim ends, in seconds since the epoch."""
    leaving: float = 0.0
    """When its unlinking began; it is no way in that another may be unlinked for."""


class ProviderLogin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`login.<digest of its state>`: a browser that was sent to a provider, and is to come back."""

    provider: str
    browser: str
    """Digest of the secret in its cookie."""
    redirect: str
    expires: float
    """Seconds since the epoch."""
    next: str = "/"
    """Where it goes then: a path of ours."""
    link: str = ""
    """To whom the identity is to be linked; empty: a sign-in."""
    invitation: str = ""
    """Key of the invitation that it brought."""
    used: bool = False
    """It has come back."""


class Invitation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`invitation.<digest of its code>`: somebody may come in for the first time, once."""

    user: str
    """As whom; who is there already is linked to."""
    by: str
    created: float
    expires: float
    """Seconds since the epoch."""
    taken: str = ""
    """Key of the identity that is coming in with it."""


class ProviderGrant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`provider_grant.<digest of user and provider>`: a linked account whose token came from a
    sign-in; what is needed to renew and to revoke it. The token itself lies with the account."""

    user: str
    provider: str
    access: str
    """Digest of that token."""
    refresh: Credential | None = None
    """Sealed."""
    pending: Credential | None = None
    """A renewed token, sealed, that has yet to get to the account."""
    ends: float | None = None
    """When the token ends, in seconds since the epoch."""
    leased: float = 0.0
    """Until when one gateway alone renews it."""


class SignIn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`session.<id>`: one sign-in, and its family of refresh tokens."""

    user: str
    epoch: int
    """Of the user, when it began."""
    method: str
    """`password`, `device`, `link`, or the provider."""
    created: float
    expires: float
    """When the newest refresh token ends; seconds since the epoch."""
    number: int = 0
    """Which refresh token of the family is good: the n-th. Its text is derived, not stored."""
    rotated: float = 0.0
    """When that became the good one. The one before it gives it again for a while."""
    address: str = ""
    agent: str = ""
    """`User-Agent`, shortened."""
    scopes: tuple[str, ...] | None = None
    """None: all."""
    token: str = ""
    """Id of the issued token, or SHA-256 of the data folder's, that it came from by a link: it may
    what that may, for as long as that is good."""


class ConsoleLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`console_link.<SHA-256 of its code>`: a browser may come in as whoever has made it, once."""

    user: str
    epoch: int
    """Of the user, when it was made."""
    created: float
    expires: float
    """Seconds since the epoch."""
    by: str = ""
    """Who has made it, as `asked_by` of `task.created`."""
    token: str = ""
    """With what, as in `SignIn`; empty: with a session."""
    scopes: tuple[str, ...] | None = None
    """None: all."""
    used: float = 0.0
    """When a browser came in by it; 0: none has."""


class DeviceAsk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`device.<SHA-256 of its code>`: a program without a browser asks to be let in."""

    code: str
    """SHA-256 of the code that its user types in a browser."""
    created: float
    expires: float
    address: str = ""
    agent: str = ""
    state: Literal["asked", "allowed", "refused", "taken"] = "asked"
    user: str = ""
    """Who has allowed it."""
    epoch: int = 0
    """Of that user's account, then."""


class RootKey(msgspec.Struct, frozen=True, kw_only=True):
    """`key.root`: the secret that all of this installation's sign-ins are derived from."""

    sealed: bytes
    """By the vault, under the master key of the gateways."""
    created: float


class OAuthClient(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`client.<id>`: a program that asks for tokens of people, or of its own."""

    id: str
    name: str = ""
    redirects: tuple[str, ...] = ()
    secret: str = ""
    """SHA-256 of its secret; empty: a public client."""
    user: str = ""
    """Whose service it is, which it may act as by client credentials; empty: none."""
    scopes: tuple[str, ...] = ()
    url: str = ""
    created: float = 0.0
    expires: float | None = None
    """Seconds since the epoch; None: an administrator made it, and it stays."""
    by: str = ""
    """`registration`, or the administrator who made it."""


class OAuthGrant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`grant.<id>`: somebody has let a client act for them; its family of refresh tokens."""

    user: str
    epoch: int
    client: str
    client_name: str = ""
    scopes: tuple[str, ...] = ()
    resource: str = ""
    created: float = 0.0
    expires: float = 0.0
    number: int = 0
    """Which refresh token of the family is good: the n-th. Its text is derived, not stored."""
    rotated: float = 0.0
    """When that became the good one. The one before it gives it again for a while."""


class Exceptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`quota.<user>`: what one user has otherwise than the table of budgets says."""

    limits: dict[str, int] = {}
    """Names of `contracts.budget.Budget`, and the numbers of this user."""
    by: str = ""
    changed: float = 0.0


class ProjectMember(msgspec.Struct, frozen=True):
    """Somebody in a project."""

    user: str
    role: Literal["owner", "editor", "viewer"]


class Project(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`project.<id>`: ties a repository, a Space and a Dataset, and the tasks for them."""

    id: str
    name: str
    members: tuple[ProjectMember, ...]
    description: str = ""
    repository: str = ""
    """`OWNER/NAME` on GitHub."""
    space: str = ""
    """`OWNER/NAME` on Hugging Face."""
    dataset: str = ""
    archived: bool = False
    created: float = 0.0
    changed: float = 0.0
    limits: dict[str, int] = {}
    """Quotas of the project: `tasks_a_day`, `open_tasks`."""
