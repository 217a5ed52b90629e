"""What all small pages for people share: how they look, what they may do, and what they say when
something went wrong. Plain HTML, without scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from html import escape
from typing import Any

from litestar import MediaType, Request, Response

from services.gateway import errors
from services.log.port import LogUnavailable
from services.store.blobs import StoreError

STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:30rem;margin:3rem auto;padding:0 1rem}
body{color:#1b1f24;background:#fff;overflow-wrap:anywhere}a{color:#0550ae}h1{font-size:1.4rem}
label{display:block;margin:.8rem 0}small{color:#57606a}
input{font:inherit;width:100%;box-sizing:border-box;padding:.4rem}
button,.button{font:inherit;display:inline-block;margin:.4rem .4rem 0 0;padding:.5rem 1.1rem}
button,.button{border:1px solid #57606a;border-radius:6px;background:#f6f8fa;color:#1b1f24}
button.yes{background:#0550ae;border-color:#0550ae;color:#fff}.button{text-decoration:none}
.error{border-left:4px solid #cf222e;padding:.2rem .8rem}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}a{color:#6cb6ff}
small{color:#9198a1}button,.button{background:#161b22;color:#e6edf3}}
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
AWAY = (
    "This server can't reach its own storage right now, so this was not finished. Wait a minute,"
    " then try again."
)


def policy(*targets: str) -> str:
    """A page's Content-Security-Policy; forms may lead to these places, or if none are named to us.

    Browsers hold against this list what a form's answer leads on to, too.
    """
    forms = " ".join(targets or ("'self'",))
    return (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none';"
        f" form-action {forms}; frame-ancestors 'none'"
    )


def headers(*targets: str) -> dict[str, str]:
    """What goes with a page besides its type."""
    return {
        "Content-Security-Policy": policy(*targets),
        # With `no-referrer` a browser sends `Origin: null` with our own forms.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def document(title: str, body: str, head: str = "") -> str:
    """A whole page; `body` and `head` are HTML, `title` is text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"{head}<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )


def shown(title: str, body: str, *targets: str, status: int = 200) -> Response[str]:
    """Answer with a page; `targets` as in `policy`."""
    return Response(
        document(title, body),
        status_code=status,
        media_type=MediaType.HTML,
        headers=headers(*targets),
    )


def for_people(request: Request[Any, Any, Any]) -> bool:
    """Whether a browser asks for something to show."""
    return "text/html" in request.headers.get("accept", "")


def problems(back: str, word: str) -> dict[int | type[Exception], Any]:
    """Handlers of errors for routes that browsers are sent to: they show a page, with a link that
    leads on, and tell programs the same as everywhere."""

    def page_of(handler: Callable[..., Response[errors.Failure]]) -> Callable[..., Response[Any]]:
        def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
            answer = handler(request, error)
            if not for_people(request):
                return answer
            away = isinstance(error, StoreError | LogUnavailable)
            text = AWAY if away else sentence(answer.content.error.message)
            body = (
                f'<h1>This did not work</h1><p class="error" role="alert">{escape(text)}</p>'
                f'<p><a class="button" href="{escape(back)}">{escape(word)}</a></p>'
                f"<p><small>Request {escape(errors.request_id(request))}</small></p>"
            )
            page = shown("This did not work", body, "'none'", status=answer.status_code or 500)
            page.headers |= {k: v for k, v in answer.headers.items() if k == "Retry-After"}
            return page

        return handle

    return {kind: page_of(handler) for kind, handler in errors.HANDLERS.items()}


def sentence(text: str) -> str:
    """A refusal as a sentence: programs get it without."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"
