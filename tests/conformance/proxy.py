"""In front of `/mcp` for the suite, which has no token, and forgets what stands after the ?."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

NOT_PASSED = ("content-length", "authorization", "transfer-encoding", "connection")


class BearingProxy:
    """Adds the token: `/HOST` here is `/mcp?hosts=HOST` there."""

    def __init__(self) -> None:
        self.gateway = self.token = ""
        """What it is in front of, once that is known."""
        self._http: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve; what this gives is the address."""
        application = web.Application()
        application.router.add_route("*", "/{host}", self._pass)
        runner = web.AppRunner(application, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._http:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        assert self._http is not None
        headers = [one for one in request.headers.items() if one[0].lower() not in NOT_PASSED]
        headers.append(("Authorization", f"Bearer {self.token}"))
        asked = self._http.request(
            request.method,
            f"{self.gateway}/mcp?hosts={request.match_info['host']}",
            headers=headers,
            data=await request.read(),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        async with asked as answer:
            kept = [one for one in answer.headers.items() if one[0].lower() not in NOT_PASSED]
            out = web.StreamResponse(status=answer.status, headers=kept)
            # The suite leaves without a word.
            with contextlib.suppress(ConnectionError):
                await out.prepare(request)
                async for data in answer.content.iter_any():
                    await out.write(data)
                await out.write_eof()
            return out
