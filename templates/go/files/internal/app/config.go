package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"time"
)

// Config is everything the environment decides. Values are checked once, at start.
type Config struct {
	Port            int           // PORT
	LogLevel        slog.Level    // LOG_LEVEL: debug, info, warn, error
	Greeting        string        // GREETING: what GET / says
	FailRate        float64       // FAIL_RATE: rehearse a bad release: this share of GET / answers 500
	DrainDelay      time.Duration // DRAIN_DELAY: from "not ready" to "accepts no more"
	ShutdownTimeout time.Duration // SHUTDOWN_TIMEOUT: from SIGTERM to the end
	UpstreamURL     string        // UPSTREAM_URL: a service that GET / asks; required for readiness when set
	TraceEndpoint   string        // OTEL_EXPORTER_OTLP_ENDPOINT: no traces leave unless it is set
}

// LoadConfig reads the environment and names every variable that is wrong, not only the first.
// Values are never repeated in the error: one of them may be a secret.
func LoadConfig(getenv func(string) string, defaultPort int) (Config, error) {
	e := env{get: getenv}
	c := Config{
		Port:            parse(&e, "PORT", defaultPort, "a number from 1 to 65535", port),
		LogLevel:        parse(&e, "LOG_LEVEL", slog.LevelInfo, "debug, info, warn or error", level),
		Greeting:        parse(&e, "GREETING", "Hello", "text", text),
		FailRate:        parse(&e, "FAIL_RATE", 0, "a number from 0 to 1", share),
		DrainDelay:      parse(&e, "DRAIN_DELAY", time.Second, "a duration such as 1s", duration),
		ShutdownTimeout: parse(&e, "SHUTDOWN_TIMEOUT", 20*time.Second, "a duration such as 20s", duration),
		UpstreamURL:     parse(&e, "UPSTREAM_URL", "", "an http or https URL", httpURL),
		TraceEndpoint:   parse(&e, "OTEL_EXPORTER_OTLP_ENDPOINT", "", "an http or https URL", httpURL),
	}
	if len(e.errs) == 0 && c.DrainDelay >= c.ShutdownTimeout {
		e.errs = append(e.errs, errors.New("DRAIN_DELAY: must be shorter than SHUTDOWN_TIMEOUT"))
	}
	return c, errors.Join(e.errs...)
}

type env struct {
	get  func(string) string
	errs []error
}

func parse[T any](e *env, name string, fallback T, want string, read func(string) (T, error)) T {
	raw := e.get(name)
	if raw == "" {
		return fallback
	}
	v, err := read(raw)
	if err != nil {
		e.errs = append(e.errs, fmt.Errorf("%s: want %s", name, want))
		return fallback
	}
	return v
}

var errRange = errors.New("out of range")

func text(s string) (string, error) { return s, nil }

func port(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err == nil && (n < 1 || n > 65535) {
		err = errRange
	}
	return n, err
}

func share(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err == nil && !(f >= 0 && f <= 1) {
		err = errRange
	}
	return f, err
}

func level(s string) (l slog.Level, err error) {
	switch s {
	case "debug", "info", "warn", "error":
		err = l.UnmarshalText([]byte(s))
	default:
		err = errRange
	}
	return l, err
}

// duration reads 20s, 1m30s or plain seconds.
func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		d, err = time.ParseDuration(s + "s")
	}
	if err == nil && d < 0 {
		err = errRange
	}
	return d, err
}

func httpURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err == nil && (u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		err = errRange
	}
	return s, err
}
