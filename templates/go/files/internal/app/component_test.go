package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The whole service over real HTTP, in this process.

type service struct {
	*App
	t       *testing.T
	url     string
	signals chan os.Signal
	ended   chan error
	logs    *lines
}

type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.buf.Write(b) }
func (l *lines) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.buf.String() }

func start(t *testing.T, cfg Config, prepare ...func(*App)) *service {
	t.Helper()
	logs := &lines{}
	log := NewLogger(logs, slog.LevelInfo)
	info := Info{Service: "orders", Version: "1.2.3", Commit: "abc", BuiltAt: "2026-01-01T00:00:00Z"}
	flush, err := SetupTracing(context.Background(), info, "", log)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.ShutdownTimeout == 0 {
		cfg.ShutdownTimeout = 5 * time.Second
	}
	a := New(cfg, info, log)
	for _, p := range prepare {
		p(a)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{a, t, "http://" + ln.Addr().String(), make(chan os.Signal, 2), make(chan error, 1), logs}
	go func() { s.ended <- a.Run(ln, s.signals); flush() }()
	t.Cleanup(func() { s.signals <- syscall.SIGTERM; s.signals <- syscall.SIGTERM })
	s.until("/health/ready", http.StatusOK)
	return s
}

func (s *service) get(path string, header ...string) (int, string) {
	s.t.Helper()
	req, _ := http.NewRequest("GET", s.url+path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func (s *service) until(path string, want int) string {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		status, body := s.get(path)
		if status == want {
			return body
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s answers %d %s, want %d", path, status, body, want)
		}
	}
}

func (s *service) expect(path string, want int, parts ...string) {
	s.t.Helper()
	status, body := s.get(path)
	if status != want {
		s.t.Errorf("%s answers %d, want %d: %s", path, status, want, body)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			s.t.Errorf("%s is missing %s in\n%s", path, part, body)
		}
	}
}

func TestRoutes(t *testing.T) {
	s := start(t, Config{Greeting: "Ahoy"})
	s.expect("/", 200, `"greeting":"Ahoy"`, `"version":"1.2.3"`)
	s.expect("/version", 200, `"service":"orders"`, `"version":"1.2.3"`, `"commit":"abc"`, `"built-at":"2026-01-01T00:00:00Z"`)
	s.expect("/health/live", 200)
	s.expect("/health/ready", 200, `"lifecycle":"ok"`)
	s.expect("/nowhere/1", 404)
	s.expect("/metrics", 200,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/"} 1`,
		`http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="200",http_route="/version",le="0.005"}`,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="404",http_route=""} 1`)
}

func TestFailRate(t *testing.T) {
	s := start(t, Config{FailRate: 1})
	s.expect("/", 500, "FAIL_RATE")
	s.expect("/health/ready", 200)
	s.expect("/metrics", 200, `http_response_status_code="500",http_route="/"} 1`)
}

func TestPanicIsAnAnswer(t *testing.T) {
	s := start(t, Config{}, func(a *App) {
		a.routes.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("boom") })
	})
	s.expect("/panic", 500)
	s.expect("/", 200)
}

func TestReadinessNamesTheDependency(t *testing.T) {
	s := start(t, Config{})
	var mu sync.Mutex
	failure := error(nil)
	other := New(Config{}, Info{}, slog.New(slog.DiscardHandler))
	other.health.Require("database", func(context.Context) error { mu.Lock(); defer mu.Unlock(); return failure })
	server := httptest.NewServer(other.handler())
	defer server.Close()
	s.url = server.URL
	s.expect("/health/ready", 503, `"lifecycle":"starting"`)
	other.health.set(serving)
	s.expect("/health/ready", 200, `"database":"ok"`)
	mu.Lock()
	failure = errors.New("password=hunter2 refused")
	mu.Unlock()
	s.expect("/health/ready", 503, `"database":"failing"`)
	s.expect("/health/live", 200)
	if _, body := s.get("/health/ready"); strings.Contains(body, "hunter2") {
		t.Error("the cause is shown to whoever asks")
	}
}

func TestTraceGoesThrough(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	got := make(chan string, 9)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("traceparent")
		w.Write([]byte(`{"stock":7}`))
	}))
	defer up.Close()
	s := start(t, Config{UpstreamURL: up.URL})
	for len(got) > 0 {
		<-got // the readiness checks
	}
	if status, body := s.get("/", "traceparent", "00-"+id+"-b7ad6b7169203331-01"); status != 200 || !strings.Contains(body, `"upstream":{"stock":7}`) {
		t.Fatal(status, body)
	}
	if out := <-got; !strings.Contains(out, id) {
		t.Errorf("upstream got traceparent %q", out)
	}
	var line struct {
		Time, Level, Message string
		TraceID              string `json:"trace_id"`
		SpanID               string `json:"span_id"`
	}
	for _, l := range strings.Split(strings.TrimSpace(s.logs.String()), "\n") {
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		if line.Message == "request" {
			break
		}
	}
	if line.TraceID != id || line.SpanID == "" || line.Time == "" || line.Level != "info" {
		t.Errorf("log line %+v", line)
	}
	up.Close()
	s.expect("/", 502)
	s.expect("/health/ready", 503, `"upstream":"failing"`)
}

// slow answers after 600 ms and says on the channel when it has begun.
func slow(begun chan struct{}) func(*App) {
	return func(a *App) {
		a.routes.HandleFunc("GET /slow", func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			time.Sleep(600 * time.Millisecond)
			w.Write([]byte("done"))
		})
	}
}

func TestDrain(t *testing.T) {
	begun, answer := make(chan struct{}), make(chan int, 1)
	s := start(t, Config{DrainDelay: 300 * time.Millisecond}, slow(begun))
	go func() { status, _ := s.get("/slow"); answer <- status }()
	<-begun
	s.signals <- syscall.SIGTERM
	s.until("/health/ready", 503)
	s.expect("/health/ready", 503, `"lifecycle":"draining"`)
	s.expect("/health/live", 200)
	s.expect("/", 200) // still served while the load balancers notice
	if status := <-answer; status != 200 {
		t.Errorf("the request under way got %d", status)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("want a clean end, got %v", err)
	}
	if status, _ := s.get("/"); status != 0 {
		t.Error("still accepts connections")
	}
}

func TestShutdownTimeout(t *testing.T) {
	begun := make(chan struct{})
	s := start(t, Config{ShutdownTimeout: 100 * time.Millisecond}, slow(begun))
	go s.get("/slow")
	<-begun
	s.signals <- syscall.SIGTERM
	if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "SHUTDOWN_TIMEOUT") {
		t.Errorf("got %v", err)
	}
}

func TestSecondSignalQuits(t *testing.T) {
	begun := make(chan struct{})
	s := start(t, Config{DrainDelay: 4 * time.Second}, slow(begun))
	go s.get("/slow")
	<-begun
	at := time.Now()
	s.signals <- syscall.SIGTERM
	s.signals <- syscall.SIGTERM
	if err := <-s.ended; err == nil {
		t.Error("want an error")
	}
	if took := time.Since(at); took > 500*time.Millisecond {
		t.Errorf("took %s", took)
	}
}
