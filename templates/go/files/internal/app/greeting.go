package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
)

// The example: replace it with what the service is for.

type greeting struct {
	Greeting string          `json:"greeting"`
	Service  string          `json:"service"`
	Version  string          `json:"version"`
	Upstream json.RawMessage `json:"upstream,omitempty"`
}

// greet answers GET / with GREETING, and with what UPSTREAM_URL says when that is set.
func (a *App) greet(w http.ResponseWriter, r *http.Request) {
	if rand.Float64() < a.cfg.FailRate {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "FAIL_RATE asked for this"})
		return
	}
	answer := greeting{Greeting: a.cfg.Greeting, Service: a.info.Service, Version: a.info.Version}
	if a.upstream != nil {
		body, err := a.askUpstream(r.Context())
		if err != nil {
			a.log.ErrorContext(r.Context(), "upstream", "error", err.Error())
			writeJSON(w, http.StatusBadGateway, map[string]string{"error": "upstream does not answer"})
			return
		}
		answer.Upstream = body
	}
	writeJSON(w, http.StatusOK, answer)
}

func (a *App) askUpstream(ctx context.Context) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.cfg.UpstreamURL, nil)
	if err != nil {
		return nil, err
	}
	res, err := a.upstream.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || json.Valid(body) {
		return body, err
	}
	return json.Marshal(string(body))
}

// upstreamAnswers is the readiness check: any answer below 500 will do, and nothing is retried.
func (a *App) upstreamAnswers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.cfg.UpstreamURL, nil)
	if err != nil {
		return err
	}
	res, err := a.upstream.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 500 {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}
