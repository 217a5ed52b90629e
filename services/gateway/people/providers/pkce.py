"""What binds a sign-in to one browser. Pure.

All of it is derived from the browser's secret and the state, which only come together again in the
callback: nothing of it is stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac


def derived(browser: str, state: str, use: str) -> str:
    """A secret text of 43 characters for one use; `verifier` of PKCE (RFC 7636), or `nonce`."""
    made = hmac.digest(browser.encode(), f"metamcp {use} {state}".encode(), "sha256")
    return _text(made)


def challenge(verifier: str) -> str:
    """`code_challenge` of a verifier, S256."""
    return _text(hashlib.sha256(verifier.encode()).digest())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
