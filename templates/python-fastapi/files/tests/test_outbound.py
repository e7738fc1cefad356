import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from app.outbound import Breaker, CircuitOpen, Client


class Upstream:
    """Answers with the statuses in turn, the last one for ever."""

    def __init__(self) -> None:
        self.statuses, self.calls, self.delay = [200], 0, 0.0
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.calls += 1
                outer.headers.append({k.lower(): v for k, v in self.headers.items()})
                time.sleep(outer.delay)
                self.send_response(outer.statuses[min(outer.calls, len(outer.statuses)) - 1])
                self.send_header("content-length", "11")
                self.end_headers()
                self.wfile.write(b'{"stock":7}')

            do_POST = do_GET

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    up = Upstream()
    yield up
    up.close()


def test_breaker() -> None:
    now = 0.0
    breaker = Breaker(threshold=2, open_for=1.0, now=lambda: now)
    for _ in range(2):
        breaker.allow()
        breaker.report(False)
    with pytest.raises(CircuitOpen):
        breaker.allow()
    now = 1.0
    breaker.allow()  # one goes through to find out
    with pytest.raises(CircuitOpen):
        breaker.allow()  # and only one
    breaker.report(False)
    with pytest.raises(CircuitOpen):
        breaker.allow()
    now = 2.0
    breaker.allow()
    breaker.forget()
    breaker.allow()
    breaker.report(True)
    breaker.allow()
    breaker.report(False)
    breaker.allow()  # closed again: one failure is not enough


@pytest.mark.parametrize(
    ("method", "statuses", "want", "calls"),
    [
        pytest.param("GET", [503, 502, 200], 200, 3, id="until it works"),
        pytest.param("GET", [503], 503, 3, id="not for ever"),
        pytest.param("POST", [503, 200], 503, 1, id="not what is not safe to repeat"),
        pytest.param("GET", [404], 404, 1, id="not what is our own fault"),
    ],
)
def test_retries(upstream: Upstream, method: str, statuses: list[int], want: int, calls: int) -> None:
    upstream.statuses = statuses
    response = asyncio.run(Client(backoff=0.001).request(method, upstream.url))
    assert (response.status_code, upstream.calls) == (want, calls)


def test_stops_calling_what_keeps_failing(upstream: Upstream) -> None:
    upstream.statuses = [500]

    async def calls() -> None:
        client = Client(backoff=0.001)
        for _ in range(client.breaker.threshold):
            await client.request("GET", upstream.url)
        with pytest.raises(CircuitOpen):
            await client.request("GET", upstream.url)
        assert upstream.calls == client.breaker.threshold

    asyncio.run(calls())


def test_gives_up_waiting(upstream: Upstream) -> None:
    upstream.delay = 0.5
    with pytest.raises((TimeoutError, httpx.TimeoutException)):
        asyncio.run(Client(attempts=2, timeout=0.05, backoff=0.001).request("GET", upstream.url))
    assert upstream.calls == 2
