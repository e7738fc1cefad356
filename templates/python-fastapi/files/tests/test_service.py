import asyncio
import io
import json
import logging
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

from app.telemetry import setup_logging

from .conftest import INFO, Service, until
from .test_outbound import Upstream, upstream  # noqa: F401

Start = Callable[..., Service]


@pytest.fixture
def logs() -> io.StringIO:
    stream = io.StringIO()
    setup_logging("info", stream)
    return stream


def test_routes(start: Start) -> None:
    service = start(greeting="Ahoy")
    assert service.get("/").json() == {"greeting": "Ahoy", "service": "orders", "version": "1.2.3"}
    assert service.get("/version").json() == INFO
    assert service.get("/health/live").status_code == 200
    assert service.get("/health/ready").json()["checks"] == {"lifecycle": "ok"}
    assert service.get("/nowhere/1").status_code == 404
    metrics = service.get("/metrics").text
    for route, status in (("/", "200"), ("/version", "200"), ("", "404")):
        labels = f'http_request_method="GET",http_response_status_code="{status}",http_route="{route}"'
        assert f"http_server_request_duration_seconds_count{{{labels}}} 1.0" in metrics
    assert "/health" not in metrics


def test_fail_rate(start: Start) -> None:
    service = start(fail_rate=1.0)
    assert service.get("/").status_code == 500
    assert service.get("/health/ready").status_code == 200


def test_an_exception_is_an_answer(start: Start, logs: io.StringIO) -> None:
    def broken(app: FastAPI) -> None:
        @app.get("/broken")
        async def handler() -> None:
            raise RuntimeError("boom")

    service = start(prepare=broken)
    assert service.get("/broken").status_code == 500
    assert "RuntimeError: boom" in logs.getvalue()
    assert service.get("/").status_code == 200


def test_readiness_names_the_dependency(start: Start) -> None:
    service = start()
    failure: list[Exception] = []

    async def check() -> None:
        if failure:
            raise failure[0]

    service.health.require("database", check)
    assert service.get("/health/ready").json()["checks"]["database"] == "ok"
    failure.append(RuntimeError("password=hunter2 refused"))
    answer = service.get("/health/ready")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "failing")
    assert "hunter2" not in answer.text
    assert service.get("/health/live").status_code == 200
    service.health.state = "starting"
    assert service.get("/health/ready").json()["checks"] == {"lifecycle": "starting"}


def test_the_trace_goes_through(start: Start, upstream: Upstream, logs: io.StringIO) -> None:  # noqa: F811
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    service = start(upstream_url=upstream.url)
    answer = service.get("/", traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
    assert answer.json()["upstream"] == {"stock": 7}
    assert trace_id in upstream.headers[-1]["traceparent"]
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    request = next(line for line in lines if line["message"] == "request")
    assert (request["level"], request["trace_id"]) == ("info", trace_id)
    assert request["span_id"] and request["time"]
    upstream.close()
    assert service.get("/").status_code == 502
    assert service.get("/health/ready").json()["checks"]["upstream"] == "failing"


class Slow:
    """A route that takes a while and says when it has begun."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.begun, self.answer = seconds, threading.Event(), 0

    def __call__(self, app: FastAPI) -> None:
        @app.get("/slow")
        async def slow() -> str:
            self.begun.set()
            await asyncio.sleep(self.seconds)
            return "done"

    def call(self, service: Service) -> threading.Thread:
        def get() -> None:
            try:
                self.answer = httpx.get(service.http.base_url.join("/slow"), timeout=10).status_code
            except httpx.HTTPError:
                self.answer = -1

        caller = threading.Thread(target=get, daemon=True)
        caller.start()
        assert self.begun.wait(5)
        return caller


def test_drain(start: Start) -> None:
    slow = Slow(0.8)
    service = start(prepare=slow, drain_delay=0.4)
    caller = slow.call(service)
    service.terminate()
    ready = service.get("/health/ready")
    assert (ready.status_code, ready.json()["checks"]) == (503, {"lifecycle": "draining"})
    assert service.get("/health/live").status_code == 200
    assert service.get("/").status_code == 200  # still served while the load balancers notice
    caller.join(5)
    assert slow.answer == 200
    assert service.ended() and service.quits == []
    with pytest.raises(httpx.HTTPError):
        service.get("/")


def test_shutdown_timeout(start: Start) -> None:
    slow = Slow(3)
    service = start(prepare=slow, shutdown_timeout=0.3)
    slow.call(service)
    service.terminate()
    assert service.ended(2) and service.quits == [1]


def test_second_signal_quits(start: Start) -> None:
    service = start(drain_delay=4.0)
    began = time.monotonic()
    service.terminate()
    service.terminate()
    until(lambda: service.quits == [1])
    assert time.monotonic() - began < 0.5


def test_levels_are_plain(logs: io.StringIO) -> None:
    logging.getLogger("x").warning("careful")
    assert json.loads(logs.getvalue())["level"] == "warn"
