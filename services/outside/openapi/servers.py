"""Where a document says that its API is.

Pure.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin


def base_url(document: dict[str, Any], read_at: str = "") -> str:
    """The URL of the document's first server; `read_at`: where the document was read. Empty: it
    names none."""
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else {"url": "/"}
    url = first.get("url") if isinstance(first, dict) else None
    if not isinstance(url, str):
        return ""
    variables = first.get("variables")
    for name, variable in variables.items() if isinstance(variables, dict) else ():
        if isinstance(variable, dict):
            url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    found = urljoin(read_at, url)
    return found.rstrip("/") if found.startswith(("http://", "https://")) else ""
