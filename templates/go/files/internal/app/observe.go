package app

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

var tracer = otel.Tracer("app")

// Metrics are named as OpenTelemetry's semantic conventions say.
type Metrics struct {
	registry *prometheus.Registry
	duration *prometheus.HistogramVec
}

func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "http_server_request_duration_seconds",
		Help:    "Duration of HTTP server requests.",
		Buckets: []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10},
	}, []string{"http_request_method", "http_route", "http_response_status_code"})}
	m.registry.MustRegister(m.duration, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.duration.WithLabelValues("GET", "/", "200") // there from the first scrape on, so that rates start at zero
	return m
}

// observe gives each request a span, a measurement and a log line. Probes and scrapes do not pass
// through it: they would hide the rate of errors that users see.
func (a *App) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		method := knownMethod(r.Method)
		ctx := otel.GetTextMapPropagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", method), attribute.String("url.path", r.URL.Path)))
		defer span.End()
		r = r.WithContext(ctx)
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		if a.health.draining() {
			w.Header().Set("Connection", "close") // tells clients to connect elsewhere before the port closes
		}
		func() {
			defer a.recoverPanic(rec, r)
			next.ServeHTTP(rec, r)
		}()
		route, took := routeOf(r.Pattern), time.Since(start)
		a.metrics.duration.WithLabelValues(method, route, strconv.Itoa(rec.status)).Observe(took.Seconds())
		span.SetName(strings.TrimSpace(method + " " + route))
		span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", rec.status))
		level := slog.LevelInfo
		if rec.status >= 500 {
			level = slog.LevelError
			span.SetStatus(codes.Error, http.StatusText(rec.status))
		}
		a.log.LogAttrs(ctx, level, "request", slog.String("method", method), slog.String("route", route),
			slog.Int("status", rec.status), slog.Float64("seconds", took.Seconds()))
	})
}

func (a *App) recoverPanic(rec *recorder, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	a.log.ErrorContext(r.Context(), "panic", "error", fmt.Sprint(p), "stack", string(debug.Stack()))
	if !rec.wrote {
		writeJSON(rec, http.StatusInternalServerError, map[string]string{"error": "internal error"})
	}
	rec.status = http.StatusInternalServerError
}

// routeOf turns the pattern "GET /orders/{id}" into the route /orders/{id}; no pattern, no route:
// paths that nobody serves must not become label values.
func routeOf(pattern string) string {
	_, path, found := strings.Cut(pattern, " ")
	if !found {
		path = pattern
	}
	return strings.TrimSuffix(path, "{$}")
}

func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return m
	}
	return "_OTHER"
}

type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush and hijack.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
