package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/registry/web/limit"
)

const (
	host  = "parkoserv.ca"
	meter = "11.1000000000000001.iotregistry.ca"
	other = "12.1000000000000002.iotregistry.ca"
)

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

// mint makes a device's certificate.
func mint(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2046, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// cloud is the program's service in a world with a clock and faults.
type cloud struct {
	*service
	where
	t     testing.TB
	world *danetest.World
	log   *buffer
	stop  func() // tells it to end and waits
}

// newCloud starts the service until the test ends. The clock stands still and
// nobody is looked up again but by Check.
func newCloud(t testing.TB, change func(*flags), tune ...func(*service)) *cloud {
	t.Helper()
	return newCloudIn(t, danetest.NewWorld(t, danetest.Config{TTL: 60}), change, tune...)
}

func newCloudIn(t testing.TB, world *danetest.World, change func(*flags), tune ...func(*service)) *cloud {
	t.Helper()
	c := &cloud{t: t, world: world, log: &buffer{}}
	f := &flags{
		https: "127.0.0.1:0", mqtt: "127.0.0.1:0", status: "127.0.0.1:0", host: host, zones: "iotregistry.ca",
		recheck: time.Hour, grace: 10 * time.Minute, max: 100, data: filepath.Join(t.TempDir(), "data"), json: true,
	}
	if change != nil {
		change(f)
	}
	cfg, err := f.settings()
	require.NoError(t, err)
	cfg.now = c.world.Now
	cfg.resolver.Exchanger = c.world
	cfg.resolver.Anchors, err = dnssec.ParseAnchors(strings.NewReader(c.world.Anchor()))
	require.NoError(t, err)
	log := slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.service, err = open(t.Context(), cfg, log)
	require.NoError(t, err)
	for _, f := range tune {
		f(c.service)
	}
	stdout, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.serve(ctx, w) }()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(line, &c.where))
	c.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(c.stop)
	return c
}

// unhurried lets devices send as much as they like.
func unhurried(s *service) { s.rate = limit.New(1e6, 1e6) }

// device mints and publishes a device.
func (c *cloud) device(name string) tls.Certificate {
	c.t.Helper()
	cert := mint(c.t, name)
	c.world.AddCERT(name, cert.Leaf.Raw)
	return cert
}

// config is how a device connects. That it verifies the service by TLSA is
// profile/device's matter; here it is enough to know the key.
func (c *cloud) config(certs ...tls.Certificate) *tls.Config {
	own, err := c.identity.certificate(nil)
	require.NoError(c.t, err)
	return &tls.Config{InsecureSkipVerify: true, ServerName: host, Certificates: certs, VerifyConnection: func(cs tls.ConnectionState) error {
		if !cs.PeerCertificates[0].Equal(own.Leaf) {
			return io.ErrUnexpectedEOF
		}
		return nil
	}}
}

