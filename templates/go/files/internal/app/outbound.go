package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Client calls one other service. Each attempt has a timeout, requests that are safe to repeat are repeated
// a few times after a random wait, and a circuit breaker leaves a service alone that keeps failing.
type Client struct {
	http     *http.Client
	breaker  *Breaker
	attempts int
	backoff  time.Duration // upper bound of the first wait; it doubles
}

func NewClient() *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32 // all calls go to one host
	return &Client{
		http:     &http.Client{Timeout: 2 * time.Second, Transport: traced{transport}},
		breaker:  &Breaker{Threshold: 5, OpenFor: 5 * time.Second, now: time.Now},
		attempts: 3,
		backoff:  100 * time.Millisecond,
	}
}

// Do sends the request; the caller closes the body. 429, 502, 503 and 504 count as failures to try again.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		res, err := c.once(req)
		if attempt == c.attempts || !repeatable(req) || !worthRetry(res, err) {
			return res, err
		}
		if res != nil {
			res.Body.Close()
		}
		wait := time.Duration(rand.Int64N(int64(c.backoff<<(attempt-1)) + 1))
		select {
		case <-time.After(wait):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, fmt.Errorf("read the body again: %w", err)
			}
		}
	}
}

func (c *Client) once(req *http.Request) (*http.Response, error) {
	if err := c.breaker.Allow(); err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	switch {
	case errors.Is(req.Context().Err(), context.Canceled):
		c.breaker.Forget() // our own caller went away: that says nothing about the service
	default:
		c.breaker.Report(err == nil && res.StatusCode < 500)
	}
	return res, err
}

func repeatable(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return req.Body == nil || req.GetBody != nil
	}
	return false
}

func worthRetry(res *http.Response, err error) bool {
	if err != nil {
		return !errors.Is(err, ErrOpen) && !errors.Is(err, context.Canceled)
	}
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// ErrOpen is returned without a call while the breaker is open.
var ErrOpen = errors.New("circuit breaker is open")

// Breaker opens after Threshold failures in a row. After OpenFor it lets one request through to find out.
type Breaker struct {
	Threshold int
	OpenFor   time.Duration
	now       func() time.Time

	mu       sync.Mutex
	failures int
	until    time.Time
	probing  bool
}

// Allow asks before a call; every nil must be followed by one Report or Forget.
func (b *Breaker) Allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < b.Threshold {
		return nil
	}
	if b.probing || b.now().Before(b.until) {
		return ErrOpen
	}
	b.probing = true
	return nil
}

func (b *Breaker) Report(ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if ok {
		b.failures = 0
		return
	}
	if b.failures++; b.failures >= b.Threshold {
		b.until = b.now().Add(b.OpenFor)
	}
}

// Forget takes the call back as if it had never been made.
func (b *Breaker) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// traced makes each attempt a span and hands the trace on in the headers.
type traced struct{ next http.RoundTripper }

func (t traced) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, span := tracer.Start(req.Context(), req.Method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", req.Method), attribute.String("server.address", req.URL.Hostname())))
	defer span.End()
	req = req.Clone(ctx)
	otel.GetTextMapPropagator().Inject(ctx, propagation.HeaderCarrier(req.Header))
	res, err := t.next.RoundTrip(req)
	if err != nil {
		span.SetStatus(codes.Error, "no answer")
		return nil, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode))
	return res, nil
}
