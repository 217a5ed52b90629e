"""What is noted of who came in and who was kept out: the stream `ACCESS`, not the log of facts."""

from __future__ import annotations

import msgspec


class AccessEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of it. Never holds a password, a token or anything else that lets somebody in."""

    id: str
    at: float
    """Seconds since the epoch, by the gateway's clock."""
    by: str
    """The gateway that has seen it."""
    kind: str
    """`sign_in`, `sign_out`, `refresh`, `denied`, `throttled`, `user.created`, `user.changed`,
    `user.disabled`, `user.deleted`, `password.changed`, `identity.linked`, `identity.unlinked`,
    `token.issued`, `token.revoked`, `session.ended`, `client.registered`, `client.removed`,
    `consent.given`, `consent.withdrawn`, `quota.changed`, `project.changed`, `profile.changed`,
    `publisher.added`, `publisher.removed`, `publisher.rotated`, `invitation.added`,
    `invitation.removed`, `key.rotated`, `restored.decided`, `host.linked`, `host.unlinked`."""
    outcome: str = "ok"
    """`ok`, `refused` or `failed`."""
    user: str = ""
    """Whose account it is about; empty if nobody knows."""
    asked_by: str = ""
    """Who did it and with what, as `asked_by` of `task.created`."""
    subject: str = ""
    """What it was about: an id of a token, client, session, project, the name of a route."""
    address: str = ""
    """The client's."""
    method: str = ""
    """How: `password`, `link`, `cookie`, `token`, `oauth`, `github`, `huggingface`, an issuer."""
    reason: str = ""
    """Why not; a word of `contracts.errors`, or of OAuth."""
    request_id: str = ""
    details: dict[str, str] = {}
    """Few and short, for people."""
