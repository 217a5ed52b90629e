"""What people see at `/`: the console; programs get JSON there."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response
from litestar.response import Redirect

from services.gateway import webpages
from services.gateway.console.routes import PATH


def for_people(request: Request[Any, Any, Any]) -> Response[Any] | None:
    """Where a browser goes on."""
    if not webpages.for_people(request):
        return None
    return Redirect(PATH, status_code=303, headers={"Vary": "Accept"})
