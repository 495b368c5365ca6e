package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/dane/dnssec/doh"
)

// TestUsage: a wrong command line is told from a bad verdict.
func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	junk := file("junk", "no certificate")
	keyOnly := file("key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	huge := file("huge", strings.Repeat("x", maxCertificates+1))
	for _, c := range []struct{ args, tells string }{
		{"", "Usage"}, {"frobnicate", "no command"},
		{"verify", "want HOST:PORT"}, {"verify a:1 b:2", "want HOST:PORT"}, {"verify parkoserv.ca", "want HOST:PORT"},
		{"verify parkoserv.ca:http", "port"}, {"verify parkoserv.ca:0", "port"}, {"verify parkoserv.ca:70000", "port"},
		{"verify 192.0.2.1:443", "192.0.2.1"}, {"verify -frob parkoserv.ca:443", "frob"},
		{"verify-device x.ca:443 f", "without port"}, {"verify-device a.b.ca " + junk, "neither PEM nor a DER"},
		{"verify-device a.b.ca " + keyOnly, "no CERTIFICATE"}, {"verify-device a.b.ca " + huge, "larger"},
		{"verify-device a.b.ca " + dir + "/none", "no such file"},
		{"lint", "want NAME"}, {"lint -connect 127.0.0.1:1 a.ca", "HOST:PORT"},
		{"trace a..ca", "neither a domain name"}, {"trace a.ca FROB", "no record type"}, {"trace a.ca TYPE0", "no record type"},
		{"trace a.ca RRSIG", "RRSIG"}, {"trace a.ca A extra", "want NAME [TYPE]"},
		{"trace -time yesterday a.ca", "time"}, {"trace -timeout 0s a.ca", "-timeout"},
		{"trace -anchor " + dir + "/none a.ca", "no such file"}, {"trace -anchor " + junk + " a.ca", junk},
		{"trace -server ftp://x a.ca", "tls://"}, {"trace -server 127.0.0.1:frob a.ca", "no port"},
		{"trace -server , a.ca", "no host name"}, {"trace -server a/b a.ca", "no host name"},
		{"trace -server https://dns.example a.ca", "dns-query"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), &stdout, &stderr)
		require.Equal(t, 2, code, "%s: %s", c.args, stdout.String())
		require.Empty(t, stdout.String(), c.args)
		require.Contains(t, stderr.String(), c.tells, c.args)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-h"}, {"help"}, {"verify", "-h"}, {"verify-device", "--help"}, {"lint", "-h"}, {"trace", "x.ca", "-h"}} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), args, &stdout, &stderr), args)
		require.Empty(t, stderr.String())
		require.Contains(t, stdout.String(), "Usage: iotreg")
		if len(args) > 1 {
			require.Contains(t, stdout.String(), "  iotreg "+args[0]+" ", "examples")
			require.Contains(t, stdout.String(), "-server")
		}
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:53", "192.0.2.1:5300": "192.0.2.1:5300", "[2001:db8::1]": "[2001:db8::1]:53",
		"2001:db8::1": "[2001:db8::1]:53", "tls://dns.example": "tls://dns.example:853", "tls://9.9.9.9:8853": "tls://9.9.9.9:8853",
	} {
		x, err := server(text)
		require.NoError(t, err, text)
		require.Equal(t, want, x.(*dnssec.Client).String())
	}
	d, err := server("https://dns.example/dns-query")
	require.NoError(t, err)
	require.Equal(t, &doh.Client{URL: "https://dns.example/dns-query"}, d)
	x, err := server("tcp://192.0.2.1")
	require.NoError(t, err)
	require.True(t, x.(*dnssec.Client).TCP)
}

func TestParseType(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint16{"tlsa": 52, "CERT": 37, "TYPE65280": 65280, "type1": 1} {
		got, err := parseType(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestDefaultType(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]uint16{
		"_443._tcp.parkoserv.ca": 52, "1000._device.iotregistry.ca": 52, meter: 37, "parkoserv.ca": 1, "11.ca": 1, "parkoserv.ca:443": 52,
	} {
		target, err := parseTarget(name)
		require.NoError(t, err)
		require.Equal(t, want, target.defaultType(), name)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a?[2Jb\nc?d", clean("a\x1b[2Jb\nc\u202ed"))
}
