"""Facts on their way into the log, and who waits for them."""

from __future__ import annotations

import asyncio

from contracts.errors import Reason, Rejected
from contracts.facts import encode
from contracts.subjects import Guard, check_guard, of
from services.log.port import MAX_FACT, AlreadyRecorded, Append, traceparent

SEQ = "Nats-Expected-Last-Subject-Sequence"
SEQ_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"


class Receipt:
    """One for all facts that are handed in together: set when the last of them is settled."""

    __slots__ = ("future", "gone", "left")

    def __init__(self) -> None:
        self.left = 0
        self.gone = False
        """Nobody waits any more: what was not sent yet need not be."""
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def one_less(self) -> None:
        """Another fact is settled."""
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(None)


class Pending:
    """A fact on its way into the log, and who waits for it."""

    __slots__ = (
        *("alone", "attempts", "data", "guard", "id", "outcome", "subject", "trace", "receipt"),
    )

    def __init__(self, item: Append, receipt: Receipt) -> None:
        self.subject = of(item.fact)
        self.data = encode(item.fact)
        if len(self.data) > MAX_FACT:
            text = f"{self.subject}: {len(self.data)} bytes; a fact has at most {MAX_FACT}"
            raise Rejected(Reason.TOO_LARGE, text)
        self.id = item.fact.id
        self.guard: Guard | None = item.guard
        if item.guard:
            check_guard(item.guard)
        self.trace = traceparent(item.trace)
        self.alone = False
        """Goes by itself: it was in a batch that was refused for a reason we did not find."""
        self.attempts = 0
        self.outcome: int | Exception | None = None
        receipt.left += 1
        self.receipt = receipt

    @property
    def over(self) -> bool:
        """Whether it is settled, or nobody wants to know any more."""
        return self.outcome is not None or self.receipt.gone

    def head(self, more: str = "") -> bytes:
        """Return the header block: the guard in the form the server checks, and `more` lines."""
        if self.guard:
            more += f"{SEQ}: {self.guard.seq}\r\n{SEQ_SUBJECT}: {self.guard.subject}\r\n"
        if self.trace:
            more += f"traceparent: {self.trace}\r\n"
        return f"NATS/1.0\r\n{more}\r\n".encode() if more else b""

    def settle(self, outcome: int | Exception) -> None:
        """Keep the first outcome and tell who waits for it."""
        if self.outcome is None:
            self.outcome = outcome
            self.receipt.one_less()

    def result(self) -> int | AlreadyRecorded:
        """Its sequence, or who stands there already. Raises what else became of it."""
        if isinstance(self.outcome, int | AlreadyRecorded):
            return self.outcome
        assert self.outcome is not None, "asked for before it was settled"
        raise self.outcome
