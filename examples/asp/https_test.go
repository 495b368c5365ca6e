package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser is a device over HTTPS, on connections of its own.
func (c *cloud) browser(cert tls.Certificate) *http.Client {
	tr := &http.Transport{TLSClientConfig: c.config(cert)}
	c.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// ask makes a request and returns status and body; status 0 is no answer.
func (c *cloud) ask(h *http.Client, method, url, body string, header ...string) (int, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	require.NoError(c.t, err)
	for n := 0; n+1 < len(header); n += 2 {
		if req.Header.Set(header[n], header[n+1]); header[n] == "Host" {
			req.Host = header[n+1]
		}
	}
	res, err := h.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return res.StatusCode, string(text)
}

const jsonType = "application/json"

func TestHTTPS(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	h, url := c.browser(c.device(meter)), "https://"+c.HTTPS
	for _, k := range []struct {
		rule, method, path, body, contentType string
		status                                int
	}{
		{"a status", "PUT", "/status?is=Free", "", "", 204},
		{"no status", "PUT", "/status", "", "", 400},
		{"markup", "PUT", "/status?is=%3Cb%3E", "", "", 400},
		{"a long status", "PUT", "/status?is=" + strings.Repeat("x", maxStatus+1), "", "", 400},
		{"another method", "GET", "/status", "", "", 405},
		{"another path", "GET", "/devices.json", "", "", 404},
		{"telemetry", "POST", "/telemetry", `{"t":[20.5]}`, jsonType, 204},
		{"telemetry of another type", "POST", "/telemetry", `{"t":20.5}`, "text/plain", 415},
		{"telemetry that is none", "POST", "/telemetry", `{"t":`, jsonType, 400},
		{"deep telemetry", "POST", "/telemetry", strings.Repeat("[", 9) + strings.Repeat("]", 9), jsonType, 400},
		{"large telemetry", "POST", "/telemetry", `"` + strings.Repeat("x", maxTelemetry) + `"`, jsonType, 413},
		{"no commands", "GET", "/commands?wait=0", "", "", 204},
		{"a long wait", "GET", "/commands?wait=61", "", "", 400},
		{"a wait that is none", "GET", "/commands?wait=-1", "", "", 400},
	} {
		t.Run(k.rule, func(t *testing.T) {
			status, body := c.ask(h, k.method, url+k.path, k.body, "Content-Type", k.contentType)
			require.Equal(t, k.status, status, body)
		})
	}
	state := c.sessions.List()
	require.NotEmpty(t, state)
	require.Equal(t, "https", state[0].Kind)
}

// TestHTTPSWithdrawn: an open connection ends, also one that waits for commands.
func TestHTTPSWithdrawn(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	cert := c.device(meter)
	h := c.browser(cert)
	answer := make(chan int, 1)
	go func() {
		status, _ := c.ask(h, "GET", "https://"+c.HTTPS+"/commands?wait=60", "")
		answer <- status
	}()
	require.Eventually(t, func() bool { return len(c.sessions.List()) == 1 }, 10*time.Second, time.Millisecond)
	c.world.Withdraw(meter + ".")
	c.sessions.Check(t.Context())
	require.Contains(t, []int{0, 403}, <-answer) // 403 where it had not begun to wait
	status, _ := c.ask(h, "PUT", "https://"+c.HTTPS+"/status?is=Free", "")
	require.Zero(t, status)
	require.Empty(t, c.sessions.List())
}

// TestConnectionsOfADevice: the fifth ends the first.
func TestConnectionsOfADevice(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	cert := c.device(meter)
	for range maxConnections + 2 {
		status, body := c.ask(c.browser(cert), "PUT", "https://"+c.HTTPS+"/status?is=Free", "")
		require.Equal(t, 204, status, body)
	}
	require.Len(t, c.sessions.List(), maxConnections)
}

func TestRate(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	h := c.browser(c.device(meter))
	for range burst + 100 {
		status, _ := c.ask(h, "PUT", "https://"+c.HTTPS+"/status?is=Free", "")
		if status == http.StatusTooManyRequests {
			return
		}
		require.Equal(t, 204, status)
	}
	require.Fail(t, "nothing stops it")
}

func TestCommands(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	h, local := c.browser(c.device(meter)), &http.Client{}
	post := func(id, text string) int {
		status, _ := c.ask(local, "POST", c.Status+"devices/"+id+"/commands", text)
		return status
	}
	take := func(wait string) (texts []string) {
		status, body := c.ask(h, "GET", "https://"+c.HTTPS+"/commands?wait="+wait, "")
		if status == 204 {
			return nil
		}
		require.Equal(t, 200, status, body)
		require.NoError(t, json.Unmarshal([]byte(body), &texts))
		return texts
	}
	require.Equal(t, 202, post("1000000000000001", "open"))
	require.Equal(t, 202, post("1000000000000001", "close"))
	require.Equal(t, []string{"open", "close"}, take("0"))
	require.Nil(t, take("0"))
	waiting := make(chan []string)
	go func() { waiting <- take("60") }()
	require.Eventually(t, func() bool {
		c.boxes.mu.Lock()
		defer c.boxes.mu.Unlock()
		return len(c.boxes.boxes) == 1
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, 202, post("1000000000000001", "blink"))
	require.Equal(t, []string{"blink"}, <-waiting)

	require.Equal(t, 400, post("x", "open"))
	require.Equal(t, 400, post("1000000000000001", ""))
	require.Equal(t, 413, post("1000000000000001", strings.Repeat("x", maxCommand+1)))
	for range maxWaiting {
		require.Equal(t, 202, post("1000000000000002", "open"))
	}
	require.Equal(t, 503, post("1000000000000002", "open"))
	c.world.Advance(commandLife)
	require.Equal(t, 202, post("1000000000000002", "open"), "commands grow old")
	require.NoError(t, c.boxes.put(mustID("1000000000000001"), "late"))
	require.Len(t, c.boxes.boxes, 2)
}

func TestStatusPage(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	m := c.mustConnect(c.device(meter), "")
	_, err := m.publish("devices/1000000000000001/<script>", 1, "x")
	require.NoError(t, err)
	local := &http.Client{}
	status, body := c.ask(local, "GET", c.Status, "")
	require.Equal(t, 200, status)
	require.Contains(t, body, "<td>1000000000000001</td><td>11</td><td>mqtt</td>")
	require.Contains(t, body, "&lt;script&gt;")
	require.NotContains(t, body, "<script")
	status, body = c.ask(local, "GET", c.Status+"devices.json", "")
	require.Equal(t, 200, status)
	var r report
	require.NoError(t, json.Unmarshal([]byte(body), &r))
	require.Equal(t, c.sessions.List(), r.Devices)
	require.Nil(t, r.Confirmations)

	for rule, header := range map[string][]string{
		"a name that somebody points here": {"Host", "evil.example"},
		"a page of another site":           {"Origin", "https://evil.example"},
		"a fetch of another site":          {"Sec-Fetch-Site", "cross-site"},
	} {
		status, _ = c.ask(local, "POST", c.Status+"devices/1000000000000001/commands", "open", header...)
		require.GreaterOrEqual(t, status, 400, rule)
	}
	require.Empty(t, c.boxes.boxes)
}
