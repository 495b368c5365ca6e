package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
)

// TestRunWithASP: the device and the provider's cloud as their users start them, over
// both protocols: admitted by the DNS alone, a status one way and a command the other.
func TestRunWithASP(t *testing.T) {
	t.Parallel()
	path, err := build("asp")
	require.NoError(t, err)
	for _, say := range []string{"mqtt", "https"} {
		t.Run(say, func(t *testing.T) {
			t.Parallel()
			w := newTownAt(t, danetest.Config{Start: time.Now()})
			dir := t.TempDir()
			line := serve(t, path, "-json", "-host", "parkoserv.ca", "-zones", townZone, "-dns", w.Addr(), "-anchor", w.anchor,
				"-https", "127.0.0.1:0", "-mqtt", "127.0.0.1:0", "-status", "127.0.0.1:0", "-data", filepath.Join(dir, "asp"))
			var at struct {
				HTTPS, MQTT, Status string
				TLSA                []string
			}
			require.NoError(t, json.Unmarshal(line, &at))
			for _, text := range at.TLSA {
				rr, err := dns.NewRR(text)
				require.NoError(t, err)
				w.AddRR(rr)
			}
			w.Add("parkoserv.ca. 300 IN A 127.0.0.1")
			address := map[string]string{"mqtt": at.MQTT, "https": at.HTTPS}[say]
			s := newSocket(t, atcsim.ServeOptions{})
			w.order(s.applet, 11, "parkoserv.ca", strings.TrimPrefix(address, "https://"))
			u := w.start(&world{}, "-at", s.path, "-say", say, "-every", "1s")
			u.connected(11)
			u.kind("said")
			r, err := http.Post(fmt.Sprintf("http://%s/devices/%s/commands", hostPort(t, at.Status), townID), "text/plain", strings.NewReader("reboot"))
			require.NoError(t, err)
			r.Body.Close()
			require.Equal(t, 2, r.StatusCode/100)
			require.Equal(t, "reboot", u.kind("command").Text)
			require.Zero(t, u.end())
		})
	}
}

// hostPort is an address without the scheme that may be before it.
func hostPort(t *testing.T, address string) string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		rest = address
	}
	rest = strings.TrimSuffix(rest, "/")
	_, _, err := net.SplitHostPort(rest)
	require.NoError(t, err)
	return rest
}
