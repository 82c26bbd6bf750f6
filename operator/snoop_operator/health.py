"""/healthz, /readyz and /metrics."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], Awaitable[str]]
"""Says what is not ready yet, in words; empty if it is."""

_PATIENCE = 2.0


class Health:
    """Answers probes. Healthy while the loop turns; ready when every check says so."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._checks: list[Check] = []

    def require(self, check: Check) -> None:
        """Add a condition of readiness."""
        self._checks.append(check)

    async def unready(self) -> list[str]:
        """List what is not ready yet."""
        found = await asyncio.gather(*(_asked(check) for check in self._checks))
        return [words for words in found if words]

    @property
    def probes(self) -> list[web.RouteDef]:
        """For `aiohttp.web.Application.add_routes`: what anyone may ask."""
        return [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]

    @property
    def routes(self) -> list[web.RouteDef]:
        """The same, and metrics."""
        return [*self.probes, web.get("/metrics", self._metrics)]

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        waiting = await self.unready()
        if waiting:
            return web.Response(status=503, text="".join(f"not ready: {words}\n" for words in waiting))
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _asked(check: Check) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await check()
    except TimeoutError:
        return f"no answer within {_PATIENCE:.0f} s"
