// Package app is the service: configuration, HTTP, health, telemetry and the calls it makes.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Info says who this is: GET /version, the image's labels and the traces agree on it.
type Info struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	BuiltAt string `json:"built-at"`
}

// App is the service without its listener, so that tests can run it in their own process.
type App struct {
	cfg      Config
	info     Info
	log      *slog.Logger
	health   *Health
	metrics  *Metrics
	routes   *http.ServeMux
	upstream *Client
}

func New(cfg Config, info Info, log *slog.Logger) *App {
	a := &App{cfg: cfg, info: info, log: log, health: NewHealth(log), metrics: NewMetrics(), routes: http.NewServeMux()}
	if cfg.UpstreamURL != "" {
		a.upstream = NewClient()
		a.health.Require("upstream", a.upstreamAnswers)
	}
	a.routes.HandleFunc("GET /{$}", a.greet)
	a.routes.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, info) })
	return a
}

func (a *App) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/live", a.health.live)
	mux.HandleFunc("GET /health/ready", a.health.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	mux.Handle("/", a.observe(a.routes))
	return mux
}

// Run serves until a signal, then drains: not ready at once, a moment for the load balancers to notice,
// no new connections, and the requests under way finish. It fails when they do not, or at a second signal.
func (a *App) Run(ln net.Listener, signals <-chan os.Signal) error {
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn)}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	a.health.set(serving)
	a.log.Info("listening", "address", ln.Addr().String(), "version", a.info.Version)
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case sig := <-signals:
		a.health.set(draining)
		a.log.Info("draining", "signal", sig.String())
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.ShutdownTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		time.Sleep(a.cfg.DrainDelay)
		done <- server.Shutdown(ctx)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("requests were still running after SHUTDOWN_TIMEOUT (%s): %w", a.cfg.ShutdownTimeout, err)
		}
		a.log.Info("stopped")
		return nil
	case sig := <-signals:
		return errors.Join(fmt.Errorf("%s again: quit without waiting", sig), server.Close())
	}
}

// Main is the process: 0 after a clean drain, 1 after a failure, 2 for a wrong configuration.
func Main(info Info, defaultPort int) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	// What the build set wins: the environment cannot make an image lie about itself.
	info.Version = first(info.Version, os.Getenv("VERSION"), "dev")
	info.Commit = first(info.Commit, os.Getenv("COMMIT"), "unknown")
	info.BuiltAt = first(info.BuiltAt, os.Getenv("BUILT_AT"), "unknown")
	cfg, err := LoadConfig(os.Getenv, defaultPort)
	log := NewLogger(os.Stdout, cfg.LogLevel)
	if err != nil {
		log.Error("invalid configuration: " + strings.ReplaceAll(err.Error(), "\n", "; "))
		return 2
	}
	flush, err := SetupTracing(context.Background(), info, cfg.TraceEndpoint, log)
	if err != nil {
		log.Error("start", "error", err.Error())
		return 1
	}
	defer flush()
	ln, err := net.Listen("tcp", fmt.Sprintf(":%d", cfg.Port)) // IPv4 and IPv6
	if err != nil {
		log.Error("listen", "error", err.Error())
		return 1
	}
	if err := New(cfg, info, log).Run(ln, signals); err != nil {
		log.Error("stopped", "error", err.Error())
		return 1
	}
	return 0
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
