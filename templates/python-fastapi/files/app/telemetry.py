"""Logs as JSON lines that carry the trace, and traces by OTLP when an endpoint is set."""

import json
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
NAMES = {logging.WARNING: "warn", logging.CRITICAL: "error"}


class JsonLines(logging.Formatter):
    """time, level, message, trace_id, span_id, then extra={"fields": {...}}."""

    def format(self, record: logging.LogRecord) -> str:
        context = trace.get_current_span().get_span_context()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": NAMES.get(record.levelno, record.levelname.lower()),
            "message": record.getMessage(),
            "trace_id": f"{context.trace_id:032x}" if context.is_valid else "",
            "span_id": f"{context.span_id:016x}" if context.is_valid else "",
            "logger": record.name,
        }
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, "fields", {}), default=str)


def setup_logging(level: str, stream: TextIO = sys.stdout) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=LEVELS[level], force=True)
    for chatty in ("uvicorn", "httpx", "httpcore"):  # they tell what our own lines tell
        logging.getLogger(chatty).setLevel(max(LEVELS[level], logging.WARNING))


def setup_tracing(info: dict[str, str], endpoint: str) -> Callable[[], None]:
    """Makes every request a span, so that logs can be joined; the exporter and the sampler read the usual
    OTEL_ variables. The function it returns sends what is left, for 2 s at most."""
    resource = Resource.create({"service.name": info["service"], "service.version": info["version"]})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if endpoint:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

    def flush() -> None:
        sender = threading.Thread(target=provider.shutdown, daemon=True)
        sender.start()
        sender.join(2)

    return flush
