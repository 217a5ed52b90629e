"""Whose a GitHub token is: one request of GitHub's REST API."""

from __future__ import annotations

import httpx

PUBLIC = "https://api.github.com"
ANSWER_S = 20.0


class GitHubError(Exception):
    """GitHub did not say it; the message is for people and holds no token."""


class GitHubDenied(GitHubError):
    """The token is not accepted."""


async def whoami(token: str, url: str = PUBLIC) -> tuple[str, tuple[str, ...]]:
    """The user's name and what the token allows, as GitHub says it. Raises GitHubError."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    try:
        async with httpx.AsyncClient(timeout=ANSWER_S) as client:
            answer = await client.get(f"{url.rstrip('/')}/user", headers=headers)
    except httpx.HTTPError as error:
        raise GitHubError(f"GitHub can't be reached: {type(error).__name__}") from None
    if answer.status_code == 429 or answer.headers.get("x-ratelimit-remaining") == "0":
        raise GitHubError("GitHub limits how often it is asked: try again later")
    if answer.status_code in (401, 403):
        raise GitHubDenied("GitHub does not accept this token: make a new one and link it again")
    try:
        name = str(answer.raise_for_status().json()["login"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        raise GitHubError(f"GitHub answered {answer.status_code}: try again later") from None
    scopes = answer.headers.get("x-oauth-scopes", "")
    return name, tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
