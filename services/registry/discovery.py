"""Looks for MCP servers among the Spaces of users with a linked account, again and again.

Trouble at Hugging Face removes nothing: what is known stands until a look says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
import msgspec
import structlog

from contracts import ids
from contracts.account import Account, Provider
from contracts.errors import Reason, Rejected
from contracts.host import SPACE, Execute, HealthStatus, Host, StreamableHttp
from contracts.wire import Discovered, SpaceSeen
from services.huggingface.hub import HubDenied, HubError
from services.huggingface.spaces import Space, Spaces
from services.keys.accounts import Accounts
from services.keys.vault import VaultError
from services.outside import addresses
from services.outside.site import HttpSite
from services.registry import changes, domain, spaces
from services.registry.actor import Registry
from services.registry.changes import Offered
from services.registry.domain import Held
from services.registry.manifests.manifest import ManifestError
from services.registry.manifests.space import MOST_BYTES, gradio_host, names, space_host
from services.registry.manifests.space import SpaceOrigin as Found
from services.registry.probes.base import Reach
from services.registry.settings import Settings
from services.store.blobs import StoreError

TICK_S = 30.0
"""How often it is seen who has linked an account."""
RETRY_S = 60.0
ASK_S = 20.0
"""Limit for reading one Space's `mcp.json`."""
MOST_READ = 20_000
"""Spaces whose descriptions are remembered."""
MOST_SOURCE = 64 * 1024
"""Bytes of a kit's `permit.py`, which says which permits it takes."""
UNLINKED = "the account was unlinked"
NO_ADDRESS = (
    "Hugging Face does not say at which address it serves this private Space, and your token is"
    " sent to no address that is only guessed"
)

log = structlog.get_logger()


class _Read(NamedTuple):
    """What a Space's description said, at a revision and in a state."""

    sha: str
    runs: bool
    whose: Found
    host: Host | None
    problem: str = ""
    kit: int = 0
    """Which permits its kit takes; 0: it is no kit."""


class _Said(msgspec.Struct):
    """What an app says about its kit."""

    kit: int = 0


