"""One gateway: everything behind the listening socket, and how it follows the log."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from contracts import subjects
from contracts.budget import DEFAULT, Budget
from contracts.in_force import SettingInForce, SettingsAnswer
from services.bus.bus import Bus
from services.gateway import lists
from services.gateway import projection as tables
from services.gateway.access.admission import Admission
from services.gateway.access.identity import FileIdentity, Identities, Identity, Principal
from services.gateway.access.limits import Exchange, RateLimit
from services.gateway.access.reserve import Reserve
from services.gateway.access.tickets import Tickets
from services.gateway.access.tokens import Tokens
from services.gateway.actor import Desk
from services.gateway.app import Gateway
from services.gateway.bulk.batches import Batches, batch_of
from services.gateway.bulk.operations import Operations
from services.gateway.bulk.steps import StepTools
from services.gateway.hostauth.build import host_links
from services.gateway.http import routes
from services.gateway.http.events import EventStreams
from services.gateway.http.github import FileWrites
from services.gateway.http.linking import Linking
from services.gateway.http.parts import Parts
from services.gateway.mcp.door import McpDoor
from services.gateway.oauth.doors import doors_of
from services.gateway.oauth.server import OAuth
from services.gateway.peers import asked
from services.gateway.peers.asked import Others
from services.gateway.peers.checks import Checks, Executors
from services.gateway.peers.host_logs import HostLogs
from services.gateway.peers.queues import Queues
from services.gateway.people.access_log import AccessLog
from services.gateway.people.console_links import ConsoleLinks
from services.gateway.people.devices import Devices
from services.gateway.people.entrance import Entrance
from services.gateway.people.keys import SignInKeys
from services.gateway.people.load import ProjectGate
from services.gateway.people.passwords import Passwords
from services.gateway.people.profiles import Profiles
from services.gateway.people.projects import Projects
from services.gateway.people.providers.build import own_origin, sign_in_door
from services.gateway.people.providers.door import SignInDoor
from services.gateway.people.quotas import Quotas
from services.gateway.people.signins import SignedIn, is_secure, lifetimes
from services.gateway.people.state import PeopleState
from services.gateway.people.trail import Trail, TrailWriter
from services.gateway.people.users import Users
from services.gateway.settings import Settings
from services.gateway.sources.repack import ArchiveLimits
from services.gateway.sources.repository import RepositoryFiles
from services.gateway.stream.connection import RESET, RESTART, Streams
from services.gateway.stream.feed import Feed
from services.gateway.stream.history import BatchOf, History
from services.gateway.stream.waits import WaitTeller
from services.github.site import GitHubSite
from services.huggingface.hub import Hub
from services.keys.accounts import Accounts
from services.keys.vault import KeyFile
from services.log.port import Batch, Log
from services.log.projection import Projection, project
from services.outside.addresses import SPACES
from services.store.blobs import Blobs
from services.store.kv import Bucket
from services.store.stream import Stream

EVERYTHING = (">",)
ROWS_S = 1.0
"""How long rows wait for others; lists that are asked for have them written at once."""


class Site:
    """One gateway: everything behind the listening socket."""

    def __init__(
        self,
        bus: Bus,
        log_: Log,
        projection: Projection,
        known: Identity,
        key: KeyFile,
        hub: Hub,
        settings: Settings,
        instance: str = "gateway-1",
        *,
        spaces: str = SPACES,
        budget: Budget = DEFAULT,
        reserve: Reserve | None = None,
        allow_private: bool = False,
        told: tuple[SettingInForce, ...] = (),
        data: Path | None = None,
    ) -> None:
        """`known`: whose tokens are that were not issued; `key`: seals linked accounts; `spaces`:
        address of a Space; `budget`: of users, as far as all services share it; `told`: all
        settings; `data`: where the list of publishers is.
        """
        state = PeopleState(Bucket(bus, subjects.ACCOUNTS_BUCKET))
        budget_of = Quotas(state, _whole(budget, settings))
        self.log, self.projection, self.settings = log_, projection, settings
        self.feed = Feed(facts=settings.recent_facts, size=settings.recent_bytes)
        window_s, now = settings.rate_limit_window_s, log_.now
        frames = RateLimit(budget.frames, window_s)
        self.admission = Admission(budget_of, frames, reserve, now, counted=False)
        blobs, gate = _blobs(bus, settings, budget_of), ProjectGate(Projects(state), now)
        self.desk = Desk(log_, blobs, instance, self.admission, gate=gate)
        self.operations = Operations(StepTools(log_, self.desk, projection, instance), now)
        known_parts = (bus, log_, self.desk, self.feed, projection, settings, instance, key)
        self.parts = _parts(*known_parts, state, budget_of, told, data)
        self.writer = TrailWriter(self.parts.trail, Stream(bus, subjects.ACCESS_STREAM))
        self.known = _known(self.parts, known)
        self.limit = RateLimit(settings.rate_limit_requests, window_s)
        history = _history(log_, self.feed, settings, budget_of, partial(batch_of, projection))
        self.sign_in_door, self.linking = _doors(self.parts, bus, key, known, hub, spaces)
        self.oauth = _oauth(self.parts, key, self.sign_in_door)
        self.host_links = host_links(self.parts, key, self.address, allow_private=allow_private)
        others = {"frames": frames, "registrations": self.oauth.clients.limit}
        self.exchange = Exchange(self.limit, Bucket(bus, subjects.LIMITS_BUCKET), **others)
        whose, holds, epoch = self.authenticate, self.holds, log_.epoch
        self.parts.access.holds = holds
        self.streams = Streams(self.feed, history, self.desk, whose, holds, settings, epoch)
        self.event_streams = EventStreams(history, budget_of, holds)
        self.door = McpDoor(self.parts, budget_of, holds, key)
        self._end_with_rights()
        self.app = self._application()

    def _end_with_rights(self) -> None:
        """Whatever is open ends when the token or the session is gone that it was opened with."""
        for gone in (self.parts.tokens.on_gone, self.parts.signed_in.on_gone, self.oauth.on_gone):
            gone += [self.streams.revoke, self.event_streams.revoke, self.door.revoke]

    def _files_limits(self) -> ArchiveLimits:
        """What of a repository may come with one task."""
        task = self.parts.executors.limits()
        return ArchiveLimits(task.files, task.files_bytes, self.settings.blob_limit)

    def _application(self) -> Gateway:
        self.desk.files = RepositoryFiles(self.linking.github, self._files_limits)
        behind = routes.Behind(
            *(self.parts, self.event_streams, self.linking, self.sign_in_door, self.oauth),
            *(FileWrites(), lambda: len(self.streams.connections), self.host_links),
            *(Batches(self.desk, self.log, self.projection), self.operations),
        )
        settings, trail = self.settings, self.parts.trail
        signed_in = self.parts.signed_in
        app = Gateway(
            *(routes.Routes(behind), self.door, self.streams, self.authenticate),
            *(signed_in, self.limit),
            (*settings.allowed_origins, *own_origin(settings)),
            *(trail, self.oauth),
        )
        signed_in.origins = app.origins
        return app

    def address(self) -> str:
        """By which others know this installation; empty while nobody has said."""
        return "" if self.oauth.at is None else self.oauth.at.issuer

    async def authenticate(self, token: str) -> Principal | None:
        """Return whose a token or a one-time ticket is. Raises StoreError: not known now."""
        if principal := await self.parts.tickets.take(token):
            return principal if self.holds(principal) else None
        if principal := self.known.of(token):
            return principal
        if principal := await self.oauth.whose(token):
            return principal
        # Another gateway may have issued it a moment ago.
        await self.parts.tokens.look_for(token)
        await self.parts.signed_in.look_for(token)
        return self.known.of(token)

    def holds(self, principal: Principal) -> bool:
        """Whether what was shown is still good."""
        return self.known.holds(principal) or self.oauth.holds(principal)

    async def follow(self) -> None:
        """Fill the feed and the tables from the log, for ever."""
        await project(
            self.log,
            self.projection,
            EVERYTHING,
            tables.apply,
            load=self._load,
            on_batch=self._on_batch,
            on_reset=self._reset,
            gather_s=ROWS_S,
        )

    async def _load(self) -> None:
        """Begin with what the tables hold; nothing is taken over before all of it is read."""
        view = self.projection
        owners, hosts = await tables.owners(view), await tables.list_hosts(view, "", every=True)
        open_, spent = await tables.open_tasks(view), await tables.spent(view)
        in_projects = await lists.open_in_projects(view), await lists.today_in_projects(view)
        self.feed.owners.update(owners)
        self.door.catalogue.restore(hosts)
        self.feed.begin(view.position, view.checkpoint.fact_id)
        self.admission.use.restore(open_, spent)
        self.desk.gate.counts.restore(*in_projects)
        self.admission.counted = True

    def _on_batch(self, batch: Batch) -> None:
        # Before whoever waits for a task's end hears of it: there is room again.
        self.admission.use.fold(batch.records)
        self.operations.fold(batch.records)
        self.parts.trail.fold(batch.records, self.log.now())
        self.desk.gate.counts.fold(batch.records)
        self.door.catalogue.fold(batch.records)
        self.feed.publish(batch)
        if batch.live and not self.admission.counted:
            self.admission.counted = True
            self.door.catalogue.ready.set()

    def _reset(self) -> None:
        self.feed.reset()
        self.admission.counted = False
        self.admission.use.reset()
        self.desk.gate.counts.reset()
        self.door.catalogue.reset()
        if self.streams.epoch == self.log.epoch:
            self.streams.shut_all(RESTART, "the gateway reads the log anew: reconnect and resume")
        else:
            self.streams.epoch = self.log.epoch
            self.streams.shut_all(RESET, "the log is another one: start over")
        self.event_streams.end_all()


def _history(
    log_: Log, feed: Feed, settings: Settings, quotas: Quotas, batch_of: BatchOf
) -> History:
    known = (settings.history_readers, settings.queue_bytes)
    return History(log_, feed, *known, quotas, batch_of)


def _blobs(bus: Bus, settings: Settings, quotas: Quotas) -> Blobs:
    return Blobs(bus, limit=settings.blob_limit, budget_of=quotas)


def _count(parts: Parts) -> None:
    """Tell the quotas who counts what they bound."""
    quotas, signed_in = parts.quotas, parts.signed_in
    quotas.count_with("tokens", parts.tokens.count)
    quotas.count_with("sign_ins", lambda user: len(signed_in.of_user(user)))
    signed_in.most = lambda user: quotas(user).sign_ins


def _whole(budget: Budget, settings: Settings) -> Budget:
    """All budgets of a user; those of hosts are the registry's."""
    return msgspec.structs.replace(
        budget,
        requests=settings.rate_limit_requests,
        websockets=settings.max_user_connections,
    )


