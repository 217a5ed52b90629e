"""What providers' error codes mean, in plain words. Pure."""

from __future__ import annotations

import re

from contracts.errors import Reason
from services.gateway.people.providers.base import NotSignedIn

_CODE = re.compile(r"[a-z_]{1,48}")
_OURS = "this is for the operator of this server to mend"
_WORDS: dict[str, str] = {
    "access_denied": "You did not allow it at {title}, so nothing was changed.",
    "user_denied": "You did not allow it at {title}, so nothing was changed.",
    "consent_required": "{title} wants you to allow it first: try again.",
    "login_required": "{title} wants you to sign in there first: try again.",
    "interaction_required": "{title} wants to ask you something first: try again.",
    "account_selection_required": "{title} wants you to choose an account: try again.",
    "temporarily_unavailable": "{title} is busy: try again in a minute.",
    "server_error": "{title} has a problem of its own: try again in a minute.",
    "bad_verification_code": "The code of {title} was used already or is too old: sign in again.",
    "invalid_grant": "The code of {title} was used already or is too old: sign in again.",
    "unverified_user_email": "Verify your e-mail address at {title} first.",
    "incorrect_client_credentials": "{title} does not know this server's client id or secret: "
    + _OURS,
    "invalid_client": "{title} does not know this server's client id or secret: " + _OURS,
    "unauthorized_client": "{title} does not let this server do that: " + _OURS,
    "redirect_uri_mismatch": "{title} knows another callback address of this server: " + _OURS,
    "invalid_scope": "{title} does not give what this server asks for: " + _OURS,
    "application_suspended": "{title} has suspended this server's application: " + _OURS,
}


def refused(code: str, title: str) -> NotSignedIn:
    """Say what an error code of a provider means; nothing else that came with it is shown."""
    known = code if _CODE.fullmatch(code) else "unknown_error"
    text = _WORDS.get(known, "{title} refused, and said `{code}`: try again.")
    reason = Reason.UNAVAILABLE if known in ("server_error", "temporarily_unavailable") else None
    return NotSignedIn(known, text.format(title=title, code=known), reason or Reason.FORBIDDEN)
