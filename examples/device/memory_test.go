package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What was learned is there at the next start; what cannot be used is left out.
func TestNotebook(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "device.json")
	var log bytes.Buffer
	w := &world{stderr: &log}
	n, err := openNotebook(path, w.warnf)
	require.NoError(t, err)
	seen := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	m := memory{Seen: seen, Evidence: [][]byte{{1}}, Provider: "parkoserv.ca:443", Addresses: []string{"192.0.2.7:443"}}
	require.NoError(t, n.write(m))
	require.True(t, n.same(m))
	again, err := openNotebook(path, w.warnf)
	require.NoError(t, err)
	require.Equal(t, m, again.memory)
	require.Empty(t, again.bundles(), "what is no evidence proves nothing")
	m.Seen = seen.Add(-time.Hour)
	require.NoError(t, again.write(m))
	require.Equal(t, seen, again.Seen, "the time does not go back")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077)
	require.Empty(t, log.String())
	require.NoError(t, os.WriteFile(path, []byte(`{"seen":`), 0o600))
	n, err = openNotebook(path, w.warnf)
	require.NoError(t, err, "a device starts after a loss of power in the wrong moment")
	require.Zero(t, n.memory)
	require.Contains(t, log.String(), "left out")
	_, err = openNotebook(filepath.Dir(path), w.warnf)
	require.Error(t, err)
}

func TestClock(t *testing.T) {
	t.Parallel()
	floor, now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), time.Unix(0, 0)
	c := newSteadyClock(func() time.Time { return now }, floor)
	require.Equal(t, floor, c.Now())
	now = now.Add(time.Minute)
	require.Equal(t, floor.Add(time.Minute), c.Now(), "it goes on")
	now = time.Unix(-1000, 0)
	require.Equal(t, floor, c.Now(), "it does not go back")
	now = floor.Add(time.Hour)
	require.Equal(t, now, c.Now(), "somebody has set it")
	require.False(t, built().Before(released()))
}

func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"seen":"2026-06-01T12:00:00Z","evidence":["AAAA"],"provider":"a:1","addresses":["192.0.2.7:443"]}`))
	f.Add([]byte(`{"evidence":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMemory(text)
		if err != nil {
			require.ErrorIs(t, err, errMemory)
			return
		}
		require.LessOrEqual(t, len(m.bundles()), maxBundles)
		again, err := json.Marshal(m)
		if err == nil && len(again) <= maxMemory { // years above 9999 are no JSON
			_, err = parseMemory(again)
			require.NoError(t, err)
		}
	})
}

func FuzzCommands(f *testing.F) {
	f.Add([]byte(`["reboot"]`))
	f.Add([]byte(`[1]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := parseCommands(body)
		if err == nil {
			require.LessOrEqual(t, len(list), maxOrders)
		}
	})
}

func FuzzDNSServers(f *testing.F) {
	for _, s := range []string{"", "192.0.2.1", "[2001:db8::1]:53,tcp://dns.example:5353", "tls://9.9.9.9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, err := dnsServers(s)
		require.Equal(t, s == "" || err != nil, x == nil)
	})
}
