package app

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	starting = "starting"
	serving  = "ok"
	draining = "draining"
)

// Health answers the probes. Liveness says only that the process can answer; readiness also asks the dependencies.
type Health struct {
	state  atomic.Value // starting, serving or draining
	log    *slog.Logger
	checks map[string]func(context.Context) error
}

func NewHealth(log *slog.Logger) *Health {
	h := &Health{log: log, checks: map[string]func(context.Context) error{}}
	h.state.Store(starting)
	return h
}

// Require adds a dependency without which the service cannot work. Call it before Run.
func (h *Health) Require(name string, check func(context.Context) error) { h.checks[name] = check }

func (h *Health) set(state string) { h.state.Store(state) }

func (h *Health) draining() bool { return h.state.Load() == draining }

func (h *Health) live(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "live"})
}

func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	lifecycle := h.state.Load().(string)
	checks := map[string]string{"lifecycle": lifecycle}
	ok := lifecycle == serving
	if ok { // while starting or draining the answer is known
		ok = h.ask(r.Context(), checks)
	}
	if ok {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ready", "checks": checks})
		return
	}
	writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "unready", "checks": checks})
}

// ask runs the checks side by side, a second at most. Causes go to the log, not to whoever asks.
func (h *Health) ask(ctx context.Context, checks map[string]string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	ok := true
	for name, check := range h.checks {
		wg.Go(func() {
			result := "ok"
			if err := check(ctx); err != nil {
				result = "failing"
				h.log.WarnContext(ctx, "readiness check failed", "check", name, "error", err.Error())
			}
			mu.Lock()
			defer mu.Unlock()
			checks[name] = result
			ok = ok && result == "ok"
		})
	}
	wg.Wait()
	return ok
}
