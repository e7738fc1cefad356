"""The program as it ships, in a process of its own: what only a real process can show."""

import os
import signal
import socket
import subprocess
import sys

import httpx

from .conftest import until

COMMAND = [sys.executable, "-m", "app"]


def test_a_bad_variable_stops_it_and_is_named() -> None:
    result = subprocess.run(
        COMMAND, check=False, env={"PORT": "http", "FAIL_RATE": "2"}, capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 2
    assert "PORT: " in result.stdout and "FAIL_RATE: " in result.stdout


def test_sigterm_ends_it_with_0() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(COMMAND, env={**os.environ, "PORT": str(port), "DRAIN_DELAY": "100ms"})
    try:
        until(lambda: ready(port), 15)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
    except httpx.HTTPError:
        return False
