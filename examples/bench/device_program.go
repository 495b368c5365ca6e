package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
)

// Goals of the program.
const (
	mostBinary = 12 // MB
	mostMemory = 30 // MB
	statuses   = 5  // that the device says before its memory is looked at
)

// binary builds examples/device as a device builder would, and runs it.
func (b *deviceRun) binary(ctx context.Context, r *report, y *yard) error {
	dir, err := os.MkdirTemp("", "bench-device-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := r.section("binary", "The program examples/device: -tags nomqtt -trimpath -ldflags '-s -w', CGO_ENABLED=0")
	own := filepath.Join(dir, "device")
	size, err := buildDevice(ctx, own, runtime.GOOS+"/"+runtime.GOARCH, "nomqtt")
	if err != nil {
		return err
	}
	s.goal("binary_size", size, "MB", mostBinary, runtime.GOOS+"/"+runtime.GOARCH)
	if size, err = buildDevice(ctx, filepath.Join(dir, "mqtt"), runtime.GOOS+"/"+runtime.GOARCH, ""); err != nil {
		return err
	}
	s.add("binary_size_mqtt", size, "MB", "without -tags nomqtt")
	for _, system := range b.systems() {
		size, err := buildDevice(ctx, filepath.Join(dir, "other"), system, "nomqtt")
		if err != nil {
			return err
		}
		s.goal("binary_size_"+strings.ReplaceAll(system, "/", "_"), size, "MB", mostBinary, "")
	}
	s = r.section("memory", "device run, connected over AT+CSIM and HTTPS")
	peak, err := y.runDevice(ctx, own, dir)
	if errors.Is(err, errors.ErrUnsupported) {
		s.skip("memory_peak", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	s.goal("memory_peak", peak, "MB", mostMemory, fmt.Sprintf("VmHWM after %d statuses", statuses))
	return nil
}

// buildDevice returns the size in megabytes.
func buildDevice(ctx context.Context, to, system, tags string) (float64, error) {
	goos, goarch, ok := strings.Cut(system, "/")
	if !ok {
		return 0, usageError{fmt.Errorf("-cross: %q is no system like linux/arm", system)}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", tags, "-trimpath", "-ldflags", "-s -w", "-o", to, "github.com/iotregistry/sdk/examples/device")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build examples/device for %s: %w: %s", system, err, bytes.TrimSpace(out))
	}
	info, err := os.Stat(to)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / 1e6, nil
}

// runDevice has the program connect by a modem that is played here, and returns
// the most memory that it ever had, in megabytes.
func (y *yard) runDevice(ctx context.Context, program, dir string) (float64, error) {
	if runtime.GOOS != "linux" {
		return 0, fmt.Errorf("%w: /proc and pseudo-terminals are Linux's", errors.ErrUnsupported)
	}
	anchor := filepath.Join(dir, "anchor.ds")
	if err := os.WriteFile(anchor, []byte(y.Anchor()), 0o600); err != nil {
		return 0, err
	}
	pty, err := atcsim.OpenPTY()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	var served sync.WaitGroup
	served.Go(func() { _ = atcsim.Serve(ctx, pty, y.card, atcsim.ServeOptions{}) })
	defer func() { cancel(); pty.Close(); served.Wait() }()

	cmd := exec.CommandContext(ctx, program, "run", "-json", "-at", pty.Path, "-registry", yardZone, "-dns", y.Addr(), "-anchor", anchor,
		"-state", dir, "-every", "50ms")
	var log bytes.Buffer
	cmd.Stderr = &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	peak, err := peakAfter(out, cmd.Process.Pid)
	cancel()
	_, _ = io.Copy(io.Discard, out)
	if ended := cmd.Wait(); err == nil && ended != nil && !errors.Is(ended, context.Canceled) {
		err = ended
	}
	if err != nil {
		return 0, fmt.Errorf("device run: %w: %s", err, bytes.TrimSpace(log.Bytes()))
	}
	return peak, nil
}

// peakAfter reads events until the device has said enough, and looks at it then.
func peakAfter(out io.Reader, pid int) (float64, error) {
	said, last := 0, ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e struct {
			Event string `json:"event"`
		}
		last = lines.Text()
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Event != "said" {
			continue
		}
		if said++; said < statuses {
			continue
		}
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil {
			return 0, err
		}
		return highWater(string(status))
	}
	return 0, fmt.Errorf("it did not connect: %s", last)
}

// highWater reads VmHWM of proc(5), in megabytes.
func highWater(status string) (float64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kB, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kB * 1024 / 1e6, err
		}
	}
	return 0, errors.New("/proc/PID/status has no VmHWM")
}
