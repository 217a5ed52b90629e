"""What people see at `/`, where a sign-in ends that leads nowhere else; programs get JSON there."""

from __future__ import annotations

from html import escape
from typing import Any

from litestar import Request, Response

from services.gateway import webpages
from services.gateway.access.identity import Principal
from services.gateway.http.device import PATH as DEVICE
from services.gateway.oauth.places import NAME, SIGN_IN

DOCS = "/api/docs"


def for_people(request: Request[Any, Any, Any]) -> Response[str] | None:
    """The page, if a browser asks."""
    if not webpages.for_people(request):
        return None
    who: Principal | None = request.scope["state"].get("browser")
    if who is None:
        told = f'<p>Nobody is signed in.</p><p><a class="button" href="{SIGN_IN}">Sign in</a></p>'
    else:
        told = (
            f"<p>You are signed in as <b>{escape(who.user)}</b>.</p>"
            f'<p><a href="{DEVICE}">Let a program in</a> that shows you a code, such as'
            " <code>metamcp login --device</code>.</p>"
        )
    more = f'<p><a href="{DOCS}">What programs can ask of this server</a></p>'
    page = webpages.shown(NAME, f"<h1>{NAME}</h1>{told}{more}")
    page.headers["Vary"] = "Accept"
    return page