class SpaceDiscovery:
    """`run` it; `discover` is for users who ask."""

    def __init__(
        self,
        registry: Registry,
        accounts: Accounts,
        hub_spaces: Spaces,
        reach: Reach,
        settings: Settings,
    ) -> None:
        self._registry = registry
        self._accounts = accounts
        self._spaces = hub_spaces
        self._reach = reach
        self._interval_s = settings.discover_s
        self._places = asyncio.Semaphore(settings.discover_at_once)
        self._due: dict[str, float] = {}
        self._looks: dict[str, asyncio.Task[Discovered]] = {}
        self._read: dict[str, _Read] = {}
        self._held: dict[str, Mapping[str, Held]] = {}

    async def run(self) -> None:
        """Look at everybody's Spaces, each at a time of its own, for ever."""
        await self._registry.watching.wait()
        while True:
            try:
                await self._tick()
            except (StoreError, VaultError) as error:
                log.warning("accounts_not_read", error=str(error))
            await asyncio.sleep(min(TICK_S, self._interval_s))

    async def discover(self, user: str) -> Discovered:
        """Look at one user's Spaces now. Raises Rejected."""
        try:
            return await asyncio.shield(self._look(user))
        except HubDenied as error:
            raise Rejected(Reason.FORBIDDEN, str(error)) from None
        except HubError as error:
            raise Rejected(Reason.UNAVAILABLE, str(error)) from None
        except (StoreError, VaultError) as error:
            log.warning("account_not_read", user=user, error=str(error))
            raise Rejected(Reason.UNAVAILABLE, "the account can't be asked now") from None

    async def close(self) -> None:
        """End what is under way."""
        for task in self._looks.values():
            task.cancel()
        if self._looks:
            await asyncio.wait(self._looks.values())

    async def _tick(self) -> None:
        linked = await self._accounts.linked(Provider.HUGGINGFACE)
        owners = {
            known.spec.owner
            for known in self._registry.hosts.values()
            if known.spec is not None and known.spec.source == SPACE and known.spec.owner
        }
        now = time.monotonic()
        for user in linked.keys() | owners:
            # Of those who are new here, each at a time of its own: hundreds are no herd.
            spread = domain.share(user) * min(TICK_S, self._interval_s)
            if self._due.setdefault(user, now + spread) <= now:
                self._look(user)
        for user in self._due.keys() - linked.keys() - owners:
            del self._due[user]

    def _look(self, user: str) -> asyncio.Task[Discovered]:
        """Begin a look, or join the one that is under way."""
        task = self._looks.get(user)
        if task is None:
            task = self._looks[user] = asyncio.create_task(self._at(user))
            task.add_done_callback(lambda done: self._ended(user, done))
        return task

    def _ended(self, user: str, task: asyncio.Task[Discovered]) -> None:
        del self._looks[user]
        failed = not task.cancelled() and task.exception() is not None
        share = 1 + 0.2 * (domain.share(user) - 0.5)
        wait = RETRY_S if failed else self._interval_s * share
        self._due[user] = time.monotonic() + min(wait, self._interval_s * share)

    async def _at(self, user: str) -> Discovered:
        async with self._places:
            opened = await self._accounts.open(user, Provider.HUGGINGFACE)
            if opened is None:
                await self._registry.record(Offered(user, (), why_gone=UNLINKED))
                self._hold(user, {})
                return Discovered(())
            account, token = opened
            try:
                found = await self._spaces.list(token, account.name)
            except HubDenied as error:
                self._hold(user, self._refused(user))
                log.warning("spaces_not_listed", user=user, error=str(error))
                raise
            except HubError as error:
                log.warning("spaces_not_listed", user=user, error=str(error))
                raise
            return await self._take(user, account, token, found)

    async def _take(
        self, user: str, account: Account, token: str, found: list[Space]
    ) -> Discovered:
        """Bring the registry in line with what was found."""
        found = [space for space in found if spaces.is_candidate(space)]
        called = names((space.repo for space in found), self._called(user))
        hosts: dict[str, Host] = {}
        keep: set[str] = set()
        held: dict[str, Held] = {}
        seen: list[SpaceSeen] = []
        for space in found:
            read = await self._described(user, token, space, called[space.repo])
            id_ = ids.host_id(user, called[space.repo])
            problem = read.problem
            if read.host is not None:
                hosts[id_] = read.host
            elif not read.sha:
                keep.add(id_)
            if (why := spaces.outdated(space, read.kit)) is not None:
                problem = problem or why.reason
            if (why := why or spaces.held(space)) is not None:
                held[id_] = why
            seen.append(SpaceSeen(space.repo, space.stage, id_ if read.host else "", problem))
        await self._registry.record(Offered(user, tuple(hosts.values()), frozenset(keep)))
        self._hold(user, held)
        barred = changes.clashes(self._registry.hosts, user, hosts.values())
        return Discovered(tuple(_barred(one, barred) for one in seen))

    def _called(self, user: str) -> dict[str, str]:
        """What the hosts of this user's Spaces are called already, by `owner/name`."""
        return {
            spec.endpoint.url.removeprefix("hf://"): ids.split_host(spec.id)[1]
            for spec in self._spaces_of(user)
            if isinstance(spec.endpoint, Execute | StreamableHttp)
        }

    def _spaces_of(self, user: str) -> list[Host]:
        """This user's hosts that are Spaces."""
        specs = (known.spec for known in self._registry.hosts.values())
        return [s for s in specs if s is not None and (s.source, s.owner) == (SPACE, user)]

    async def _described(self, user: str, token: str, space: Space, name: str) -> _Read:
        """What host the Space is; read again only when it has changed."""
        runs = space.stage in spaces.RUNS
        whose = Found(space.repo, user, name, space.private, space.subdomain)
        known = self._read.get(f"{user}/{space.repo}")
        if known is not None and known[:3] == (space.sha, runs, whose):
            return known
        if space.private and not space.subdomain:
            return _Read("", runs, whose, None, NO_ADDRESS)
        try:
            if not spaces.describes_itself(space):
                read = _Read(space.sha, runs, whose, gradio_host(whose))
            else:
                data, where = await self._file(token, space, runs=runs)
                kit = await self._kit(token, space, data)
                # In a thread: its schemas are judged, which takes a while.
                described = await asyncio.to_thread(space_host, data, where, whose)
                read = _Read(space.sha, runs, whose, described, kit=kit)
        except ManifestError as error:
            read = _Read(space.sha, runs, whose, None, str(error))
        except HubError as error:
            # Not what the Space says, but that it can't be asked: what is known stands.
            problem = f"{spaces.MANIFEST_FILE} can't be read now: {error}"
            return _Read("", runs, whose, None, problem)
        if len(self._read) >= MOST_READ:
            self._read.clear()
        self._read[f"{user}/{space.repo}"] = read
        return read

    async def _kit(self, token: str, space: Space, data: bytes) -> int:
        """Which permits the Space's kit takes: as its app says it, else as its source does."""
        if not spaces.is_kit(space):
            return 0
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if (said := msgspec.json.decode(data, type=_Said).kit) > 0:
                return said
        source = await self._spaces.read_file(token, space.repo, "permit.py", MOST_SOURCE)
        return spaces.kit_of((source or b"").decode("utf-8", "replace"))

    async def _file(self, token: str, space: Space, *, runs: bool) -> tuple[bytes, str]:
        """The Space's `mcp.json`: as its app answers it, else as it lies in its repository.

        An app is never asked unless it runs: that would wake it.
        """
        if runs and (answered := await self._from_app(token, space)) is not None:
            return answered
        where = f"{space.repo}/{spaces.MANIFEST_FILE}"
        data = await self._spaces.read_file(token, space.repo, spaces.MANIFEST_FILE, MOST_BYTES)
        if data is None:
            raise ManifestError(f"{where}: it is gone, or has more than {MOST_BYTES} bytes")
        return data, where

    async def _from_app(self, token: str, space: Space) -> tuple[bytes, str] | None:
        """What the app answers. Of a private Space the subdomain is the Hub's own, never made up:
        the token goes there."""
        url = addresses.resolve(
            f"hf://{space.repo}", spaces=self._reach.spaces, subdomain=space.subdomain
        )
        site = HttpSite(
            url,
            public_only=not self._reach.allow_private,
            connections=1,
            headers={},
            bearer=token if space.private else None,
        )
        path = f"/{spaces.MANIFEST_FILE}"
        try:
            async with asyncio.timeout(ASK_S):
                page = await site.get(path, MOST_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("space_not_asked", space=space.repo, error=repr(error))
            return None
        finally:
            await site.close()
        return (page.body, url + path) if page.status == 200 else None

    def _refused(self, user: str) -> dict[str, Held]:
        """All of a user's Spaces, when the account's token is accepted no more."""
        advice = "account: Hugging Face does not accept its token: `metamcp link huggingface`"
        why = Held(HealthStatus.UNHEALTHY, advice)
        return {spec.id: why for spec in self._spaces_of(user)}

    def _hold(self, user: str, held: Mapping[str, Held]) -> None:
        """Have this user's Spaces held for these reasons, and no other host whatever its name."""
        own = {spec.id for spec in self._spaces_of(user)}
        held = {id_: why for id_, why in held.items() if id_ in own}
        if held:
            self._held[user] = held
        else:
            self._held.pop(user, None)
        every: dict[str, Held] = {}
        for one in self._held.values():
            every |= one
        self._registry.hold(every)


def _barred(seen: SpaceSeen, barred: Mapping[str, str]) -> SpaceSeen:
    if seen.host not in barred:
        return seen
    return SpaceSeen(seen.space, seen.stage, "", barred[seen.host])
