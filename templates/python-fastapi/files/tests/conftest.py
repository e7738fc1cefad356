"""The whole service over real HTTP, in a thread of this process."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI

from app.config import Config
from app.health import Health
from app.server import Server
from app.telemetry import setup_tracing
from app.web import create_app

INFO = {"service": "orders", "version": "1.2.3", "commit": "abc", "built-at": "2026-01-01T00:00:00Z"}


def until(what: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Service:
    def __init__(self, prepare: Callable[[FastAPI], None] = lambda _: None, **settings: object) -> None:
        config = Config(**{"port": 8080, "drain_delay": 0.0, "shutdown_timeout": 5.0, **settings})  # type: ignore[arg-type]
        self.health = Health()
        app = create_app(config, INFO, self.health)
        prepare(app)
        self.quits: list[int] = []
        self.server = Server(app, config, self.health, quit=self.quits.append)
        sock = socket.create_server(("127.0.0.1", 0))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}", timeout=5)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [sock]}, daemon=True)
        self.thread.start()
        until(lambda: self.server.started and self.get("/health/ready").status_code == 200)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(path, headers=headers)

    def terminate(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)

    def ended(self, seconds: float = 5.0) -> bool:
        self.thread.join(seconds)
        return not self.thread.is_alive()


@pytest.fixture(scope="session", autouse=True)
def tracing() -> None:
    setup_tracing(INFO, "")


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def begin(**settings: object) -> Service:
        services.append(Service(**settings))  # type: ignore[arg-type]
        return services[-1]

    yield begin
    for service in services:
        service.server.should_exit = service.server.force_exit = True
        service.http.close()
        service.thread.join(5)
