package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry/web"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with testdata/name.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	wanted := strings.Split(string(want), "\n")
	for i, line := range strings.Split(text, "\n") { // all of it at once would be hard to read
		require.Less(t, i, len(wanted), "%s ends before %q; -update writes it anew", name, line)
		require.Equal(t, wanted[i], line, "%s line %d; -update writes it anew", name, i+1)
	}
	require.Len(t, text, len(want), name)
}

// buffer may be written while it is read.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running is the program while it serves.
type running struct {
	where
	t    *testing.T
	log  *buffer
	stop func() int // tells it to end, waits, and returns the exit status
	end  func()     // only tells it
	code <-chan int
}

// start runs the program on free ports of loopback until the test ends.
func start(t *testing.T, data string, args ...string) *running {
	t.Helper()
	r := &running{t: t, log: &buffer{}}
	ctx, cancel := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	code := make(chan int, 1)
	args = append([]string{"-json", "-data", data, "-listen", "127.0.0.1:0", "-dns", "127.0.0.1:0", "-metrics", "127.0.0.1:0", "-log-format", "json"}, args...)
	go func() {
		code <- run(ctx, args, w, r.log)
		w.Close()
	}()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(t, err, "%s", r.log)
	require.NoError(t, json.Unmarshal(line, &r.where))
	once := sync.OnceValue(func() int { cancel(); return <-code })
	r.stop, r.end, r.code = once, cancel, code
	t.Cleanup(func() { once() })
	return r
}

// transport trusts the registry's own CA.
func (r *running) transport(certs ...tls.Certificate) *http.Transport {
	r.t.Helper()
	text, err := os.ReadFile(r.CA)
	require.NoError(r.t, err)
	pool := x509.NewCertPool()
	require.True(r.t, pool.AppendCertsFromPEM(text))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs}}
	r.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (r *running) client(token string) *web.Client {
	return &web.Client{BaseURL: r.API, Token: web.Secret(token), HTTP: &http.Client{Transport: r.transport()}}
}

// root is the client of the registry's operator.
func (r *running) root() *web.Client {
	r.t.Helper()
	token, err := os.ReadFile(r.TokenFile)
	require.NoError(r.t, err)
	return r.client(strings.TrimSpace(string(token)))
}

// once runs the program to its end.
func once(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, complaint bytes.Buffer
	code = run(t.Context(), args, &out, &complaint)
	return code, out.String(), complaint.String()
}

func (r *running) caCertificate() *x509.Certificate {
	r.t.Helper()
	chain, err := readChain(r.CA)
	require.NoError(r.t, err)
	c, err := x509.ParseCertificate(chain[0])
	require.NoError(r.t, err)
	return c
}

// parsePublic reads the keys that sign the audit trail.
func parsePublic(der []byte) ([]crypto.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	return []crypto.PublicKey{key}, err
}
