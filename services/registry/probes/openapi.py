"""Probes of APIs: their document is read, and the base URL or the declared operation is called."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from contracts.host import Host, OpenApi, operated
from services.keys.secrets import HostSecrets
from services.outside import addresses
from services.outside import site as outbound_site
from services.outside.openapi import document, reading
from services.outside.openapi.document import ApiTools
from services.outside.openapi.operation import BadArguments, of_tool
from services.outside.openapi.reading import BadDocument
from services.outside.openapi.request import built
from services.outside.site import HttpSite
from services.registry.domain import Discovery
from services.registry.probes.base import ProbeOutcome, Reach, Sick, short
from services.registry.probes.http import ExecuteProber

REREAD_S = 300.0
"""How long a document that was read at a URL counts."""
ANSWER_BYTES = 64 * 1024
"""Read of the answer to a probe."""


class OpenApiProber(ExecuteProber):
    """Asks one API; its document is kept between two probes."""

    asked = "its document and its base URL"

    def __init__(self, host: Host, limit_s: float, reach: Reach) -> None:
        """`limit_s`: seconds for one request."""
        super().__init__(host, limit_s, reach)
        self._api: ApiTools | None = None
        self._read_at = 0.0

    async def _ask(self, site: HttpSite, secrets: HostSecrets) -> ProbeOutcome:
        try:
            api = await self._document(secrets)
            started = time.perf_counter()
            async with asyncio.timeout(self._limit_s):
                await self._call(site, secrets, api)
        except Sick as sick:
            return ProbeOutcome.of(sick)
        took_ms = (time.perf_counter() - started) * 1000
        server = f"{api.title} {api.version}".strip()
        found = Discovery(api.tools, server, "", api.description)
        return ProbeOutcome("", took_ms, found, self._note(api))

    async def _document(self, secrets: HostSecrets) -> ApiTools:
        """What the document describes. Raises Sick, and what its request raises."""
        endpoint = secrets.put_into(self._host).endpoint
        assert isinstance(endpoint, OpenApi)
        if self._api is not None and (
            not endpoint.document_url or time.monotonic() < self._read_at + REREAD_S
        ):
            return self._api
        data = b""
        if endpoint.document_url:
            async with asyncio.timeout(self._limit_s):
                data = await self._fetched(endpoint, secrets)
        try:
            # It takes as long as it is big, and others are asked meanwhile.
            self._api = await asyncio.to_thread(_read, endpoint, data)
        except BadDocument as why:
            raise Sick(f"bad document: {short(str(why))}") from None
        self._read_at = time.monotonic()
        return self._api

    async def _fetched(self, endpoint: OpenApi, secrets: HostSecrets) -> bytes:
        """The document's bytes. Raises Sick, and what its request raises."""
        parts = urlsplit(addresses.resolve(endpoint.document_url, mcp=True))
        base = urlsplit(addresses.resolve(endpoint.url, spaces=self._reach.spaces))
        # Credentials are for the API alone.
        same = (parts.scheme, parts.netloc) == (base.scheme, base.netloc)
        site = HttpSite(
            f"{parts.scheme}://{parts.netloc}",
            public_only=self._reach.kept_public(self._host),
            connections=1,
            headers=endpoint.headers if same else {},
            bearer=secrets.bearer if same else None,
            discreet=operated(self._host),
        )
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            page = await site.get(path, reading.MOST_BYTES)
        finally:
            await site.close()
        if page.status != 200:
            raise Sick(f"no document: its URL answered {page.status}, see endpoint.document_url")
        return page.body

    async def _call(self, site: HttpSite, secrets: HostSecrets, api: ApiTools) -> None:
        """Make the declared call, or ask for the base URL. Raises Sick."""
        endpoint = secrets.put_into(self._host).endpoint
        assert isinstance(endpoint, OpenApi)
        tool = self._host.probe.tool
        if tool is None:
            page = await site.get("", ANSWER_BYTES, cut=True)
            if page.status >= 500:
                raise Sick(f"unhealthy: its base URL answered {page.status}")
            return
        operation = of_tool(api.tools, tool)
        if operation is None:
            raise Sick(f"probe failed: the host lists no tool {tool}. Correct probe.tool.")
        try:
            request = built(operation, self._host.probe.arguments, endpoint.secrets)
        except BadArguments as wrong:
            raise Sick(f"probe failed: {tool}: {short(str(wrong))}") from None
        response = await site.send(*request)
        try:
            await outbound_site.beginning(response, ANSWER_BYTES)
        finally:
            response.close()
        if response.status >= 300:
            raise Sick(f"probe failed: {tool} answered {response.status}")

    def _note(self, api: ApiTools) -> str:
        endpoint = self._host.endpoint
        assert isinstance(endpoint, OpenApi)
        if unknown := sorted(endpoint.secrets.keys() - api.schemes):
            known = ", ".join(sorted(api.schemes)) or "none"
            why = f"endpoint.secrets names {unknown[0]}, the document's schemes are: {known}"
            return short(f"no scheme: {why}")
        if not api.left_out:
            return ""
        every = "; ".join(f"{name}: {why}" for name, why in api.left_out.items())
        return short(f"left out: {len(api.left_out)} of its operations can't be called: {every}")


def _read(endpoint: OpenApi, data: bytes) -> ApiTools:
    content = reading.read(data) if endpoint.document_url else endpoint.document
    return document.api(content, endpoint.operations)
