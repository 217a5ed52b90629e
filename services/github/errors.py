"""Why GitHub did not do it: each error says it in words for people and holds no token."""

from __future__ import annotations


class GitHubError(Exception):
    """GitHub did not say it; the message is for people and holds no token."""


class GitHubDenied(GitHubError):
    """The token is not accepted."""


class GitHubForbidden(GitHubError):
    """The token is accepted, and may not do this."""


class GitHubMissing(GitHubError):
    """There is no such thing, or it may not be seen."""


class GitHubRefused(GitHubError):
    """The request was understood and refused."""


class GitHubConflict(GitHubRefused):
    """It is not as the request takes it to be: somebody else was faster, or it is there already."""

    def __init__(self, message: str, present: str = "") -> None:
        super().__init__(message)
        self.present = present
        """Name of the content that is there."""


class GitHubTooLarge(GitHubRefused):
    """More bytes than are taken."""


class GitHubBusy(GitHubError):
    """Not now: a fault over there, or no connection."""


class GitHubLimited(GitHubBusy):
    """GitHub limits how often this account may ask."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        """Seconds until it may ask again."""
