"""The console's routes: one page for all of its addresses, and the files that it is made of.

Nothing of anybody is in them: what a page shows it asks the API for, as whoever has signed in.
"""

from __future__ import annotations

from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.params import FromPath

from contracts.errors import Reason, Rejected
from services.gateway.console import assets
from services.process.version import NAME

PATH = "/console"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FOR_EVER = "public, max-age=31536000, immutable"
_GZIP = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}


def shell() -> str:
    """The page."""
    found = assets.load()
    modules = "".join(
        f'<link rel="modulepreload" href="{found.url(name)}">' for name in found.modules
    )
    styles = "".join(f'<link rel="stylesheet" href="{found.url(name)}">' for name in found.styles)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<title>{NAME}</title><link rel="icon" href="{found.url("icon.svg")}">'
        f"{styles}{modules}"
        f'<script type="module" src="{found.url("app.js")}"></script></head>'
        '<body><div id="app"><noscript>The console needs JavaScript. Everything it does, the'
        " command <code>metamcp</code> and the HTTP API do too.</noscript></div></body></html>"
    )


@get([PATH, f"{PATH}/{{page:path}}"], include_in_schema=False, sync_to_thread=False)
def show() -> Response[str]:
    """The console, whichever of its pages is asked for."""
    headers = {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return Response(shell(), media_type=MediaType.HTML, headers=headers)


@get(
    f"{assets.PATH}/{{version:str}}/{{file:path}}",
    opt={"no_compression": True},
    include_in_schema=False,
    sync_to_thread=False,
)
def asset(
    request: Request[Any, Any, Any], version: FromPath[str], file: FromPath[str]
) -> Response[bytes]:
    """A file of the console."""
    found = assets.load()
    one = found.files.get(file.lstrip("/"))
    if one is None or version != found.version:
        raise Rejected(Reason.NOT_FOUND, "the console has no such file: load the page again")
    packs = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": FOR_EVER, **(_GZIP if packs else {})}
    return Response(one.packed if packs else one.data, media_type=one.media_type, headers=headers)


ROUTES = (show, asset)
