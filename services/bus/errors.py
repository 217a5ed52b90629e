"""What can go wrong between a process and NATS, in words of ours; nats-py's own end here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import nats.errors

from contracts.errors import Reason, Rejected


class BusError(Exception):
    """Something between this process and NATS went wrong."""


class ConnectFailed(BusError):
    """No connection: wrong address, wrong credentials, or nobody there."""


class Disconnected(BusError):
    """There is no connection right now, or it was lost before the answer came."""


class NoResponders(BusError):
    """Nobody serves this subject."""


class BusTimeout(BusError):
    """No answer in time; whether the request was carried out is unknown."""


class RequestFailed(BusError):
    """The service answered with an error that is not a refusal of ours."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class PermissionDenied(BusError):
    """This user may not use `subject`."""

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"NATS refuses {subject!r} to this user. Check that the service runs with its own"
            " credentials and that the server has the accounts of this version."
        )
        self.subject = subject


@contextlib.contextmanager
def translated(subject: str) -> Iterator[None]:
    """Turn what nats-py raises while sending on `subject` into errors that say what to do."""
    try:
        yield
    except nats.errors.NoRespondersError:
        raise NoResponders(f"Nobody serves {subject!r}. Is the service running?") from None
    except nats.errors.TimeoutError:
        raise BusTimeout(f"No answer on {subject!r} in time.") from None
    except nats.errors.MaxPayloadError:
        raise Rejected(Reason.TOO_LARGE, f"The message for {subject!r} is too large.") from None
    except (nats.errors.Error, OSError) as error:
        raise Disconnected(f"Can't send on {subject!r}: {error!r}") from error
