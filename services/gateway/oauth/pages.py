"""The pages that people see: sign in, consent, and why not. Plain HTML, without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from contracts.scopes import SCOPES
from services.gateway import webpages
from services.gateway.oauth.places import CONSENT, NAME, SIGN_IN
from services.gateway.oauth.ports import SignInButton

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?", re.IGNORECASE)
_NAMED = re.compile(r"[a-z][a-z0-9+.-]*")


class ShownPage(NamedTuple):
    """A page, and what goes with it."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...]


class ConsentAsked(NamedTuple):
    """What somebody is asked."""

    user: str
    client: str
    """Its name, as it says itself."""
    address: str
    """By what it can be told from others."""
    redirect: str
    scopes: Sequence[str]
    parameters: Mapping[str, Sequence[str]]
    """Of the request, to be sent along with the answer."""
    token: str
    """Of the form."""


def form_target(redirect: str) -> str:
    """How a policy names the place that a form's answer leads on to."""
    parts = urlsplit(redirect)
    origin = f"{parts.scheme}://{parts.netloc}"
    if _ORIGIN.fullmatch(origin):
        return origin
    # A policy can't name addresses in brackets, and of a program's own scheme there is no more.
    return f"{parts.scheme}:" if _NAMED.fullmatch(parts.scheme) else "'self'"


def consent(asked: ConsentAsked) -> ShownPage:
    """Ask whether a client may act for somebody."""
    name = escape(asked.client or "A program without a name")
    scopes = "".join(
        f"<li><b>{escape(one)}</b>: {escape(SCOPES.get(one, ''))}</li>" for one in asked.scopes
    )
    hidden = "".join(
        f'<input type="hidden" name="{escape(key)}" value="{escape(value)}">'
        for key, values in asked.parameters.items()
        for value in values
    )
    body = (
        f"<h1>{name} wants to act for you</h1>"
        f"<p>You are <b>{escape(asked.user)}</b>. It says that it is <b>{name}</b>; it is"
        f" <b>{escape(asked.address)}</b>. Its answer goes to"
        f" <code>{escape(asked.redirect)}</code>.</p>"
        f"<p>It would be able to:</p><ul>{scopes}</ul>"
        "<p>Say yes only if you have just asked for this yourself.</p>"
        f'<form method="post" action="{CONSENT}">{hidden}'
        f'<input type="hidden" name="form_token" value="{escape(asked.token)}">'
        '<button class="yes" name="decision" value="allow">Allow</button>'
        '<button name="decision" value="deny">Deny</button></form>'
    )
    return _page(200, f"{asked.client or 'A program'} wants to act for you", body, asked.redirect)


def sign_in(
    next_: str,
    buttons: Iterable[SignInButton],
    *,
    name: str = "",
    error: str = "",
    status: int = 200,
) -> ShownPage:
    """Ask who somebody is."""
    told = f'<p class="error" role="alert">{escape(webpages.sentence(error))}</p>' if error else ""
    others = "".join(
        f'<a class="button" href="{escape(one.path)}?next={escape(quote(next_, safe=""))}">'
        f"Sign in with {escape(one.title)}</a>"
        for one in buttons
    )
    body = (
        f'<h1>Sign in to {NAME}</h1>{told}<form method="post" action="{SIGN_IN}">'
        f'<input type="hidden" name="next" value="{escape(next_)}">'
        f'<label>User <input name="user" value="{escape(name)}" autocomplete="username"'
        ' autocapitalize="none" required maxlength="64"></label>'
        '<label>Password <input name="password" type="password"'
        ' autocomplete="current-password" required></label>'
        f'<button class="yes">Sign in</button></form>{others}'
    )
    return _page(status, "Sign in", body)


def signed_in(next_: str) -> ShownPage:
    """Go on after a sign-in.

    Not by a redirect: browsers would hold what comes after it against the form's policy.
    """
    goes = escape(next_)
    body = f'<h1>Signed in</h1><p><a href="{goes}">Go on</a></p>'
    return _page(200, "Signed in", body, head=f'<meta http-equiv="refresh" content="0;url={goes}">')


def failed(status: int, why: str) -> ShownPage:
    """Tell a person why a program's request leads nowhere."""
    todo = "The program that sent you here has to be put right."
    if status >= 500:
        todo = "Wait a minute, go back, and try again."
    body = (
        '<h1>This does not work</h1><p class="error" role="alert">'
        f"{escape(webpages.sentence(why))}</p><p>{todo}</p>"
    )
    return _page(status, "This does not work", body)


def _page(status: int, title: str, body: str, redirect: str = "", head: str = "") -> ShownPage:
    more = webpages.headers(*(("'self'", form_target(redirect)) if redirect else ()))
    named = tuple((name.lower(), value) for name, value in more.items())
    kind = ("content-type", "text/html; charset=utf-8")
    return ShownPage(status, webpages.document(title, body, head), (kind, *named))
