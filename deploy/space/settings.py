"""What a Space is told by its environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import permit
from runs import LINGER_S

MIB = 1024 * 1024
_USER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEVERAL = re.compile(r"[\s,]+")


class BadSettings(Exception):
    """Something is missing or wrong; the message says what, and what to do."""


class Settings(NamedTuple):
    """See README.md for what the variables mean."""

    audience: frozenset[str]
    """Origins at which this Space is called: permits for others are refused."""
    owners: frozenset[str]
    """Users of the orchestrator for whom it works."""
    jwks: permit.Keys | permit.RemoteKeys
    state: Path
    config: Path
    """The folder with `server.toml` and `mcp.json`."""
    bearer: str
    max_body: int
    max_answer: int
    max_concurrency: int
    """0: as `mcp.json` says."""
    keep_s: float
    keep_answers: int
    keep_bytes: int
    linger_ms: int


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the variables. Raises BadSettings."""
    state = environment.get("METAMCP_STATE", "")
    if not state:
        raise BadSettings(
            "METAMCP_STATE is not set: name a folder on a disk, for what must survive a restart"
        )
    settings = Settings(
        audience=_audience(environment),
        owners=_owners(environment),
        jwks=_jwks(environment),
        state=Path(state),
        config=Path(environment.get("METAMCP_CONFIG") or Path(__file__).parent),
        bearer=environment.get("METAMCP_BEARER", ""),
        max_body=_number(environment, "METAMCP_MAX_BODY", MIB),
        max_answer=_number(environment, "METAMCP_MAX_ANSWER", 128 * MIB),
        max_concurrency=_number(environment, "METAMCP_MAX_CONCURRENCY", 0, least=0, most=1024),
        keep_s=_number(environment, "METAMCP_KEEP_S", 3600, least=0),
        keep_answers=_number(environment, "METAMCP_KEEP_ANSWERS", 10_000),
        keep_bytes=_number(environment, "METAMCP_KEEP_BYTES", 1024 * MIB),
        linger_ms=_number(environment, "METAMCP_LINGER_MS", round(LINGER_S * 1000), most=60_000),
    )
    if settings.keep_bytes < settings.max_answer:
        raise BadSettings("METAMCP_KEEP_BYTES is less than METAMCP_MAX_ANSWER: keep at least one")
    return settings


def _audience(environment: Mapping[str, str]) -> frozenset[str]:
    """The addresses that permits name; Hugging Face says that of a Space in SPACE_HOST."""
    given = _listed(environment, "METAMCP_PUBLIC_URL")
    found = given + [f"https://{host}" for host in _listed(environment, "SPACE_HOST")]
    if not found:
        raise BadSettings(
            "METAMCP_PUBLIC_URL is not set: say the address at which the orchestrator calls this"
            " host, such as https://heavy.example.com. Permits for other addresses are refused"
        )
    try:
        return frozenset(map(permit.origin, found))
    except ValueError as error:
        raise BadSettings(f"METAMCP_PUBLIC_URL or SPACE_HOST can't be used: {error}") from error


def _owners(environment: Mapping[str, str]) -> frozenset[str]:
    owners = _listed(environment, "METAMCP_OWNER")
    if not owners:
        raise BadSettings(
            "METAMCP_OWNER is not set: say for which user of the orchestrator this host works (the"
            " name in that user's token; several: with commas between). Without it nobody could be"
            " told from anybody. `metamcp spaces deploy` sets it by itself"
        )
    for owner in owners:
        if not _USER.fullmatch(owner) or owner == "-":
            raise BadSettings(
                f"METAMCP_OWNER: {owner[:80]!r} is no user: 1 to 64 of the characters"
                " A-Z a-z 0-9 _ -"
            )
    return frozenset(owners)


def _listed(environment: Mapping[str, str], name: str) -> list[str]:
    return [part for part in _SEVERAL.split(environment.get(name, "")) if part]


def _jwks(environment: Mapping[str, str]) -> permit.Keys | permit.RemoteKeys:
    url, text = environment.get("METAMCP_JWKS_URL", ""), environment.get("METAMCP_JWKS", "")
    if bool(url) == bool(text):
        raise BadSettings(
            "set one of METAMCP_JWKS_URL (where the orchestrator serves its public keys) and"
            " METAMCP_JWKS (the key set itself, or the file that holds it)"
        )
    allow_http = environment.get("METAMCP_JWKS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    try:
        if url:
            return permit.RemoteKeys(url, allow_http=allow_http)
        return permit.Keys(text if text.lstrip().startswith("{") else Path(text).read_text("utf-8"))
    except (ValueError, OSError) as error:
        name = "METAMCP_JWKS_URL" if url else "METAMCP_JWKS"
        raise BadSettings(f"{name} can't be used: {error}") from error


def _number(
    environment: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int = 1 << 40
) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise BadSettings(f"{name}: {text!r} is no whole number from {least} to {most}")
    return int(text)
