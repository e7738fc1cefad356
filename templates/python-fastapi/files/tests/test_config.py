import pytest

from app.config import Config, Invalid, load


@pytest.mark.parametrize(
    ("environ", "bad"),
    [
        ({"PORT": "http"}, ["PORT"]),
        ({"PORT": "70000"}, ["PORT"]),
        ({"FAIL_RATE": "1.5"}, ["FAIL_RATE"]),
        ({"FAIL_RATE": "NaN"}, ["FAIL_RATE"]),
        ({"LOG_LEVEL": "loud"}, ["LOG_LEVEL"]),
        ({"SHUTDOWN_TIMEOUT": "-1s"}, ["SHUTDOWN_TIMEOUT"]),
        ({"DRAIN_DELAY": "30s"}, ["DRAIN_DELAY"]),
        ({"UPSTREAM_URL": "stock:8080"}, ["UPSTREAM_URL"]),
        ({"PORT": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://x"}, ["PORT", "OTEL_EXPORTER_OTLP_ENDPOINT"]),
    ],
)
def test_bad_variables_are_named(environ: dict[str, str], bad: list[str]) -> None:
    with pytest.raises(Invalid) as error:
        load(environ, 8080)
    assert [problem.split(":")[0] for problem in str(error.value).split("; ")] == bad


def test_values() -> None:
    environ = {
        "LOG_LEVEL": "warn",
        "SHUTDOWN_TIMEOUT": "1m30s",
        "DRAIN_DELAY": "500ms",
        "GREETING": "Ahoy",
        "FAIL_RATE": "",
    }
    want = Config(port=8081, log_level="warn", shutdown_timeout=90.0, drain_delay=0.5, greeting="Ahoy")
    assert load(environ, 8081) == want


def test_values_are_not_repeated() -> None:
    with pytest.raises(Invalid) as error:
        load({"PORT": "hunter2", "UPSTREAM_URL": "hunter2"}, 8080)
    assert "hunter2" not in str(error.value)