def _known(parts: Parts, known: Identity) -> Identities:
    """Everybody who can be known; what an account may not, its tokens may not either."""
    _count(parts)
    parts.tokens.account = parts.users.account
    own = known.of_digest if isinstance(known, FileIdentity) else lambda token: None
    parts.signed_in.of_token = lambda token: parts.tokens.of_id(token) or own(token)
    parts.tokens.on_gone.append(parts.signed_in.end_with)
    parts.users.on_less.append(parts.tokens.less)
    return Identities(parts.tokens, parts.signed_in, known, barred=parts.users.barred)


def _oauth(parts: Parts, key: KeyFile, door: SignInDoor) -> OAuth:
    """Clients that act for people; what an account may not, they may not either."""
    doors = doors_of(door, parts.entrance)
    found = OAuth(parts.state, parts.trail, key, parts.settings, doors)
    parts.users.on_less.append(found.less)
    return found


def _doors(
    parts: Parts, bus: Bus, key: KeyFile, known: Identity, hub: Hub, spaces: str
) -> tuple[SignInDoor, Linking]:
    """What people have elsewhere: to come in with, and to work with."""
    settings, accounts = parts.settings, Accounts(bus, key)
    door = sign_in_door(parts, accounts, known)
    github, kit = GitHubSite(settings.github_url), settings.space_kit
    linking = Linking(accounts, hub, parts.others, github=github, kit=kit, spaces=spaces)
    linking.kept = door.kept
    return door, linking


