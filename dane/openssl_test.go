package dane_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

// TestAgainstOpenSSL runs every usage, selector and matching type, and the
// rules of RFC 7671, through openssl s_client over loopback and demands the
// verdict of VerifyChain.
func TestAgainstOpenSSL(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	w := newWorld(t)
	ca := filepath.Join(t.TempDir(), "root.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.root.cert.Raw}), 0o600))

	cases := matrixCases(t, w)
	for _, c := range ruleCases(t, w) {
		if runnable(c) {
			cases = append(cases, c)
		}
	}
	require.Greater(t, len(cases), 150)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := dane.VerifyChain(c.chain, c.records, c.options(w))
			ok, out := openssl(t, path, ca, c)
			if why, known := deviations[c.name]; known {
				require.NotEqual(t, ok, err == nil, "no longer a deviation: %s", why)
				return
			}
			require.Equal(t, ok, err == nil, "we say %v, openssl says:\n%s", err, out)
		})
	}
}

// deviations are the cases where we differ from OpenSSL, with the reason.
var deviations = map[string]string{
	"2 expired anchor":                   anchorDates,
	"2 0 0 expired anchor":               anchorDates,
	"2 1 0 expired anchor that is sent":  anchorDates,
	"2 never the self-signed leaf's key": anchorIsLeaf,
	"2 never the leaf sent twice":        anchorIsLeaf,
}

const (
	anchorDates  = "an anchor's own dates count for us; OpenSSL leaves them out"
	anchorIsLeaf = "usage 2 means somebody above the leaf to us; OpenSSL lets a bare key vouch for the certificate it signed itself"
)

// runnable reports whether s_client can run the case with the same rules.
func runnable(c ruleCase) bool {
	plain := c.opts.AlsoNames == nil && c.opts.KeyUsages == nil && c.opts.Roots == nil && !c.opts.StrictEE && !c.opts.MapPKIX && !c.bare
	if !plain || len(c.chain) == 0 || len(c.chain) > 10 || len(c.records) == 0 || len(c.records) > 10 {
		return false
	}
	for _, cert := range c.chain {
		if cert == nil || len(cert.Raw) == 0 {
			return false
		}
	}
	for _, rr := range c.records {
		if rr == nil {
			return false
		}
	}
	return true
}

func matrixCases(t *testing.T, w *world) (cases []ruleCase) {
	for label, chain := range map[string][]*x509.Certificate{"whole": certs(w.leaf, w.sub, w.root), "usual": certs(w.leaf, w.sub)} {
		for u := range uint8(4) {
			for s := range uint8(2) {
				for m := range uint8(3) {
					for depth, p := range []pair{w.leaf, w.sub, w.root} {
						cases = append(cases, ruleCase{
							name:  fmt.Sprintf("%s %d %d %d depth %d", label, u, s, m, depth),
							chain: chain, records: []*dns.TLSA{tlsaFor(t, u, s, m, p)},
						})
					}
				}
			}
		}
	}
	return cases
}

// openssl serves the chain on loopback and lets s_client judge it.
func openssl(t *testing.T, path, ca string, c ruleCase) (bool, string) {
	t.Helper()
	key, _ := keys.Load(string(c.chain[0].Raw))
	served := tls.Certificate{PrivateKey: key.(crypto.Signer)}
	for _, cert := range c.chain {
		served.Certificate = append(served.Certificate, cert.Raw)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			srv := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{served}})
			_ = srv.Handshake()
			_ = srv.Close()
		}
	}()
	args := []string{
		"s_client", "-connect", ln.Addr().String(), "-brief", "-verify_return_error",
		"-CAfile", ca, "-no-CApath", "-no-CAstore", "-attime", strconv.FormatInt(epoch.Unix(), 10),
		"-dane_tlsa_domain", host, "-dane_ee_no_namechecks",
	}
	for _, rr := range c.records {
		args = append(args, "-dane_tlsa_rrdata", fmt.Sprintf("%d %d %d %s", rr.Usage, rr.Selector, rr.MatchingType, rr.Certificate))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	ok := bytes.Contains(out, []byte("Verification: OK")) && bytes.Contains(out, []byte("DANE TLSA"))
	if ok != (bytes.Contains(out, []byte(" matched ")) || bytes.Contains(out, []byte(" signed the certificate "))) {
		t.Fatalf("openssl's output not understood: %v\n%s", err, out)
	}
	return ok, string(out)
}
