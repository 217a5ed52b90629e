"""The page that asks whether to link an identity. Pure."""

from __future__ import annotations

from html import escape


def confirm(title: str, user: str, action: str, form: str, next_: str) -> str:
    """Ask whether to link an account at `title`; `form` is the anti-forgery token.

    Without an `action` browsers would send the page's own query along.
    """
    title, user = escape(title), escape(user)
    return (
        f"<h1>Link {title}</h1><p>You are signed in as <b>{user}</b>. Whoever signs in with the"
        f" account at {title} that you choose next will be <b>{user}</b> here.</p>"
        f'<form method="post" action="{escape(action)}">'
        f'<input type="hidden" name="form" value="{escape(form)}">'
        f'<input type="hidden" name="next" value="{escape(next_)}">'
        f'<button class="yes">Go on to {title}</button></form>'
        "<p>If you did not ask for this yourself, close this page: nothing is changed then.</p>"
    )
