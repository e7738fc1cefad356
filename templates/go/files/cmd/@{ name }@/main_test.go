package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The program as it ships, in a process of its own: what only a real process can show.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "service")
	cmd := exec.Command("go", "build", "-ldflags", "-X main.version=1.2.3", "-o", bin, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestProcess(t *testing.T) {
	bin := build(t)
	t.Run("a bad variable stops it and is named", func(t *testing.T) {
		cmd := exec.Command(bin)
		cmd.Env = []string{"PORT=http", "FAIL_RATE=2"}
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Fatalf("want exit code 2, got %v", err)
		}
		for _, name := range []string{"PORT", "FAIL_RATE"} {
			if !strings.Contains(string(out), name) {
				t.Errorf("%s is not named in %s", name, out)
			}
		}
	})
	t.Run("SIGTERM ends it with 0", func(t *testing.T) {
		port := freePort(t)
		var stdout bytes.Buffer
		cmd := exec.Command(bin)
		cmd.Env = append(os.Environ(), fmt.Sprint("PORT=", port), "DRAIN_DELAY=100ms")
		cmd.Stdout = &stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		url := fmt.Sprintf("http://127.0.0.1:%d/health/ready", port)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if res, err := http.Get(url); err == nil {
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					break
				}
			}
			if time.Now().After(deadline) {
				t.Fatal("never ready")
			}
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("want exit code 0: %v\n%s", err, stdout.String())
		}
	})
}
