package app

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLoadConfig(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		bad  []string // the variables the error must name
	}{
		{"nothing set", nil, nil},
		{"all set", map[string]string{"PORT": "9000", "LOG_LEVEL": "debug", "FAIL_RATE": "0.25", "DRAIN_DELAY": "0",
			"SHUTDOWN_TIMEOUT": "1m30s", "UPSTREAM_URL": "http://stock:8080/"}, nil},
		{"port is a word", map[string]string{"PORT": "http"}, []string{"PORT"}},
		{"port too large", map[string]string{"PORT": "70000"}, []string{"PORT"}},
		{"rate above one", map[string]string{"FAIL_RATE": "1.5"}, []string{"FAIL_RATE"}},
		{"rate is not a number", map[string]string{"FAIL_RATE": "NaN"}, []string{"FAIL_RATE"}},
		{"level", map[string]string{"LOG_LEVEL": "loud"}, []string{"LOG_LEVEL"}},
		{"negative duration", map[string]string{"SHUTDOWN_TIMEOUT": "-1s"}, []string{"SHUTDOWN_TIMEOUT"}},
		{"drain longer than all", map[string]string{"DRAIN_DELAY": "30s"}, []string{"DRAIN_DELAY"}},
		{"no scheme", map[string]string{"UPSTREAM_URL": "stock:8080"}, []string{"UPSTREAM_URL"}},
		{"every one is named", map[string]string{"PORT": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://x"},
			[]string{"PORT", "OTEL_EXPORTER_OTLP_ENDPOINT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := LoadConfig(func(k string) string { return tt.env[k] }, 8080)
			if (err != nil) != (tt.bad != nil) {
				t.Fatalf("error: %v", err)
			}
			for _, name := range tt.bad {
				if !strings.Contains(err.Error(), name+": ") {
					t.Errorf("%q does not name %s", err, name)
				}
			}
		})
	}
}

func TestLoadConfigValues(t *testing.T) {
	env := map[string]string{"LOG_LEVEL": "warn", "SHUTDOWN_TIMEOUT": "7", "GREETING": "Ahoy"}
	c, err := LoadConfig(func(k string) string { return env[k] }, 8081)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Port: 8081, LogLevel: slog.LevelWarn, Greeting: "Ahoy", DrainDelay: time.Second, ShutdownTimeout: 7 * time.Second}
	if c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestErrorsDoNotRepeatValues(t *testing.T) {
	_, err := LoadConfig(func(string) string { return "hunter2" }, 8080)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a value is in the error: %v", err)
	}
}
