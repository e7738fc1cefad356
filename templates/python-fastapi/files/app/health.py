"""Answers the probes. Liveness says only that the process can answer; readiness also asks the dependencies."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

log = logging.getLogger(__name__)

STARTING, SERVING, DRAINING = "starting", "ok", "draining"


class Health:
    def __init__(self) -> None:
        self.state = STARTING
        self._checks: dict[str, Callable[[], Awaitable[None]]] = {}

    def require(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
        """Adds a dependency without which the service cannot work; the check raises when it is down."""
        self._checks[name] = check

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/health", tags=["health"])
        router.add_api_route("/live", self._live)
        router.add_api_route("/ready", self._ready)
        return router

    async def _live(self) -> Response:
        return JSONResponse({"status": "live"})

    async def _ready(self) -> Response:
        checks = {"lifecycle": self.state}
        ok = self.state == SERVING
        if ok:  # while starting or draining the answer is known
            results = await asyncio.gather(*(self._ask(name, check) for name, check in self._checks.items()))
            checks |= dict(zip(self._checks, results, strict=True))
            ok = all(result == "ok" for result in results)
        return JSONResponse({"status": "ready" if ok else "unready", "checks": checks}, 200 if ok else 503)

    async def _ask(self, name: str, check: Callable[[], Awaitable[None]]) -> str:
        try:
            async with asyncio.timeout(1):
                await check()
        except Exception as error:  # the cause goes to the log, not to whoever asks
            log.warning("readiness check failed", extra={"fields": {"check": name, "error": repr(error)}})
            return "failing"
        return "ok"
