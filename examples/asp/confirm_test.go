package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/examples/internal/aspd"
	"github.com/iotregistry/sdk/registry/eid"
)

// fakeRegistry answers /v1/confirm, after some failures.
type fakeRegistry struct {
	mu       sync.Mutex
	failures []int // statuses of the next answers
	calls    int
	profiles map[string]uint64
	tokens   map[string]bool
}

func (r *fakeRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	r.tokens[req.Header.Get("Authorization")] = true
	if len(r.failures) > 0 {
		status := r.failures[0]
		r.failures = r.failures[1:]
		w.WriteHeader(status)
		return
	}
	var body struct {
		Confirmations []struct {
			Device  string
			Profile uint64
		}
	}
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil || req.URL.Path != "/v1/confirm" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	results := []any{}
	for _, c := range body.Confirmations {
		r.profiles[c.Device] = c.Profile
		results = append(results, map[string]any{"device": c.Device, "profile": c.Profile, "code": 1000})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"results": results})
}

func (r *fakeRegistry) confirmed(device string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.profiles[device]
}

// TestConfirmed: devices that connect are confirmed at the registry, also when it
// fails first; the token is in no log.
func TestConfirmed(t *testing.T) {
	t.Parallel()
	reg := &fakeRegistry{profiles: map[string]uint64{}, tokens: map[string]bool{}, failures: []int{503, 401}}
	server := httptest.NewServer(reg)
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("secret-token"), 0o600))
	c := newCloud(t, func(f *flags) { f.registry, f.token = server.URL, token })
	c.mustConnect(c.device(meter), "")
	status, _ := c.ask(c.browser(c.device(other)), "PUT", "https://"+c.HTTPS+"/status?is=Free", "")
	require.Equal(t, 204, status)
	require.Eventually(t, func() bool {
		return reg.confirmed("1000000000000001") == 11 && reg.confirmed("1000000000000002") == 12
	}, 20*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { return c.confirmer.Counts() == aspd.Counts{} }, 10*time.Second, time.Millisecond)
	status, body := c.ask(&http.Client{}, "GET", c.Status+"devices.json", "")
	require.Equal(t, 200, status)
	require.Contains(t, body, `"confirmations":{"pending":0,"dropped":0}`)
	c.stop()
	require.Equal(t, map[string]bool{"Bearer secret-token": true}, reg.tokens)
	require.NotContains(t, c.log.String(), "secret-token")
}

// TestOtherRegistrysDevices: the numbers of profiles are each registry's own, so that
// a device of another zone says nothing about one of the registry at -registry.
func TestOtherRegistrysDevices(t *testing.T) {
	t.Parallel()
	reg := &fakeRegistry{profiles: map[string]uint64{}, tokens: map[string]bool{}}
	server := httptest.NewServer(reg)
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("secret-token"), 0o600))
	c := newCloud(t, func(f *flags) {
		f.registry, f.token, f.zones = server.URL, token, "iotregistry.ca,example.net"
	})
	for n, zone := range []string{"example.net", "iotregistry.ca"} {
		id := eid.MustParse([]string{"1000000000000001", "1000000000000002"}[n])
		x, err := c.sessions.Admit(aspd.Device{ID: id, Name: "11." + id.String() + "." + zone, Zone: zone, ProfileID: 11}, aspd.Link{Kind: "test"})
		require.NoError(t, err)
		defer x.Leave()
	}
	require.Eventually(t, func() bool {
		return reg.confirmed("1000000000000002") == 11 && c.confirmer.Counts() == aspd.Counts{}
	}, 20*time.Second, 10*time.Millisecond)
	require.Zero(t, reg.confirmed("1000000000000001"))
}