// dial connects and reports whether the server keeps the connection: a TLS 1.3
// server refuses after the client believes to be through.
func (c *cloud) dial(addr string, certs ...tls.Certificate) (*tls.Conn, error) {
	conn, err := tls.Dial("tcp", addr, c.config(certs...))
	if err == nil {
		c.t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// refused requires that TLS ends with an alert.
func (c *cloud) refused(addr string, certs ...tls.Certificate) {
	c.t.Helper()
	conn, err := c.dial(addr, certs...)
	if err == nil {
		require.NoError(c.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = conn.Read(make([]byte, 1))
	}
	var alert *net.OpError
	require.ErrorAs(c.t, err, &alert, "%v", err)
	require.Equal(c.t, "remote error", alert.Op)
}

// once runs the program to its end.
func once(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, complaint bytes.Buffer
	code = run(t.Context(), args, &out, &complaint)
	return code, out.String(), complaint.String()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	open, token := file("open", "secret-token", 0o644), file("token", "secret-token\n", 0o600)
	junk, words := file("junk", "junk", 0o600), file("words", "two words", 0o600)
	needed := []string{"-host", host, "-zones", "iotregistry.ca", "-data", filepath.Join(dir, "data"), "-https", "127.0.0.1:0", "-mqtt", "127.0.0.1:0", "-status", ""}
	reg := []string{"-registry", "https://127.0.0.1:1", "-token-file", token}
	for _, c := range []struct {
		rule string
		args []string
		says string
	}{
		{"no arguments", []string{"x"}, "unexpected argument"},
		{"no such flag", []string{"-x"}, "-x"},
		{"a host", []string{"-host", ""}, "-host"},
		{"a host that is no name", []string{"-host", "127.0.0.1"}, "-host"},
		{"zones", []string{"-zones", " , "}, "-zones"},
		{"zones that are names", []string{"-zones", "*.ca"}, "-zones"},
		{"something to serve", []string{"-https", "", "-mqtt", ""}, "nothing is served"},
		{"an address", []string{"-mqtt", "x"}, "-mqtt"},
		{"status on loopback", []string{"-status", "0.0.0.0:80"}, "loopback"},
		{"status on loopback, not everywhere", []string{"-status", ":80"}, "loopback"},
		{"a port", []string{"-port", "65536"}, "-port"},
		{"a recheck", []string{"-recheck", "0s"}, "-recheck"},
		{"a grace", []string{"-grace", "-1s"}, "-grace"},
		{"a max", []string{"-max", "0"}, "-max"},
		{"a folder", []string{"-data", ""}, "-data"},
		{"both TLS files", []string{"-tls-key", token}, "-tls-cert"},
		{"TLS files that are some", []string{"-tls-cert", junk, "-tls-key", junk}, "-tls-cert"},
		{"a DNS server", []string{"-dns", "ftp://9.9.9.9"}, "-dns"},
		{"a DNS server's port", []string{"-dns", "9.9.9.9:x"}, "-dns"},
		{"an anchor file", []string{"-anchor", filepath.Join(dir, "none")}, "none"},
		{"an anchor file of anchors", []string{"-anchor", junk}, junk},
		{"a registry for the token", []string{"-token-file", token}, "-registry"},
		{"a token for the registry", reg[:2], "-token-file"},
		{"a registry's URL", []string{"-registry", "x", "-token-file", token}, "https"},
		{"TLS to the registry", []string{"-registry", "http://example.net", "-token-file", token}, "clear"},
		{"a token of one's own", []string{reg[0], reg[1], "-token-file", open}, "chmod 600"},
		{"one token", []string{reg[0], reg[1], "-token-file", words}, "one token"},
		{"a CA", append([]string{"-ca", junk}, reg...), "CERTIFICATE"},
		{"a log level", []string{"-log-level", "loud"}, "-log-level"},
		{"a log format", []string{"-log-format", "xml"}, "-log-format"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := once(t, append(append([]string{}, needed...), c.args...)...)
			require.Equal(t, 2, code, stderr)
			require.Contains(t, stderr, c.says)
			require.NotContains(t, stderr, "secret-token")
		})
	}
	code, stdout, _ := once(t, "-h")
	require.Zero(t, code)
	require.Contains(t, stdout, "-recheck")
}

// TestPortTaken: what fails at the start is exit status 1 and says which flag.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	args := map[string]string{"-https": "127.0.0.1:0", "-mqtt": "127.0.0.1:0", "-status": "127.0.0.1:0"}
	for name := range args {
		line := []string{"-host", host, "-zones", "iotregistry.ca", "-data", filepath.Join(t.TempDir(), "data")}
		for flag, addr := range args {
			if flag == name {
				addr = ln.Addr().String()
			}
			line = append(line, flag, addr)
		}
		code, _, stderr := once(t, line...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, name)
	}
}

// TestStart: the first start makes a key that only its user can read; its TLSA
// record outlives restarts.
func TestStart(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	var first string
	for range 2 {
		c := newCloud(t, func(f *flags) { f.data, f.port = data, 443 })
		require.Len(t, c.TLSA, 1)
		require.True(t, strings.HasPrefix(c.TLSA[0], "_443._tcp.parkoserv.ca. 3600 IN TLSA 3 1 1 "), c.TLSA[0])
		if first == "" {
			first = c.TLSA[0]
		}
		require.Equal(t, first, c.TLSA[0])
		for _, name := range []string{"tls.key", "tls.pem"} {
			info, err := os.Stat(filepath.Join(data, name))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		}
		c.stop()
	}
	given := newCloud(t, func(f *flags) {
		f.tlsCert, f.tlsKey, f.port = filepath.Join(data, "tls.pem"), filepath.Join(data, "tls.key"), 443
		f.data = filepath.Join(t.TempDir(), "none")
	})
	require.Equal(t, first, given.TLSA[0])
	require.NoDirExists(t, given.cfg.data)
	require.NoError(t, os.Chmod(data, 0o777))
	code, _, stderr := once(t, "-host", host, "-zones", "iotregistry.ca", "-data", data)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "chmod 700")
}

