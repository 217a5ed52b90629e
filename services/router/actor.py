"""The router's shell: follows the log, holds the lease, and has appended what the plan decides.

Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from contracts import subjects
from contracts.facts import LogRouter, Record
from contracts.restored import Restored, RestoredRequest
from contracts.wire import Beat
from services.log.clock import LogClock, Moment
from services.log.port import AlreadyRecorded, Batch, Log, LogUnavailable
from services.log.projection import Change, Projection, project
from services.process import telemetry
from services.process.ids import new_id
from services.process.supervisor import Supervisor
from services.process.timeouts import timeout
from services.router.appends import Appends, Reign
from services.router.beats import LOOK_S, Beats
from services.router.domain import State, evolve, initial
from services.router.plan import TermPlan
from services.router.projection import load, rows
from services.router.restored import OpenAgain
from services.router.settings import Settings
from services.router.state import Changes
from services.store.lease import Lease, LeaseLost
from services.store.stream import StoreError

LEASE = "router"
ROUND = 256
"""Facts decided at once."""
STOP_S = 3.0
"""How long a clean end waits, first for facts on their way, then for the lease to be given up."""
ROWS_S = 1.0
"""How long its rows wait for others: nobody reads them, and most tasks are over by then."""
DECISION_S = 1.0
"""How often a router that waits for the operator looks whether there is anything to wait for."""
MOST_PENDING = 4096
"""Facts decided and not folded yet; beyond that the router waits for the log."""

log = telemetry.get_logger()
_beat = msgspec.json.Decoder(Beat)


class LeaseHolder(Protocol):
    """What the router needs of `services.store.lease.Leases`."""

    async def acquire(self, name: str, holder: str, ttl: int) -> Lease | None:
        """Take a free lease; None if another holds it. Raises StoreError."""

    async def renew(self, lease: Lease) -> Lease:
        """Start its time anew. Raises LeaseLost or StoreError."""

    async def release(self, lease: Lease) -> None:
        """Give it up at once. Raises StoreError."""


class Writer(msgspec.Struct, frozen=True):
    """Who writes: the instance stands in the facts, the incarnation holds the lease."""

    instance: str
    incarnation: str


class Router:
    """One router, active or standing by. `run` until cancelled; `stop` first for a clean end."""

    def __init__(
        self,
        log_: Log,
        projection: Projection,
        leases: LeaseHolder,
        settings: Settings,
        who: Writer,
        standing: OpenAgain,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log_
        self._projection = projection
        self._leases = leases
        self._settings = settings
        self._who = who
        self._standing = standing
        self._mono = mono
        self._state = initial()
        self._unwritten = Changes()
        self.beats = Beats(settings.lost_after_s)
        self._clock: LogClock | None = None
        """Kept over terms, because it remembers jumps."""
        self._steady = False  # Caught up and not cut off since: what comes is new.
        self.plan: TermPlan | None = None
        self._lease_until = 0.0
        self._wake = asyncio.Event()
        self._folded = asyncio.Event()
        self._live = asyncio.Event()
        self._deposed = asyncio.Event()
        self._unleased = asyncio.Event()
        self._unleased.set()
        self._stopping = False
        reign = Reign(lambda plan: self.plan is plan, self._depose, self.moment, self._wake.set)
        self._appends = Appends(log_, reign, who.instance)
        self._supervisor = Supervisor("router")

    @property
    def state(self) -> State:
        """The fold of the log, for those who only look."""
        return self._state

    @property
    def active(self) -> bool:
        """Whether this router decides."""
        return self.plan is not None

    def status(self) -> dict[str, object]:
        """Return what an operator asks first."""
        plan, state = self.plan, self._state
        return {
            "instance": self._who.instance,
            "active": plan is not None,
            "term": state.term,
            "position": state.seq,
            "open": len(state.tasks),
            "in_flight": state.flights.total,
            "queued": plan.waiting if plan else None,
            "unread": sum(task.unread for task in state.tasks.values()),
        }

    async def run(self) -> None:
        """Follow, stand by or decide, for ever. Raises Escalated when a part keeps failing."""
        self._supervisor.start("follow", self._follow)
        self._supervisor.start("lead", self._lead)
        self._supervisor.start("decide", self._decide)
        await self._supervisor.run()

    async def stop(self) -> None:
        """Decide no more, wait for what is being appended, and give the lease up."""
        self._stopping = True
        self._deposed.set()
        self._wake.set()
        await self._appends.wait(STOP_S)
        with contextlib.suppress(TimeoutError):
            async with timeout(STOP_S):
                await self._unleased.wait()

    def poke(self) -> None:
        """Look at the clock again now."""
        self._wake.set()

    def hear(self, payload: bytes) -> None:
        """Take a heartbeat from the wire; what is not one is ignored."""
        try:
            beat = _beat.decode(payload)
        except msgspec.MsgspecError:
            return
        if self.beats.hear(beat, self._mono()):
            self._wake.set()

    def listen(self) -> None:
        """From now on every heartbeat is heard."""
        self.beats.listen(self._mono())

    def deafen(self) -> None:
        """The connection is cut: heartbeats may be missed, and what comes next may be old."""
        self.beats.deafen()
        self._steady = False

    def restored(self, request: RestoredRequest) -> Restored:
        """Say what a log that was put back would have run again; take the decision, if one is
        given. Raises OSError."""
        if request.decision is not None:
            self._standing.decide(request.decision)
        # Before the log is read there is nothing to be said of its tasks.
        return self._standing.answer(self._state) if self._live.is_set() else Restored()

    async def _follow(self) -> None:
        await project(
            self._log,
            self._projection,
            (">",),
            self._apply,
            load=self._load,
            on_batch=self._noticed,
            on_mismatch=self._remember,
            on_reset=self._reset,
            gather_s=ROWS_S,
        )

    async def _load(self) -> None:
        self._state = await load(self._projection)
        self._unwritten = Changes()
        self._depose()
        log.info("router_ready", position=self._projection.position)

    def _apply(self, records: list[Record]) -> list[Change]:
        """The rows of everything touched since the last time, as the state has it now."""
        unwritten, self._unwritten = self._unwritten, Changes()
        return rows(self._state, unwritten)

    def _noticed(self, batch: Batch) -> None:
        state = self._state
        for record in batch.records:
            evolve(state, record)
        changes = state.take_changes()
        self._unwritten.add(changes)
        state.seq = max(state.seq, batch.through)
        if batch.live:
            self._live.set()
        if self.plan is not None and self.plan.over:
            self._depose()
        jumped = self._read_clock(batch)
        if self.plan is not None and batch.records:
            moment = self.moment()
            if jumped:
                log.warning("log_clock_jumped", seq=batch.through)
                self.plan.begin(moment)
            self.plan.notice(changes, moment)
            self._wake.set()
        self._steady = self._steady or batch.live
        self._folded.set()

    def _read_clock(self, batch: Batch) -> bool:
        """Take note of the log's time; True if its clock has jumped."""
        if not batch.live or not batch.records:
            return False
        facts = [(record.seq, record.at) for record in batch.records]
        if self._clock is not None:
            return self._clock.observe(facts, self._mono())
        if self._steady:
            self._clock = LogClock(facts[-1][1], self._mono())
        return False

    def _remember(self) -> None:
        self._standing.remember(self._state)

    def _reset(self) -> None:
        self._state, self._unwritten = initial(), Changes()
        self._live.clear()
        self._clock, self._steady = None, False
        self._depose()

    def _depose(self) -> None:
        """Stop deciding; whoever holds the lease next begins a new term."""
        self.plan = None
        self._deposed.set()

    async def _lead(self) -> None:
        while True:
            await self._live.wait()
            self._deposed.clear()
            if self._stopping:
                return
            if not await self._decided():
                await self._deposed_within(DECISION_S)
                continue
            self._unleased.clear()
            try:
                lease = await self._acquire()
                reigned = lease is not None and await self._reign(lease)
            finally:
                self._unleased.set()
            if not reigned:
                await self._deposed_within(self._settings.lease_ttl_s / 4)

    async def _acquire(self) -> Lease | None:
        began = self._mono()
        try:
            lease = await self._leases.acquire(
                LEASE, self._who.incarnation, self._settings.lease_ttl_s
            )
        except StoreError as error:
            log.warning("router_lease_unknown", error=str(error))
            return None
        self._lease_until = began + self._settings.lease_ttl_s
        return lease

    async def _reign(self, lease: Lease) -> bool:
        """Begin a term and keep the lease until it is lost or somebody else has begun one.

        False when no term could be begun because the log does not answer.
        """
        try:
            async with asyncio.timeout(self._settings.lease_ttl_s):
                await self._begin_term()
            while not await self._deposed_within(self._settings.lease_ttl_s / 4):
                lease = await self._renew(lease)
        except (TimeoutError, LeaseLost, AlreadyRecorded) as error:
            log.warning("router_lost_its_term", error=repr(error))
        except LogUnavailable as error:
            log.warning("router_began_no_term", error=str(error))
            return False
        finally:
            self.plan = None
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(self._settings.lease_ttl_s):
                    await self._leases.release(lease)
            log.info("router_standing_by", term=self._state.term)
        return True

    async def _renew(self, lease: Lease) -> Lease:
        """Renew; as long as the lease would still hold, a store that does not answer is no loss."""
        began = self._mono()
        try:
            async with asyncio.timeout(max(0.0, self._lease_until - began)):
                lease = await self._leases.renew(lease)
        except LeaseLost:
            raise
        except StoreError as error:
            if self._mono() >= self._lease_until:
                raise LeaseLost(str(error)) from error
        else:
            self._lease_until = began + self._settings.lease_ttl_s
        return lease

    async def _decided(self) -> bool:
        """Whether the operator has decided about a log that was put back, if there is anything to
        decide; what is to be ended has ended then.

        That comes before the lease, by which executors know that they may take up what was routed.
        """
        if self._standing.waits(self._state):
            return False
        return await self._standing.end(self._log, self._state, self._who.instance, self._fold)

    async def _fold(self, seq: int) -> None:
        while self._state.seq < seq:
            self._folded.clear()
            await self._folded.wait()

    async def _begin_term(self) -> None:
        """Append the next `log.router` and fold through it: then nothing older can be missing."""
        last = await self._log.last(subjects.ROUTERS)
        term = subjects.parse(last.subject).number + 1 if last else 1
        fact = LogRouter(id=new_id(), by=self._who.instance, term=term)
        seq = await self._log.append(fact)
        mono = self._mono()
        record = await self._log.at(seq)
        await self._fold(seq)
        if record is None or self._state.term_seq != seq or self._deposed.is_set():
            raise LeaseLost(f"term {term} was over before it began")
        self._clock = self._clock or LogClock(record.at, mono)
        self.plan = TermPlan(self._state, self._settings, self._clock, self._who.instance, new_id)
        self.plan.begin(self.moment())
        log.info("router_active", term=term, open_tasks=len(self._state.tasks))
        self._wake.set()

    async def _deposed_within(self, seconds: float) -> bool:
        """Wait, less if the term is over or the router stops; True then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._deposed.wait()
        return self._deposed.is_set()

    async def _decide(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping:
            self._wake.clear()
            if self._round():
                await asyncio.sleep(0)
                continue
            alarm = loop.call_later(self._sleep_s(), self._wake.set)
            try:
                await self._wake.wait()
            finally:
                alarm.cancel()

    def _round(self) -> bool:
        """Decide once and append it on the side; True if there may be more to decide at once."""
        self.beats.look(self._mono())
        plan = self.plan
        if plan is None or self._mono() >= self._lease_until:
            return False
        room = min(ROUND, MOST_PENDING - plan.pending)
        decisions = plan.decide(self.moment(), self.beats, room) if room > 0 else []
        if decisions:
            self._appends.start(plan, decisions)
        return bool(decisions) and len(decisions) == room

    def _sleep_s(self) -> float:
        if self.plan is None:
            return LOOK_S
        seconds = self.plan.sleep_s(self.moment(), self.beats)
        return LOOK_S if seconds is None else min(seconds, LOOK_S)

    def moment(self) -> Moment:
        """This instant, for whoever has a plan."""
        assert self._clock is not None, "whoever has a plan has a clock"
        return self._clock.moment(self._mono())
