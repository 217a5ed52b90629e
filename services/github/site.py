"""Requests of GitHub's REST API: bounded, repeated where that is safe, redirected within its host.

Whose account is used is said with each call; what fails is raised in our words.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import NamedTuple

import httpx

from services.github.answers import MOVED, failed, followed, limited
from services.github.errors import GitHubBusy, GitHubError, GitHubLimited, GitHubTooLarge
from services.github.etags import Etags
from services.process.backoff import delay

PUBLIC = "https://api.github.com"
API_VERSION = "2022-11-28"
JSON = "application/vnd.github+json"
RAW = "application/vnd.github.raw+json"
SHA = "application/vnd.github.sha"
ANSWER_S = 20.0
"""Limit for one try of a request, to the end of its answer."""
QUIET_S = 30.0
"""Longest wait for the next bytes of a download."""
DOWNLOAD_S = 900.0
"""Limit for a whole download."""
CONNECT_S = 10.0
MOST_REDIRECTS = 3
MOST_REQUESTS = 32
"""At once, of all users."""
MOST_DOWNLOADS = 8
"""At once, of all users."""
MOST_REQUESTS_EACH = 8
"""At once, of one user."""
MOST_DOWNLOADS_EACH = 3
"""At once, of one user."""
AFTER_DOWNLOADS_S = 5.0
"""When to ask again, with that many under way."""
MOST_ANSWER = 16 * 1024 * 1024
"""Bytes of one answer that is read whole."""
MOST_FAILURE = 64 * 1024
"""Bytes that are read of an answer that failed."""
MOST_LIMITED = 1000
"""Accounts of which is remembered that they have to wait."""
ATTEMPTS = 3
FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 5.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Bearer(NamedTuple):
    """In whose name GitHub is asked."""

    user: str
    """Of ours."""
    token: str

    def __repr__(self) -> str:
        return f"Bearer(user={self.user!r}, token=…)"


class GitHubAnswer(NamedTuple):
    """An answer that succeeded, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class GitHubSite:
    """One address of the API, and the connections to it. Raises GitHubError."""

    def __init__(
        self, url: str = PUBLIC, *, attempts: int = ATTEMPTS, first_wait_s: float = FIRST_WAIT_S
    ) -> None:
        self.url = url.rstrip("/")
        self._attempts = attempts
        self._first_wait_s = first_wait_s
        self._etags = Etags()
        self._clients: dict[int, httpx.AsyncClient] = {}
        self._places: dict[str, asyncio.Semaphore] = {}
        self._asking: Counter[str] = Counter()
        self._downloading: Counter[str] = Counter()
        self._limited: OrderedDict[Bearer, float] = OrderedDict()
        """Who has to wait, until when: whoever goes on asking is shut out by GitHub."""

    async def get(
        self,
        bearer: Bearer,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        accept: str = JSON,
        limit: int = MOST_ANSWER,
    ) -> GitHubAnswer:
        """Fetch what has at most `limit` bytes; what has not changed is not sent again."""
        url = str(httpx.URL(self.url + path, params=query)) if query else self.url + path
        held = self._etags.get(bearer, url, accept)
        given = {"Accept": accept} | ({} if held is None else {"If-None-Match": held.etag})
        answer = await self._repeated(bearer, "GET", url, given, limit=limit)
        if answer.status == 304 and held is not None:
            return GitHubAnswer(200, held.headers, held.body)
        self._etags.keep(bearer, url, accept, answer.headers, answer.body)
        return answer

    async def send(self, bearer: Bearer, method: str, path: str, body: bytes) -> GitHubAnswer:
        """Have something changed by this JSON. It is sent again only if it can't have arrived."""
        given = {"Accept": JSON, "Content-Type": "application/json"}
        return await self._repeated(bearer, method, self.url + path, given, body=body)

    async def download(
        self, bearer: Bearer, path: str, *, accept: str = JSON, limit: int
    ) -> AsyncGenerator[bytes]:
        """Give the bytes out as they come, at most `limit`: a first answer that fails is asked for
        again, what breaks off later is not."""
        given = {"Accept": accept, "Accept-Encoding": "identity"}
        until = time.monotonic() + DOWNLOAD_S
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._download_place(bearer.user))
            begun, answer = await self._begun(bearer, self.url + path, given)
            await stack.enter_async_context(begun)
            if _length(answer.headers) > limit:
                raise too_large(limit)
            told = 0
            try:
                async for part in answer.aiter_raw():
                    told += len(part)
                    if told > limit:
                        raise too_large(limit)
                    if time.monotonic() > until:
                        raise GitHubBusy(f"the download took longer than {DOWNLOAD_S:.0f} s")
                    yield part
            except httpx.HTTPError as error:
                raise away(error) from None

    async def close(self) -> None:
        """Close all connections."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    async def _begun(
        self, bearer: Bearer, url: str, given: dict[str, str]
    ) -> tuple[contextlib.AsyncExitStack, httpx.Response]:
        """The answer whose bytes come next, wherever they are, and what has to be closed."""
        attempt = 0
        while True:
            attempt += 1
            problem: GitHubError
            try:
                async with contextlib.AsyncExitStack() as stack:
                    answer = await self._redirected(
                        stack, bearer, "GET", url, given, downloads=MOST_DOWNLOADS
                    )
                    if answer.status_code == 200:
                        return stack.pop_all(), answer
                    problem = await self._failure(bearer, answer)
            except httpx.HTTPError as error:
                problem = away(error)
            if not _again(problem) or attempt >= self._attempts:
                raise problem
            await self._wait(attempt)

    async def _repeated(
        self,
        bearer: Bearer,
        method: str,
        url: str,
        given: dict[str, str],
        *,
        body: bytes | None = None,
        limit: int = MOST_ANSWER,
    ) -> GitHubAnswer:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._place(bearer.user), asyncio.timeout(ANSWER_S):
                    return await self._once(bearer, method, url, given, body, limit)
            except (httpx.HTTPError, TimeoutError, GitHubBusy) as error:
                problem = error if isinstance(error, GitHubBusy) else away(error)
                safe = method == "GET" or isinstance(error, _NOT_SENT)
                if not safe or not _again(problem) or attempt >= self._attempts:
                    raise problem from None
            await self._wait(attempt)

    async def _once(
        self,
        bearer: Bearer,
        method: str,
        url: str,
        given: dict[str, str],
        body: bytes | None,
        limit: int,
    ) -> GitHubAnswer:
        async with contextlib.AsyncExitStack() as stack:
            answer = await self._redirected(stack, bearer, method, url, given, body=body)
            status = answer.status_code
            if status == 304 and "If-None-Match" in given:
                return GitHubAnswer(status, answer.headers, b"")
            if not 200 <= status < 300:
                raise await self._failure(bearer, answer)
            data = await _beginning(answer, limit + 1)
            if len(data) > limit:
                raise too_large(limit)
            return GitHubAnswer(status, answer.headers, data)

    async def _redirected(
        self,
        stack: contextlib.AsyncExitStack,
        bearer: Bearer,
        method: str,
        url: str,
        given: dict[str, str],
        *,
        body: bytes | None = None,
        downloads: int = 0,
    ) -> httpx.Response:
        """The answer as it begins, after redirects. Elsewhere than the API no token is shown."""
        self._check_limit(bearer)
        client = self._client(downloads)
        api = httpx.URL(self.url)
        for _ in range(MOST_REDIRECTS + 1):
            headers = {"User-Agent": "metamcp", **given}
            if httpx.URL(url).host == api.host:
                headers["Authorization"] = f"Bearer {bearer.token}"
                headers["X-GitHub-Api-Version"] = API_VERSION
            answer = await stack.enter_async_context(
                client.stream(method, url, headers=headers, content=body)
            )
            if answer.status_code not in MOVED:
                return answer
            location = answer.headers.get("location", "")
            await answer.aclose()
            url = followed(url, location, downloads=bool(downloads))
        raise GitHubError(f"GitHub redirects more than {MOST_REDIRECTS} times")

    @contextlib.asynccontextmanager
    async def _place(self, user: str) -> AsyncGenerator[None]:
        """Wait for one of this user's places, so that others keep theirs."""
        self._asking[user] += 1
        place = self._places.setdefault(user, asyncio.Semaphore(MOST_REQUESTS_EACH))
        try:
            async with place:
                yield
        finally:
            self._asking[user] -= 1
            if not self._asking[user]:
                del self._asking[user], self._places[user]

    @contextlib.contextmanager
    def _download_place(self, user: str) -> Generator[None]:
        """Raises GitHubLimited: a download may take minutes, and nobody waits that long for it."""
        if self._downloading[user] >= MOST_DOWNLOADS_EACH:
            text = f"{MOST_DOWNLOADS_EACH} of your downloads from GitHub are under way: let one end"
            raise GitHubLimited(text, AFTER_DOWNLOADS_S)
        self._downloading[user] += 1
        try:
            yield
        finally:
            self._downloading[user] -= 1
            if not self._downloading[user]:
                del self._downloading[user]

    async def _failure(self, bearer: Bearer, answer: httpx.Response) -> GitHubError:
        body = await _beginning(answer, MOST_FAILURE)
        error = failed(answer.status_code, answer.headers, body, time.time())
        if isinstance(error, GitHubLimited):
            self._limited[bearer] = time.monotonic() + error.wait_s
            self._limited.move_to_end(bearer)
            if len(self._limited) > MOST_LIMITED:
                self._limited.popitem(last=False)
        return error

    def _check_limit(self, bearer: Bearer) -> None:
        """Raises GitHubLimited while GitHub wants to hear nothing of this account."""
        until = self._limited.get(bearer, 0.0)
        if (wait_s := until - time.monotonic()) > 0:
            raise limited(wait_s)
        self._limited.pop(bearer, None)

    async def _wait(self, attempt: int) -> None:
        wait_s = delay(attempt, self._first_wait_s, _LONGEST_WAIT_S, random.random())
        await asyncio.sleep(wait_s)

    def _client(self, downloads: int) -> httpx.AsyncClient:
        if downloads not in self._clients:
            self._clients[downloads] = httpx.AsyncClient(
                timeout=httpx.Timeout(QUIET_S if downloads else ANSWER_S, connect=CONNECT_S),
                limits=httpx.Limits(max_connections=downloads or MOST_REQUESTS),
                follow_redirects=False,
            )
        return self._clients[downloads]


def away(error: BaseException) -> GitHubBusy:
    """Say that there was no answer, without where it was looked for."""
    return GitHubBusy(f"GitHub can't be reached: {type(error).__name__}")


def too_large(limit: int) -> GitHubTooLarge:
    """Say that more came than is taken."""
    return GitHubTooLarge(f"this has more than the {limit} bytes that are taken from GitHub")


def _again(problem: BaseException) -> bool:
    """Whether another try a moment later may help; a limit is not over so soon."""
    return type(problem) is GitHubBusy


async def _beginning(answer: httpx.Response, limit: int) -> bytes:
    """At most so many bytes, after decompression."""
    data = bytearray()
    async for part in answer.aiter_bytes():
        data += part
        if len(data) >= limit:
            break
    return bytes(data[:limit])


def _length(headers: Mapping[str, str]) -> int:
    given = headers.get("content-length", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 16 else 0