// TestRenewal: the certificate is made anew before it ends, for the same key.
func TestRenewal(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	first, err := c.identity.certificate(nil)
	require.NoError(t, err)
	c.world.Advance(certLife - renewAt)
	second, err := c.identity.certificate(nil)
	require.NoError(t, err)
	require.NotEqual(t, first.Leaf.NotAfter, second.Leaf.NotAfter)
	require.Equal(t, first.Leaf.RawSubjectPublicKeyInfo, second.Leaf.RawSubjectPublicKeyInfo)
	c.world.Advance(-certLife)
}

// TestRun: the program as its user runs it, over UDP and by the real clock, from the
// line that it prints to its end.
func TestRun(t *testing.T) {
	t.Parallel()
	world := danetest.NewWorld(t, danetest.Config{Start: time.Now()})
	cert := mint(t, meter)
	world.AddCERT(meter, cert.Leaf.Raw)
	dir := t.TempDir()
	anchor := filepath.Join(dir, "anchor.ds")
	require.NoError(t, os.WriteFile(anchor, []byte(world.Anchor()), 0o600))
	for _, servers := range []string{world.Addr(), "tcp://" + world.Addr() + ", 127.0.0.1:1"} {
		ctx, cancel := context.WithCancel(t.Context())
		stdout, w := io.Pipe()
		log := &buffer{}
		code := make(chan int, 1)
		go func() {
			code <- run(ctx, []string{
				"-https", "", "-mqtt", "127.0.0.1:0", "-status", "127.0.0.1:0", "-host", "ParkoServ.ca.", "-zones", "iotregistry.ca, example.net.",
				"-dns", servers, "-anchor", anchor, "-data", filepath.Join(dir, "data"), "-log-format", "json", "-log-level", "debug",
			}, w, log)
		}()
		line, err := bufio.NewReader(stdout).ReadString('\n')
		require.NoError(t, err, "%s", log)
		require.True(t, strings.HasPrefix(line, "asp parkoserv.ca for devices of iotregistry.ca, example.net: MQTT 127.0.0.1:"), line)
		require.Contains(t, line, "TLSA 3 1 1 ")
		_, addr, _ := strings.Cut(line, "MQTT ")
		addr, _, _ = strings.Cut(addr, ",")
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}})
		require.NoError(t, err)
		_, err = io.WriteString(conn, "\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00")
		require.NoError(t, err)
		head := make([]byte, 4)
		_, err = io.ReadFull(conn, head)
		require.NoError(t, err, "%s", log)
		require.Equal(t, []byte{0x20, 0}, []byte{head[0], head[3]}, "CONNACK: success")
		cancel()
		require.Zero(t, <-code, "%s", log)
		conn.Close()
		require.Contains(t, log.String(), "device admitted")
	}
}
