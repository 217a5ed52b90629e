"""Linked accounts: what a user's credentials at another service are stored as, never in the log."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Provider(StrEnum):
    """Where a user may have an account that the orchestrator acts for."""

    HUGGINGFACE = "huggingface"
    GITHUB = "github"


SECRET_NAMES = {Provider.HUGGINGFACE: "HF_TOKEN", Provider.GITHUB: "GITHUB_TOKEN"}
"""Under which name a host's `bearer_from` finds the user's token."""


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """An account as its owner sees it; the token itself is never shown again."""

    provider: Provider
    name: str
    """The user's name there."""
    linked_at: float
    """Seconds since the epoch."""
    scopes: tuple[str, ...] = ()
    """What the token allows, as the provider says it; empty: it does not say."""


class Credential(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value in the credential bucket: the account, and its token sealed with AES-GCM."""

    account: Account
    nonce: bytes
    """12 random bytes, new for each sealing."""
    sealed: bytes
    """Ciphertext and tag; the associated data are the version, the provider and the user."""
    version: int = 1
