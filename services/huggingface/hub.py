"""Hugging Face, asynchronously: `huggingface_hub` in threads, its errors in our words, retries.

Whose account is used is said with each call; a token saved on this machine never is.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2
import msgspec

from services.process.backoff import delay

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PUBLIC = "https://huggingface.co"
ANSWER_S = 60.0
"""Limit for connecting, and for each wait for bytes, of one request."""
_LONGEST_WAIT_S = 60.0
_WORDS = 200

T = TypeVar("T")


class HubError(Exception):
    """Hugging Face did not do it; the message is for people and holds no token."""


class HubDenied(HubError):
    """The token is not accepted, or may not do this."""


class HubMissing(HubError):
    """There is no such repository, revision or file, or it may not be seen."""


class HubRefused(HubError):
    """The request was understood and refused."""


class HubConflict(HubRefused):
    """Somebody else was faster: look again."""


class HubBusy(HubError):
    """Not now: too many requests, a fault over there, or no connection."""

    retry_after_s: float | None = None
    """What Hugging Face asks to wait."""


class Who(msgspec.Struct, frozen=True):
    """Whose a token is."""

    name: str
    scopes: tuple[str, ...]
    can_write: bool


class Patience(msgspec.Struct, frozen=True):
    """How long one call is tried."""

    attempts: int = 4
    seconds: float = 60.0
    first_s: float = 0.5


PATIENCE = Patience()


class Hub:
    """One endpoint. A call that is cancelled goes on in its thread to its end, unseen."""

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        cache: Path | None = None,
        threads: int = 4,
        patience: Patience = PATIENCE,
    ) -> None:
        """`endpoint`: None is what HF_ENDPOINT says, else the public one; `cache`: where downloads
        are kept."""
        self.endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or PUBLIC).rstrip("/")
        self.cache = cache
        self._patience = patience
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hub")

    async def call(self, work: Callable[[HfApi], T], *, again: bool = True) -> T:
        """Run `work` in a thread. Raises HubError.

        `again`: repeat it while Hugging Face is busy; only for what may be done twice. A loop and
        `backoff.delay`, as everywhere: what is repeated, and until when, differs from place to
        place and is said there, so a library for retries would only be a second way to wait.
        """
        n, until = 0, time.monotonic() + self._patience.seconds
        while True:
            n += 1
            try:
                return await self._once(work)
            except HubBusy as busy:
                if not again or n >= self._patience.attempts or time.monotonic() >= until:
                    raise
                await asyncio.sleep(self._wait_s(n, busy))

    async def whoami(self, token: str) -> Who:
        """Whose the token is. Raises HubDenied for one that is not accepted."""
        said: dict[str, Any] = await self.call(lambda api: api.whoami(token=token))
        access = said.get("auth", {}).get("accessToken", {})
        role = str(access.get("role", ""))
        fine = access.get("fineGrained", {}) or {}
        scopes = set(fine.get("global", ()))
        for entry in fine.get("scoped", ()):
            scopes |= set(entry.get("permissions", ()))
        can_write = role in ("write", "admin") or "repo.write" in scopes
        return Who(str(said["name"]), tuple(sorted(scopes)) or ((role,) if role else ()), can_write)

    async def close(self) -> None:
        """Begin nothing more; what runs in threads is left to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _once(self, work: Callable[[HfApi], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _translating, self.endpoint, work)

    def _wait_s(self, n: int, busy: HubBusy) -> float:
        """What Hugging Face asks to wait, within bounds, and never all callers equally long."""
        own = delay(n, self._patience.first_s, _LONGEST_WAIT_S, random.random())
        return min(busy.retry_after_s or 0.0, _LONGEST_WAIT_S) + own


def _translating(endpoint: str, work: Callable[[HfApi], T]) -> T:
    api = _api(endpoint)
    try:
        return work(api)
    except HubError:
        raise
    except Exception as error:
        raise translated(error) from None


@functools.cache
def _api(endpoint: str) -> HfApi:
    # Imported when it is first needed: it takes most of a second.
    import huggingface_hub
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        disable_progress_bars,
        set_client_factory,
    )

    disable_progress_bars()
    # The library's own client waits for ever.
    set_client_factory(
        lambda: httpx2.Client(follow_redirects=True, timeout=httpx2.Timeout(ANSWER_S))
    )
    return huggingface_hub.HfApi(endpoint=endpoint, token=False)


def translated(error: Exception) -> HubError:
    """Say in our words what the library raised; never with a request's headers."""
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    status = response.status_code if response is not None else None
    if isinstance(error, errors.LocalEntryNotFoundError):
        return HubBusy("Hugging Face can't be reached")
    if (
        isinstance(error, errors.EntryNotFoundError | errors.RepositoryNotFoundError)
        or status == 404
    ):
        return HubMissing(f"there is no such thing at Hugging Face{_words(error)}")
    if status in (401, 403):
        return HubDenied(
            f"Hugging Face does not accept the token for this{_words(error)}: link an account with"
            " the rights for it, `metamcp link huggingface`"
        )
    if status in (409, 412):
        return HubConflict(f"Hugging Face says it has changed meanwhile{_words(error)}")
    if status == 429 or (status is not None and status >= 500) or status == 408:
        busy = HubBusy(f"Hugging Face is busy ({status}){_words(error)}: it is tried again later")
        busy.retry_after_s = _retry_after(response)
        return busy
    if status is not None:
        return HubRefused(f"Hugging Face refuses it ({status}){_words(error)}")
    if isinstance(error, httpx2.HTTPError | OSError):
        return HubBusy(f"Hugging Face can't be reached: {type(error).__name__}")
    return HubRefused(f"it can't be asked for: {type(error).__name__}: {str(error)[:_WORDS]}")


def _words(error: Exception) -> str:
    message = getattr(error, "server_message", None)
    line = " ".join(str(message).split())[:_WORDS] if message else ""
    return f": {line}" if line else ""


def _retry_after(response: Any) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
