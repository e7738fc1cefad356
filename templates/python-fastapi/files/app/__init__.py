"""The service: configuration, HTTP, health, telemetry and the calls it makes."""
