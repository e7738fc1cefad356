"""Calls one other service. Each attempt has a timeout, requests that are safe to repeat are repeated a few
times after a random wait, and a circuit breaker leaves a service alone that keeps failing."""

import asyncio
import random
import time
from collections.abc import Callable

import httpx
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode

tracer = trace.get_tracer(__name__)

REPEATABLE = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
WORTH_RETRY = {429, 502, 503, 504}


class CircuitOpen(Exception):
    """Raised without a call while the breaker is open."""


class Breaker:
    """Opens after `threshold` failures in a row; after `open_for` seconds it lets one request through to find out."""

    def __init__(self, threshold: int = 5, open_for: float = 5.0, now: Callable[[], float] = time.monotonic) -> None:
        self.threshold, self.open_for, self._now = threshold, open_for, now
        self._failures, self._until, self._probing = 0, 0.0, False

    def allow(self) -> None:
        """Asks before a call; a return must be followed by one report or forget."""
        if self._failures < self.threshold:
            return
        if self._probing or self._now() < self._until:
            raise CircuitOpen("circuit breaker is open")
        self._probing = True

    def report(self, ok: bool) -> None:
        self._probing = False
        if ok:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= self.threshold:
            self._until = self._now() + self.open_for

    def forget(self) -> None:
        """Takes the call back as if it had never been made."""
        self._probing = False


class Client:
    def __init__(self, attempts: int = 3, timeout: float = 2.0, backoff: float = 0.1) -> None:
        self.breaker = Breaker()
        self.attempts, self.timeout, self.backoff = attempts, timeout, backoff  # backoff: the first wait's upper bound
        self._http = httpx.AsyncClient(timeout=timeout)

    async def request(self, method: str, url: str, *, content: bytes | None = None) -> httpx.Response:
        """429, 502, 503, 504 and a failed connection count as failures to try again."""
        last = self.attempts if method in REPEATABLE else 1
        for attempt in range(1, last + 1):
            try:
                response = await self._once(method, url, content)
            except (httpx.TransportError, TimeoutError):
                if attempt == last:
                    raise
            else:
                if attempt == last or response.status_code not in WORTH_RETRY:
                    return response
            await asyncio.sleep(random.uniform(0, self.backoff * 2 ** (attempt - 1)))
        raise AssertionError("the last attempt returns or raises")

    async def probe(self, url: str) -> None:
        """For readiness: any answer below 500 will do, and nothing is retried."""
        response = await self._send("GET", url, None)
        if response.status_code >= 500:
            raise RuntimeError(f"status {response.status_code}")

    async def close(self) -> None:
        await self._http.aclose()

    async def _once(self, method: str, url: str, content: bytes | None) -> httpx.Response:
        self.breaker.allow()
        try:
            response = await self._send(method, url, content)
        except asyncio.CancelledError:
            self.breaker.forget()  # our own caller went away: that says nothing about the service
            raise
        except Exception:
            self.breaker.report(False)
            raise
        self.breaker.report(response.status_code < 500)
        return response

    async def _send(self, method: str, url: str, content: bytes | None) -> httpx.Response:
        """One attempt, as a span that hands the trace on in the headers."""
        attributes = {"http.request.method": method, "server.address": httpx.URL(url).host}
        with tracer.start_as_current_span(method, kind=SpanKind.CLIENT, attributes=attributes) as span:
            headers: dict[str, str] = {}
            propagate.inject(headers)
            async with asyncio.timeout(self.timeout):
                response = await self._http.request(method, url, content=content, headers=headers)
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 400:
                span.set_status(StatusCode.ERROR)
            return response
