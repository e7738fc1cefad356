"""Everything the environment decides. Values are checked once, at start."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Config:
    port: int  # PORT
    log_level: str = "info"  # LOG_LEVEL: debug, info, warn, error
    greeting: str = "Hello"  # GREETING: what GET / says
    fail_rate: float = 0.0  # FAIL_RATE: rehearse a bad release: this share of GET / answers 500
    drain_delay: float = 1.0  # DRAIN_DELAY: from "not ready" to "accepts no more"
    shutdown_timeout: float = 20.0  # SHUTDOWN_TIMEOUT: from SIGTERM to the end
    upstream_url: str = ""  # UPSTREAM_URL: a service that GET / asks; required for readiness when set
    trace_endpoint: str = ""  # OTEL_EXPORTER_OTLP_ENDPOINT: no traces leave unless it is set


class Invalid(Exception):
    """Names every variable that is wrong. Values are never repeated: one of them may be a secret."""


def load(environ: Mapping[str, str], default_port: int) -> Config:
    problems: list[str] = []
    values: dict[str, Any] = {"port": default_port}
    for field, (name, want, read) in VARIABLES.items():
        raw = environ.get(name, "")
        if raw == "":
            continue
        try:
            values[field] = read(raw)
        except ValueError:
            problems.append(f"{name}: want {want}")
    config = Config(**values)
    if not problems and config.drain_delay >= config.shutdown_timeout:
        problems.append("DRAIN_DELAY: must be shorter than SHUTDOWN_TIMEOUT")
    if problems:
        raise Invalid("; ".join(problems))
    return config


def _port(raw: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", raw) or not 1 <= int(raw) <= 65535:
        raise ValueError
    return int(raw)


def _share(raw: str) -> float:
    value = float(raw)
    if not 0 <= value <= 1:  # NaN too
        raise ValueError
    return value


def _level(raw: str) -> str:
    if raw not in ("debug", "info", "warn", "error"):
        raise ValueError
    return raw


def _duration(raw: str) -> float:
    """20s, 1m30s, 500ms or plain seconds; the result is in seconds."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", raw):
        return float(raw)
    part = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)"
    if not re.fullmatch(f"(?:{part})+", raw):
        raise ValueError
    return sum(float(n) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit] for n, unit in re.findall(part, raw))


def _http_url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    return raw


VARIABLES: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "port": ("PORT", "a number from 1 to 65535", _port),
    "log_level": ("LOG_LEVEL", "debug, info, warn or error", _level),
    "greeting": ("GREETING", "text", str),
    "fail_rate": ("FAIL_RATE", "a number from 0 to 1", _share),
    "drain_delay": ("DRAIN_DELAY", "a duration such as 1s", _duration),
    "shutdown_timeout": ("SHUTDOWN_TIMEOUT", "a duration such as 20s", _duration),
    "upstream_url": ("UPSTREAM_URL", "an http or https URL", _http_url),
    "trace_endpoint": ("OTEL_EXPORTER_OTLP_ENDPOINT", "an http or https URL", _http_url),
}
