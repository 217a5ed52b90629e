"""What has become of one attempt so far: everybody who learns something notes it on this object.

`ending` draws from it how the attempt ended, and nobody else does.
"""

from __future__ import annotations

MOST_REMARKS = 8


class Death:
    """The unwanted end of a host's session: one failure of the host, however many calls were in."""

    __slots__ = ("how", "shared", "told")

    def __init__(self, how: str, *, shared: bool) -> None:
        self.how = how
        """What has become of it, as a sentence's end."""
        self.shared = shared
        """Any of several calls may be the cause."""
        self.told = False
        """It was counted."""


class Course:
    """Was the host called, is the work still wanted, may this executor go on, what does it lack."""

    __slots__ = ("called", "cancelled", "cut", "death", "held", "lacks", "remarks", "unanswered")

    def __init__(self) -> None:
        self.called: bool | None = False
        """None from the moment something may have been sent, True once the host has answered."""
        self.cancelled: str | None = None
        """The user's reason, once he has asked to cancel."""
        self.cut = False
        """This executor is stopping and can't wait any longer."""
        self.death: Death | None = None
        """Of the session in which it was called."""
        self.lacks = ""
        """What it waits for that is not the host's to give, and why; empty: nothing."""
        self.held = False
        """Its host holds the call open and waits for a person's answer."""
        self.unanswered = ""
        """What nobody has answered in time; empty: nothing."""
        self.remarks: tuple[str, ...] = ()
        """See `JobDone.remarks`."""

    def remark(self, text: str) -> None:
        """Have this said beside a success, once; of many remarks the first."""
        if text not in self.remarks and len(self.remarks) < MOST_REMARKS:
            self.remarks = (*self.remarks, text)

    @property
    def stopped(self) -> bool:
        """Nothing more may be done."""
        return self.cut or self.cancelled is not None

    def reached(self, called: bool | None) -> bool | None:
        """Whether the host was called, when the last call has ended so.

        An earlier step of the same attempt may have reached the host.
        """
        return self.called if called is False else called
