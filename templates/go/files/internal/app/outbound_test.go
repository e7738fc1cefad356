package app

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	now := time.Unix(0, 0)
	b := &Breaker{Threshold: 2, OpenFor: time.Second, now: func() time.Time { return now }}
	allow := func(want error) {
		t.Helper()
		if err := b.Allow(); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	allow(nil)
	b.Report(false)
	allow(nil)
	b.Report(false)
	allow(ErrOpen)
	now = now.Add(time.Second)
	allow(nil)     // one goes through to find out
	allow(ErrOpen) // and only one
	b.Report(false)
	allow(ErrOpen)
	now = now.Add(time.Second)
	allow(nil)
	b.Forget()
	allow(nil)
	b.Report(true)
	allow(nil)
	b.Report(false)
	allow(nil) // closed again: one failure is not enough
}

// upstream answers with the statuses in turn, the last one for ever.
func upstream(t *testing.T, statuses ...int) (*httptest.Server, *atomic.Int32) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int(calls.Add(1))
		w.WriteHeader(statuses[min(n, len(statuses))-1])
	}))
	t.Cleanup(s.Close)
	return s, &calls
}

func quick() *Client {
	c := NewClient()
	c.backoff = time.Millisecond
	return c
}

func TestClientRetries(t *testing.T) {
	for _, tt := range []struct {
		name     string
		method   string
		statuses []int
		want     int
		calls    int32
	}{
		{"until it works", "GET", []int{503, 502, 200}, 200, 3},
		{"not for ever", "GET", []int{503}, 503, 3},
		{"not what is not safe to repeat", "POST", []int{503, 200}, 503, 1},
		{"not what is our own fault", "GET", []int{404}, 404, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, calls := upstream(t, tt.statuses...)
			req, _ := http.NewRequest(tt.method, s.URL, strings.NewReader("body"))
			res, err := quick().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != tt.want || calls.Load() != tt.calls {
				t.Errorf("status %d after %d calls, want %d after %d", res.StatusCode, calls.Load(), tt.want, tt.calls)
			}
		})
	}
}

func TestClientStopsCallingWhatKeepsFailing(t *testing.T) {
	s, calls := upstream(t, 500)
	c := quick()
	for range c.breaker.Threshold {
		req, _ := http.NewRequest("GET", s.URL, nil)
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	before := calls.Load()
	req, _ := http.NewRequest("GET", s.URL, nil)
	if _, err := c.Do(req); !errors.Is(err, ErrOpen) {
		t.Fatalf("want the breaker open, got %v", err)
	}
	if calls.Load() != before {
		t.Error("called although the breaker is open")
	}
}

func TestClientGivesUpWaiting(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	c := quick()
	c.http.Timeout = 20 * time.Millisecond
	c.attempts = 2
	req, _ := http.NewRequestWithContext(context.Background(), "GET", s.URL, nil)
	if _, err := c.Do(req); err == nil {
		t.Fatal("want a timeout")
	}
}
