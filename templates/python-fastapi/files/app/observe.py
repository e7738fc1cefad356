"""Gives each request a span, a measurement and a log line. Probes and scrapes do not pass through it:
they would hide the rate of errors that users see."""

import logging
import time
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .health import DRAINING, Health

log = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}


class Metrics:
    """Named as OpenTelemetry's semantic conventions say."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.duration = Histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
            ["http_request_method", "http_route", "http_response_status_code"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
            registry=self.registry,
        )
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.duration.labels("GET", "/", "200")  # there from the first scrape on, so that rates start at zero

    def router(self) -> APIRouter:
        router = APIRouter()
        router.add_api_route("/metrics", self._scrape, include_in_schema=False)
        return router

    async def _scrape(self) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class Observe:
    """Plain ASGI, so that the span is the current one in the handler."""

    def __init__(self, app: ASGIApp, metrics: Metrics, health: Health) -> None:
        self.app, self.metrics, self.health = app, metrics, health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/health/") or scope["path"] == "/metrics":
            await self.app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        attributes = {"http.request.method": method, "url.path": scope["path"]}
        with tracer.start_as_current_span(
            method, context=propagate.extract(headers), kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            began = time.perf_counter()
            status = await self._run(scope, receive, send)
            seconds = time.perf_counter() - began
            # No route, no path: what nobody serves must not become a label value.
            route = getattr(scope.get("route"), "path", "")
            self.metrics.duration.labels(method, route, str(status)).observe(seconds)
            span.update_name(f"{method} {route}".strip())
            span.set_attributes({"http.route": route, "http.response.status_code": status})
            if status >= 500:
                span.set_status(StatusCode.ERROR)
            fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 6)}
            log.log(logging.ERROR if status >= 500 else logging.INFO, "request", extra={"fields": fields})

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> int:
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.health.state == DRAINING:  # connect elsewhere before the port closes
                    message = _with_header(message, b"connection", b"close")
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception:
            log.exception("unhandled")
            if status == 0:
                await JSONResponse({"error": "internal error"}, 500)(scope, receive, watch)
            return 500
        return status or 499  # the client left before there was an answer


def _with_header(message: Message, name: bytes, value: bytes) -> dict[str, Any]:
    return {**message, "headers": [*message.get("headers", []), (name, value)]}