def _parts(
    bus: Bus,
    log_: Log,
    desk: Desk,
    feed: Feed,
    projection: Projection,
    settings: Settings,
    instance: str,
    key: KeyFile,
    state: PeopleState,
    quotas: Quotas,
    told: tuple[SettingInForce, ...],
    data: Path | None,
) -> Parts:
    trail = Trail(instance)
    users = Users(state, trail)
    signed_in = SignedIn(
        *(state, users, SignInKeys(state, key), trail, lifetimes(settings)),
        secure=is_secure(settings.public_url, settings.tls_cert is not None),
    )
    return Parts(
        log=log_,
        desk=desk,
        feed=feed,
        waits=WaitTeller(desk, projection, feed),
        projection=projection,
        settings=settings,
        tickets=Tickets(Bucket(bus, subjects.TICKETS_BUCKET)),
        tokens=Tokens(Bucket(bus, subjects.TOKENS_BUCKET)),
        host_logs=HostLogs(bus),
        others=Others(asked.over(bus)),
        checks=Checks(log_, bus),
        executors=Executors(),
        queues=Queues(bus),
        state=state,
        trail=trail,
        access=AccessLog(Stream(bus, subjects.ACCESS_STREAM)),
        quotas=quotas,
        users=users,
        signed_in=signed_in,
        entrance=Entrance(state, users, signed_in, Passwords(), trail),
        projects=desk.gate.projects,
        profiles=Profiles(state, desk.gate.projects, log_.now),
        devices=Devices(state, users, signed_in, trail),
        console_links=ConsoleLinks(state, users, signed_in, trail),
        in_force=SettingsAnswer(instance, told),
        data=data,
    )
