"""An executor's permit keys: carries out what `rotation` decides, on the files and in the log.

Whoever signs holds `signer`; the key behind it changes by reference.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from contracts import subjects
from contracts.facts import LogKey
from services.executor.permits import rotation
from services.executor.permits.rotation import Key, RotationRules, Seen
from services.executor.settings import Settings
from services.keys.files import KeyFolder, StoredKeys
from services.keys.permits import BadKey, Signer, SigningKey
from services.log.clock import LogClock
from services.log.port import AlreadyRecorded, Log, LogUnavailable
from services.process import telemetry
from services.process.ids import new_id
from services.process.run import Fatal

LOOK_S = 2.0
MOST_STEPS = 10
"""In one turn: a first key takes three, a rotation four."""

log = telemetry.get_logger()


class Keyring:
    """The keys of one data folder. Several executors may share it: they end with the same key."""

    def __init__(self, data: Path, log_: Log, settings: Settings, by: str) -> None:
        self._data = data
        self._folder = KeyFolder(data)
        self._log = log_
        self._by = by
        self._rules = RotationRules(
            settings.permit_algorithm,
            settings.permit_key_days,
            settings.permit_overlap_s,
            # Until it was so once: after that somebody may choose another one by hand.
            insist=True,
        )
        self._clock = LogClock()
        self._complaint = ""
        self._using: SigningKey | None = None
        self.signer: Signer
        """Exists once `open` has returned."""

    async def open(self) -> Signer:
        """Get ready to sign. Raises process.Fatal that says how to mend it, LogUnavailable."""
        try:
            await self.turn()
        except BadKey as error:
            raise Fatal(str(error)) from error
        except OSError as error:
            if self._using is not None:
                # What there is signs; the next key is made when there is room.
                self._complain(str(error))
                return self.signer
            raise Fatal(
                f"The permit key can't be read or written below {self._data}: {error.strerror}.",
                "Check METAMCP_DATA and the rights of that folder.",
            ) from error
        if self._using is None:
            raise Fatal("The permit key could not be announced in the log.", "Start again.")
        return self.signer

    async def run(self, look_s: float = LOOK_S) -> None:
        """Look at the folder for ever; with what can't be done now, the old key goes on signing."""
        while True:
            await asyncio.sleep(look_s)
            try:
                await self.turn()
            except (BadKey, OSError, LogUnavailable) as error:
                self._complain(str(error))

    async def turn(self) -> None:
        """Do all that can be done now, step by step. Raises BadKey, OSError, LogUnavailable."""
        done: rotation.Step | None = None
        for _ in range(MOST_STEPS):
            found = await asyncio.to_thread(self._folder.look)
            step = rotation.decide(await self._seen(found), self._rules)
            # A step that changed nothing is somebody else's to do.
            if step in (rotation.NothingDue(), done):
                break
            await self._do(step, found)
            done = step
        self._complain(found.problem)

    async def _seen(self, found: StoredKeys) -> Seen:
        own = [key for key in (found.signing, found.next) if key is not None]
        newest = await self._log.last(">")
        if newest is not None:
            self._clock.observe([(newest.seq, newest.at)], time.monotonic())
        wanted = [subjects.of(self._fact(key)) for key in own]
        reach = 0 if newest is None else newest.seq
        announced = await self._log.read_last(wanted, reach=reach)
        return Seen(
            signing=_key(found.signing),
            next=_key(found.next),
            using=self._using.kid if self._using is not None else "",
            announced={r.fact.kid: r.at for r in announced if isinstance(r.fact, LogKey)},
            now=self._clock.moment(time.monotonic()).now,
            blocked=bool(found.problem),
        )

    async def _do(self, step: rotation.Step, found: StoredKeys) -> None:
        log.info("permit_key_step", step=type(step).__name__, **msgspec.structs.asdict(step))
        match step:
            case rotation.Create(algorithm):
                await asyncio.to_thread(self._folder.create, algorithm)
            case rotation.Make(algorithm, replaced):
                await asyncio.to_thread(self._folder.make_next, algorithm, replaced)
            case rotation.Promote(kid):
                await asyncio.to_thread(self._folder.promote, kid)
            case rotation.Announce(kid, replaces):
                for key in (found.signing, found.next):
                    if key is not None and key.kid == kid:
                        await self._announce(key, replaces)
            case rotation.Use():
                assert found.signing is not None
                self._use(found.signing)
            case rotation.NothingDue():
                pass

    def _use(self, key: SigningKey) -> None:
        if self._using is None:
            self.signer = Signer(key)
        self._using = self.signer.key = key
        if key.algorithm == self._rules.algorithm:
            self._rules = self._rules._replace(insist=False)

    async def _announce(self, key: SigningKey, replaces: str) -> None:
        try:
            await self._log.append(self._fact(key, replaces))
        except AlreadyRecorded:
            log.debug("key_known", kid=key.kid)

    def _fact(self, key: SigningKey, replaces: str = "") -> LogKey:
        return LogKey(id=new_id(), by=self._by, kid=key.kid, jwk=key.jwk, replaces=replaces)

    def _complain(self, text: str) -> None:
        """Say what is wrong, once."""
        if text and text != self._complaint:
            log.warning("permit_key_not_changed", error=text)
        self._complaint = text


def _key(key: SigningKey | None) -> Key | None:
    return Key(key.kid, key.algorithm) if key is not None else None
