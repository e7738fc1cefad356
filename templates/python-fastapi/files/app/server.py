"""uvicorn with a graceful end. After SIGTERM it is not ready at once, accepts for another moment while the load
balancers notice, then closes the port and lets the requests under way finish. uvicorn alone closes the port at
once and ends by the signal instead of with 0."""

import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from .config import Config
from .health import DRAINING, SERVING, Health

log = logging.getLogger(__name__)


def listen(port: int) -> socket.socket:
    """A socket for IPv4 and IPv6, or for IPv4 where that is all there is."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return socket.create_server(("0.0.0.0", port), backlog=2048)


class Server(uvicorn.Server):
    def __init__(self, app: FastAPI, config: Config, health: Health, quit: Callable[[int], None] = os._exit) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=config.shutdown_timeout - config.drain_delay,  # type: ignore[arg-type]
            )
        )
        self._settings, self._health, self._quit = config, health, quit
        self._close_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._health.state = SERVING
        log.info("listening", extra={"fields": {"port": sockets[0].getsockname()[1] if sockets else None}})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._close_at is not None:
            log.error("second signal: quit without waiting")
            self._leave()
            return
        self._health.state = DRAINING
        self._close_at = time.monotonic() + self._settings.drain_delay
        log.info("draining", extra={"fields": {"signal": signal.Signals(sig).name}})

    async def on_tick(self, counter: int) -> bool:
        if self._close_at is not None and time.monotonic() >= self._close_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        began = time.monotonic()
        await super().shutdown(sockets)
        if time.monotonic() - began >= self._settings.shutdown_timeout - self._settings.drain_delay:
            log.error("requests were still running after SHUTDOWN_TIMEOUT")
            self._leave()  # a thread that hangs would keep the interpreter
        log.info("stopped")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is threading.main_thread():  # else a test calls handle_exit itself
            for sig in (signal.SIGTERM, signal.SIGINT):
                signal.signal(sig, self.handle_exit)
        yield

    def _leave(self) -> None:
        sys.stdout.flush()
        self._quit(1)
