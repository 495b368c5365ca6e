package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/examples/internal/keys"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/registry/eid"
)

// begin sends the head of a call and the first half of its body, and returns
// when the registry has begun to read it.
func (r *running) begin(token string) *tls.Conn {
	r.t.Helper()
	cfg := r.transport().TLSClientConfig
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.API, "https://"), cfg)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /v1/messages/ack HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n", token)
	require.NoError(r.t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(r.t, err)
	require.Contains(r.t, line, "100 Continue", "it waits for the body now")
	return conn
}

// TestDrain: a call that has begun may finish after the program was told to end.
func TestDrain(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "data"))
	token, _ := r.files()
	conn := r.begin(token)
	r.end()
	require.Eventually(t, func() bool { return refused(r.API) }, 5*time.Second, time.Millisecond, "nobody new gets in")
	_, err := io.WriteString(conn, `{"ids":[]}`)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Less(t, res.StatusCode, 500)
	require.Zero(t, r.stop(), "%s", r.log)
	require.NotContains(t, r.log.String(), "cut off")
}

func refused(url string) bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "https://"))
	if err == nil {
		conn.Close()
	}
	return err != nil
}

// TestDrainIsBounded: a call that never ends does not keep the program.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"drain": "20ms"}`), 0o600))
	r := start(t, filepath.Join(t.TempDir(), "data"), "-config", path)
	token, _ := r.files()
	r.begin(token)
	require.Zero(t, r.stop(), "%s", r.log)
	require.Contains(t, r.log.String(), "cut off")
}

// TestPortTaken: one of two registries says which setting is in its way.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "data"))
	addr := strings.TrimPrefix(r.API, "https://")
	code, _, stderr := once(t, "-data", filepath.Join(t.TempDir(), "data"), "-listen", addr, "-dns", "127.0.0.1:0", "-metrics", "127.0.0.1:0")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "listen")
	require.Contains(t, stderr, addr)
}

// TestInit: the token is made once, and again only where its file is gone.
func TestInit(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(data, "operator.token")
	read := func() string {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(text)
	}
	code, stdout, stderr := once(t, "init", "-data", data)
	require.Zero(t, code, stderr)
	first := read()
	require.Contains(t, stdout, file)
	require.NotContains(t, stdout+stderr, strings.TrimSpace(first))
	code, stdout, _ = once(t, "init", "-data", data)
	require.Zero(t, code)
	require.Contains(t, stdout, "is initialised")
	require.Equal(t, first, read())

	require.NoError(t, os.Remove(file))
	r := start(t, data)
	require.NoFileExists(t, file, "a start does not bring back what was taken away")
	require.Zero(t, r.stop())
	code, _, _ = once(t, "init", "-data", data)
	require.Zero(t, code)
	require.NotEqual(t, first, read())
}

// TestAccounts: those of the configuration are put once and changed with it.
func TestAccounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, data := filepath.Join(dir, "config.json"), filepath.Join(dir, "data")
	for _, name := range []string{"City of Ottawa", "City of Ottawa", "Ottawa"} {
		require.NoError(t, os.WriteFile(path, []byte(fmt.Sprintf(`{"accounts": [{"id": "ottawa", "role": "owner", "name": %q}]}`, name)), 0o600))
		r := start(t, data, "-config", path)
		a, err := r.root().Account(t.Context(), "ottawa")
		require.NoError(t, err)
		require.Equal(t, name, a.Name)
		puts := 0
		for line, err := range r.root().Audit(t.Context(), 0) {
			require.NoError(t, err)
			if strings.Contains(string(line.Entry), `"subject":"ottawa"`) {
				puts++
			}
		}
		require.Equal(t, map[string]int{"City of Ottawa": 1, "Ottawa": 2}[name], puts, "restarts are no events")
		require.Zero(t, r.stop())
	}
}

// TestProgress: operators prove themselves by the key that the registry knows.
func TestProgress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, filepath.Join(dir, "data"))
	key, err := keys.Open(t.Context(), filepath.Join(dir, "data", "keys", "tls-ca.pem")) // who certified it does not matter
	require.NoError(t, err)
	m := &minter{key: key, ca: r.caCertificate(), names: []string{"telco"}}
	own, err := m.certificate(nil)
	require.NoError(t, err)
	report := func(certs ...tls.Certificate) error {
		c := &es2.Client{BaseURL: r.API, HTTP: &http.Client{Transport: r.transport(certs...)}, Requester: "telco", Retry: es2.Retry{Attempts: 1}}
		return c.HandleDownloadProgressInfo(t.Context(), mno.Progress{
			Device: eid.MustParse("1000000000000001"), ICCID: "8999901000000000001", ProfileType: "x", ProfileID: 1, Point: mno.PointInstall,
		})
	}
	var te *es2.TransportError
	require.ErrorAs(t, report(), &te)
	require.Equal(t, http.StatusForbidden, te.Status, "no certificate")
	require.ErrorAs(t, report(*own), &te)
	require.Equal(t, http.StatusForbidden, te.Status, "an unknown one")
	_, err = r.root().TrustCertificate(t.Context(), "telco", "SM-DP+", own.Leaf, 0)
	require.NoError(t, err)
	err = report(*own)
	require.ErrorIs(t, err, mno.ErrUnknownICCID, "it is heard, and there is no such order")
}

// TestEndsWhileStarting: being told to end early is no wrong usage.
func TestEndsWhileStarting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code := run(ctx, []string{"-data", filepath.Join(t.TempDir(), "data")}, io.Discard, io.Discard)
	require.NotEqual(t, 2, code)
}

// TestStreamsEndAtOnce: who watches a job does not keep the program, and other
// calls do not feel that it is to end.
func TestStreamsEndAtOnce(t *testing.T) {
	t.Parallel()
	ending, end := context.WithCancel(t.Context())
	h := streamsUntil(ending, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end()
		if strings.HasSuffix(r.URL.Path, "/events") {
			<-r.Context().Done()
		}
		require.Equal(t, strings.HasSuffix(r.URL.Path, "/events"), r.Context().Err() != nil)
	}))
	for _, path := range []string{"/v1/jobs/1", "/v1/jobs/1/events"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	}
}
